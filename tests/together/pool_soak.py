"""
Many processes at one pool, and everything that happens to processes: a program of its own.

It hands tasks in, forks workers, kills some at random moments and starts others in their place, stops some
for longer than their lease, and has some believe that it is an hour earlier or later. Each worker writes what
it was given, and what was accepted from it, into a file of its own. In the end the files and the store are
compared, and what was found is printed as JSON. `test_pool_soak` runs it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from cloudllm_core import Registry, Store, default_registry
from cloudllm_mode_agent_teams import Pool, Task, WorkItem

SKEWS = (0.0, 3_600.0, -3_600.0)
"""Seconds by which workers' clocks are wrong."""

ATTEMPTS = 1_000
"""More than processes can be killed: every task shall be done in the end."""


class Racy(Pool):
    """A pool that reads and then writes, as if that were one thing: what the soak is there to find."""

    async def _set(self, task: Task, version: int, op: str) -> Any:
        found = await self.store.get(self.key(task.id))
        if (found.version if found else 0) != version:
            return None
        return await self.store.put(self.key(task.id), task.to_json())


KINDS = {"sound": Pool, "racy": Racy}


def pool_of(store: Store, lease: float, kind: str = "sound") -> Pool:
    return KINDS[kind](store, "soak", lease, ATTEMPTS)


async def hand_in(store: Store, tasks: int) -> None:
    await pool_of(store, 1).submit(WorkItem(f"t{nth:05}") for nth in range(tasks))


async def work(store: Store, lease: float, name: str, log: Path, kind: str) -> None:
    """Claim, work for a moment and complete, until every task has ended; a few tasks take longer than their lease."""
    pool, dice = pool_of(store, lease, kind), random.Random(name)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(what: str, id: str, fence: int) -> None:
        os.write(file, f"{json.dumps([what, id, fence, name])}\n".encode())

    while True:
        claim = await pool.claim(name)
        if claim is None:
            if all(task.ended for task in (await pool.look(bury=False)).tasks):
                break
            await asyncio.sleep(lease / 10)
            continue
        note("claimed", claim.task.id, claim.fence)
        await asyncio.sleep(lease * 1.5 if dice.random() < 0.02 else dice.random() * 0.01)
        verdict = await pool.complete(claim.task.id, name, claim.fence, name)
        if verdict.accepted:
            note("accepted", claim.task.id, claim.fence)
        else:
            note("refused", claim.task.id, claim.fence)
    await store.aclose()


def fork(main: Coroutine[Any, Any, None], skew: float = 0.0) -> int:
    """Run *main* in a process of its own, whose clock is *skew* seconds ahead; its id."""
    pid = os.fork()
    if pid:
        main.close()
        return pid
    status = 1
    try:
        real = time.time
        time.time = lambda: real() + skew
        asyncio.run(main)
        status = 0
    finally:
        os._exit(status)


class Soak:
    """The workers, and what is done to them."""

    def __init__(self, spec: str, folder: Path, processes: int, lease: float, seed: int, kind: str) -> None:
        self.registry: Registry = default_registry()
        self.spec, self.folder, self.lease = spec, folder, lease
        self.dice = random.Random(seed)
        self.lives = 0
        self.workers: dict[int, int] = {}  # by id, which of the workers it is
        self.stopped: dict[int, float] = {}  # by id, until when
        self.ended: Counter[int] = Counter()
        self.processes, self.kind = processes, kind

    def store(self) -> Store:
        store: Store = self.registry.build("store", self.spec)
        return store

    def start(self, nth: int) -> None:
        self.lives += 1
        name = f"w{nth}.{self.lives}"
        main = work(self.store(), self.lease, name, self.folder / f"{name}.log", self.kind)
        self.workers[fork(main, SKEWS[nth % len(SKEWS)])] = nth

    def pick(self) -> int:
        return self.dice.choice(sorted(self.workers))

    def kill(self) -> None:
        pid = self.pick()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.stopped.pop(pid, None)
        self.start(self.workers.pop(pid))

    def stop(self) -> None:
        pid = self.pick()
        os.kill(pid, signal.SIGSTOP)
        self.stopped[pid] = time.monotonic() + self.lease * 2

    def wake(self) -> None:
        for pid, until in list(self.stopped.items()):
            if time.monotonic() >= until:
                del self.stopped[pid]
                os.kill(pid, signal.SIGCONT)

    def reap(self) -> None:
        for pid in list(self.workers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.ended[os.waitstatus_to_exitcode(status)] += 1
                del self.workers[pid]

    def lines(self) -> list[tuple[str, str, int, str]]:
        logs = sorted(self.folder.glob("*.log"))
        return [tuple(json.loads(line)) for log in logs for line in log.read_bytes().splitlines() if line[-1:] == b"]"]

    def run(self, tasks: int, kills: int, stops: int, seconds: float) -> dict[str, Any]:
        """Let it all happen; at most *seconds* of it."""
        began = time.monotonic()
        os.waitpid(fork(hand_in(self.store(), tasks)), 0)
        for nth in range(self.processes):
            self.start(nth)
        marks = [(int(tasks * 0.8 * nth / kills), self.kill) for nth in range(kills)]
        marks += [(int(tasks * 0.8 * nth / stops), self.stop) for nth in range(stops)]
        marks.sort(key=lambda mark: mark[0])
        done = size = 0
        try:
            while self.workers and time.monotonic() - began < seconds:
                time.sleep(self.dice.random() * 0.02)
                self.wake()
                self.reap()
                grown = sum(log.stat().st_size for log in self.folder.glob("*.log"))
                if grown != size:
                    size, done = grown, sum(what == "accepted" for what, *_ in self.lines())
                if marks and self.workers and marks[0][0] <= done:
                    marks.pop(0)[1]()
        finally:
            for pid in self.workers:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return self.report(began, kills + stops - len(marks))

    def report(self, began: float, events: int) -> dict[str, Any]:
        """What the store and the workers' files say."""
        took = time.monotonic() - began

        async def read() -> Any:
            store = self.store()
            pool = pool_of(store, self.lease)
            found = (await pool.look(bury=False)).tasks, await pool.refusals(), await store.list("teams:soak:")
            await store.aclose()
            return found

        tasks, refusals, items = asyncio.run(read())
        lines = self.lines()
        claims = Counter((id, fence) for what, id, fence, _ in lines if what == "claimed")
        accepted = {id: (fence, name) for what, id, fence, name in lines if what == "accepted"}
        times = Counter(id for what, id, *_ in lines if what == "accepted")
        fences = {task.id: task.fence for task in tasks}
        shelves = Counter(item.key.split(":")[2] for item in items)
        return {
            "states": Counter(task.state for task in tasks),
            "accepted_twice": sorted(id for id, count in times.items() if count > 1),
            "fences_given_twice": sorted(str(claim) for claim, count in claims.items() if count > 1),
            "accepted_and_lost": sorted(
                task.id for task in tasks if task.id in accepted and accepted[task.id] != (task.fence, task.owner)
            ),
            "fences_beyond_the_store": sorted(str((id, fence)) for id, fence in claims if fence > fences[id]),
            "done_and_not_said": sum(task.id not in accepted for task in tasks),
            "claims": sum(task.fence for task in tasks),
            "refused": len(refusals),
            "copies": shelves["completed"],
            "copies_left": shelves["claimed"] + shelves["unclaimed"],
            "kills_and_stops": events,
            "ended": {str(code): count for code, count in self.ended.items()},
            "left": len(self.workers),
            "seconds": round(took, 1),
        }


def main(spec: str, folder: str, how: str) -> None:
    """Run the soak that *how* (JSON) describes, and print the report."""
    told = json.loads(how)
    soak = Soak(spec, Path(folder), told["processes"], told["lease"], told["seed"], told.get("kind", "sound"))
    print(json.dumps(soak.run(told["tasks"], told["kills"], told["stops"], told["seconds"]), indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
