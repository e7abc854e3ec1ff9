"""``cloudllm pool show|list``: what is in the pools of a store."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cloudllm_core import Command, Store, hookimpl
from cloudllm_core.errors import SetupError

from .pool import Pool, View
from .rules import Task

EPILOG = """\
  show   print a pool's tasks: state, owner, seconds left of the lease, attempts, and refused completions
  list   print the names of all pools in the store

example: cloudllm pool show --pool game --store sqlite:team.db

exit status: 0 done, 1 there is no such pool, 2 used or set up wrongly"""


class ShowPool(Command):
    """Shows pools. It looks, and hands out nothing."""

    name: ClassVar[str] = "pool"
    help: ClassVar[str] = "show the pools of a store, and their tasks"

    def configure(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        parser.add_argument("what", choices=["show", "list"], help="see below")
        parser.add_argument("--store", metavar="STORE", required=True, help="which store, such as sqlite:team.db")
        parser.add_argument("--pool", metavar="ID", help="for show: the pool's name")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, arguments: Namespace) -> int:
        import asyncio

        return asyncio.run(_perform(arguments))


async def _perform(arguments: Namespace) -> int:
    store: Store = arguments.registry.build("store", arguments.store)
    try:
        if arguments.what == "list":
            return _print_pools(await _pools(store), arguments.json)
        if not arguments.pool:
            raise SetupError("Say which pool to show: --pool ID. Their names: cloudllm pool list --store STORE")
        pool = Pool(store, arguments.pool)
        view, refused = await pool.look(bury=False), await pool.refusals()
        if not view.tasks:
            known = ", ".join(await _pools(store)) or "none"
            print(f"The pool {pool.id!r} has no tasks. Pools in this store: {known}.")
            return 1
        print(_as_json(pool.id, view, refused) if arguments.json else _as_text(pool.id, view, refused))
        return 0
    finally:
        await store.aclose()


async def _pools(store: Store) -> dict[str, Counter[str]]:
    """For each pool of *store*, how many tasks are in which state."""
    pools: dict[str, Counter[str]] = {}
    for item in await store.list("teams:"):
        _, pool, kind, *_ = [*item.key.split(":", 3), "", ""]
        if kind == "task":
            pools.setdefault(pool, Counter())[item.value["state"]] += 1
    return pools


def _print_pools(pools: Mapping[str, Counter[str]], as_json: bool) -> int:
    if as_json:
        print(json.dumps(pools, indent=2, ensure_ascii=False))
    else:
        for pool, states in pools.items():
            print(f"{pool}: {states['done']} of {states.total()} tasks are done")
    return 0


def _left(task: Task, now: float) -> float | None:
    return None if task.lease_until is None else round(task.lease_until - now, 1)


def _as_json(pool: str, view: View, refused: Sequence[Mapping[str, Any]]) -> str:
    tasks = [{**task.to_json(), "lease_left": _left(task, view.now)} for task in view.tasks]
    return json.dumps({"pool": pool, "now": view.now, "tasks": tasks, "refused": refused}, indent=2, ensure_ascii=False)


def _as_text(pool: str, view: View, refused: Sequence[Mapping[str, Any]]) -> str:
    done = sum(task.state == "done" for task in view.tasks)
    rows = [("task", "state", "owner", "lease", "attempts", "")]
    rows += [_row(task, view.now) for task in view.tasks]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines = [f"Pool {pool!r}: {done} of {len(view.tasks)} tasks are done.", "", *lines]
    if refused:
        lines += ["", "Refused completions:"]
        lines += [f"  {r['task']}: {r['worker']}, claim {r['fence'] or 'none'}: {r['reason']}" for r in refused]
    return "\n".join(lines)


def _row(task: Task, now: float) -> tuple[str, str, str, str, str, str]:
    left = _left(task, now)
    lease = "" if left is None else f"{left:g} s" if left > 0 else "expired"
    about = (task.error or "") if task.state != "done" else ""
    return task.id, task.state, task.owner or "", lease, str(task.attempts), about


@hookimpl
def cloudllm_register_command() -> type[ShowPool]:
    return ShowPool
