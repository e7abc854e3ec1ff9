"""``cloudllm worker TEAM.toml``: a team that works from a pool which other processes share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs

from cloudllm_core import Command, Orchestration, Registry, RunResult, Store, hookimpl
from cloudllm_core.errors import SetupError

from .mode import AnthropicAgentTeams

INTERRUPTED = 130
TURNS = 100
"""Turns an agent of a worker may take, where the file does not say."""

PROMPT = "Work on the tasks of the pool until all are done."
EPILOG = """\
The file describes the agents; its [[tasks]] are put into the pool as far as they are not there.
Any number of workers may share a pool, and any of them may die at any moment.

example: cloudllm worker team.toml --pool game --store sqlite:team.db

exit status: 0 all tasks are done, 1 not all, 2 something is set up wrongly, 130 Ctrl-C"""


class Work(Command):
    """Works from a shared pool until every task has ended."""

    name: ClassVar[str] = "worker"
    help: ClassVar[str] = "work with a team on a pool of tasks that many processes share"

    def configure(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        parser.add_argument("team", metavar="TEAM.toml", help="the team file")
        parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="what the agents are told")
        parser.add_argument("--pool", metavar="ID", help="the pool's name, unless the file's mode says it")
        parser.add_argument("--store", metavar="STORE", help="where the pool is, such as sqlite:team.db")
        parser.add_argument("--sink", metavar="NAME", action="append", default=[], help="another sink; repeatable")

    def run(self, arguments: Namespace) -> int:
        settings = read_file(arguments.team)
        prompt = arguments.prompt or settings.pop("prompt", None) or PROMPT
        settings.pop("prompt", None)
        mode = mode_of(settings, arguments.pool)
        registry: Registry = arguments.registry
        sinks = list(arguments.sink)
        if not sinks and "sinks" not in settings and "console" in registry.names("event_sink"):
            sinks = ["console"]
        folder = Path(arguments.team).resolve().parent
        if arguments.store is not None:  # its location is relative to where the user is
            mode["store"] = shared_store(registry, arguments.store)
        with contextlib.chdir(folder):
            mode["store"] = shared_store(registry, mode.get("store"))
            team = Orchestration.from_settings({**settings, "mode": mode}, registry=registry, sinks=sinks)
            result = perform(team, mode["store"], prompt)
        print(summary(result))
        if result.error is not None:
            print(f"cloudllm: {result.error}", file=sys.stderr)
        return 0 if result.complete else INTERRUPTED if result.stop_reason == "cancelled" else 1


def read_file(file: str) -> dict[str, Any]:
    """The team file *file*, as it stands. Raises: SetupError: it cannot be read, or is not TOML."""
    import tomllib

    try:
        return tomllib.loads(Path(file).read_bytes().decode("utf-8"))
    except OSError as problem:
        raise SetupError(f"{file}: it cannot be read ({problem.strerror}). Give the name of a team file.") from problem
    except ValueError as problem:  # of TOML, or of the bytes
        raise SetupError(f"{file}: this is not TOML: {problem}.") from problem


def mode_of(settings: Mapping[str, Any], pool: str | None) -> dict[str, Any]:
    """The table of the mode: the file's if it is a team's, with what the command line says. Raises: SetupError."""
    given = settings.get("mode")
    table = dict(given) if isinstance(given, Mapping) else {"name": given}
    mode = table if table.get("name") == AnthropicAgentTeams.name else {}
    mode = {"max_iterations": TURNS, **mode, "name": AnthropicAgentTeams.name}
    if pool is not None:
        mode["pool_id"] = pool
    if "pool_id" not in mode:
        raise SetupError("There is no pool to work from. Name one: --pool ID")
    return mode


def shared_store(registry: Registry, spec: Any) -> Store:
    """The store *spec* stands for. Raises: SetupError: there is none, or nobody else could reach it."""
    store: Store | None = None if spec is None else registry.build("store", spec)
    if store is None or store.name == "memory":
        what = "There is no store" if store is None else "The store 'memory' ends with this process"
        raise SetupError(f"{what}, and a worker shares its pool with others. Name one: --store sqlite:team.db")
    return store


def summary(result: RunResult) -> str:
    """*result* in one line."""
    share = "" if result.score is None else f", {result.score:.0%} of the tasks are done"
    return f"{'Complete' if result.complete else 'Not complete'} ({result.stop_reason}){share}."


# -- Ctrl-C -------------------------------------------------------------------


@attrs.define(eq=False)
class Interrupts:
    """The first Ctrl-C has the run give back what it holds and end; the second ends the process."""

    stop: Callable[[], None] | None = None
    count: int = 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count > 1:
            os._exit(INTERRUPTED)
        if self.stop is None:
            raise KeyboardInterrupt
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\ncloudllm: Giving back what is claimed. Press Ctrl-C again to end at once.\n")
        self.stop()

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        try:
            before = signal.signal(signal.SIGINT, self)
        except ValueError:  # not the main thread, whose business signals are
            yield
            return
        try:
            yield
        finally:
            if not self.count:  # once it was pressed, a second time must end the process, whatever is being closed
                signal.signal(signal.SIGINT, before)


def perform(team: Orchestration, store: Store, prompt: str) -> RunResult:
    """Run *team* to its end, and close what it used."""
    interrupts = Interrupts()

    async def performed() -> RunResult:
        run = team.run(prompt)
        interrupts.stop = run.cancel
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(store.aclose)
            stack.push_async_callback(team.aclose)
            return await run

    with interrupts.caught():
        return asyncio.run(performed())


@hookimpl
def cloudllm_register_command() -> type[Work]:
    return Work
