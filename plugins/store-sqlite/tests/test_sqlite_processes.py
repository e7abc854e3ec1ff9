"""Several processes share a store, and may be killed at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys

import pytest

from cloudllm_store_sqlite import SqliteStore

CLAIM = """
import asyncio, json, sys
from cloudllm_store_sqlite import SqliteStore

async def main():
    store, me, won = SqliteStore(sys.argv[1], synchronous="normal"), sys.argv[2], []
    print("ready", flush=True)
    sys.stdin.readline()
    for nth in range(int(sys.argv[3])):
        if await store.compare_and_set(f"task:{nth}", 0, me, f"{me}/{nth}"):
            won.append(nth)
    await store.aclose()
    print(json.dumps(won))

asyncio.run(main())
"""

COUNT = """
import asyncio, sys
from cloudllm_store_sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    while True:
        item = await store.get("n")
        n = item.value["n"] + 1 if item else 1
        body = {"n": n, "text": "x" * (n % 50 * 100), "state": "ready"}
        assert await store.compare_and_set("n", item.version if item else 0, body, f"op {n}")
        await store.put(f"copy:{n % 20}", body, ttl=0.01 if n % 2 else None)
        print(n, flush=True)

asyncio.run(main())
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read(file):
    async def main():
        store = SqliteStore(file)
        items = await store.list()
        await store.aclose()
        return {item.key: item.value for item in items}

    return asyncio.run(main())


def test_processes_claim_each_task_once(tmp_path):
    """Four processes that claim the same tasks at once in a file that is not there yet: each task has one winner."""
    file, tasks = tmp_path / "team.db", 60
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(start(CLAIM, file, f"w{n}", tasks)) for n in range(4)]
        for worker in workers:
            assert "ready\n" == worker.stdout.readline()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        told = [worker.communicate(timeout=60) for worker in workers]

    assert [""] * 4 == [errors for _, errors in told]
    won = {f"w{n}": json.loads(out) for n, (out, _) in enumerate(told)}
    assert list(range(tasks)) == sorted(nth for winnings in won.values() for nth in winnings)
    assert {f"task:{nth}": who for who, winnings in won.items() for nth in winnings} == read(file)


@pytest.mark.parametrize("rounds", [6])
def test_a_killed_writer_loses_nothing_it_was_answered(tmp_path, rounds):
    """Killed in the midst of writing, again and again: the file is sound, each answered write is in it, whole."""
    file, answered = tmp_path / "team.db", 0
    for nth in range(rounds):
        with start(COUNT, file) as writer:
            for _ in range(3 + 7 * nth):
                line = writer.stdout.readline()
                assert line, writer.stderr.read()
                answered = int(line)
            writer.kill()
            rest = [int(line) for line in writer.communicate(timeout=60)[0].splitlines() if line.isdigit()]
            answered = max([answered, *rest])
        with contextlib.closing(sqlite3.connect(file)) as connection:
            assert ("ok",) == connection.execute("PRAGMA integrity_check").fetchone()
        kept = read(file)
        n = kept["n"]["n"]
        assert answered <= n <= answered + 1
        assert all("x" * (body["n"] % 50 * 100) == body["text"] for body in kept.values())

    async def ask_again():
        store = SqliteStore(file)
        item = await store.compare_and_set("n", 0, "whatever", f"op {n}")
        await store.aclose()
        return item and item.value["n"]

    assert n == asyncio.run(ask_again()), "the last write, if its answer was lost, can be asked for again"
