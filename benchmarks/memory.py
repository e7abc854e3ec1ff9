"""
What claims and thoughts cost: a pool on each store against the bare statement, a chain by how it syncs.

The bare statement is what a queue in SQL would be: one ``UPDATE ... RETURNING`` on the same file, with the
same settings. A claim of ours asks the store for the time, finds a task, sets it, and writes the copies that
people read.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cloudllm_core import Store
from cloudllm_mode_agent_teams import Pool, WorkItem
from cloudllm_store_memory import MemoryStore
from cloudllm_store_sqlite import SqliteStore
from cloudllm_thoughts_jsonl import JsonlThoughts, verify

from ._measure import Row

TASKS = 300
CLAIM = """
UPDATE tasks SET state = 'claimed', owner = ?, fence = fence + 1
WHERE id = (SELECT id FROM tasks WHERE state = 'ready' ORDER BY id LIMIT 1) RETURNING id
"""
TEXT = "x" * 300


def bare(path: Path) -> float:
    """Claims per second with one statement each, every one synced."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
    connection.execute("CREATE TABLE tasks (id TEXT PRIMARY KEY, state TEXT, owner TEXT, fence INTEGER)")
    connection.execute("CREATE INDEX states ON tasks (state, id)")
    connection.executemany("INSERT INTO tasks VALUES (?, 'ready', NULL, 0)", [(f"t{n:05}",) for n in range(TASKS)])
    begun = time.perf_counter()
    for _ in range(TASKS):
        assert connection.execute(CLAIM, ("me",)).fetchone()
    took = time.perf_counter() - begun
    connection.close()
    return TASKS / took


async def pool(store: Store) -> float:
    """Claims per second."""
    tasks = Pool(store, "bench")
    await tasks.submit([WorkItem(f"t{n:05}", "work") for n in range(TASKS)])
    begun = time.perf_counter()
    for nth in range(TASKS):
        assert await tasks.claim(f"worker-{nth}", resume=False)
    took = time.perf_counter() - begun
    await store.aclose()
    return TASKS / took


def per_second(count: int, step: Callable[[int], object]) -> float:
    begun = time.perf_counter()
    for nth in range(count):
        step(nth)
    return count / (time.perf_counter() - begun)


def thoughts(folder: Path) -> Iterator[Row]:
    policies: list[tuple[str, int, dict[str, object]]] = [
        ("each synced", 300, {"fsync": "always"}),
        ("grouped, every 50 ms", 3_000, {"fsync": 0.05}),
        ("unsynced", 3_000, {"fsync": "never"}),
    ]
    for words, count, options in policies:
        chain = JsonlThoughts(str(folder / f"{count}-{words[:4]}.jsonl"), **options)  # type: ignore[arg-type]
        rate = per_second(count, lambda nth, chain=chain: chain.append("ada", "Finding", TEXT))  # type: ignore[misc]
        chain.close()
        yield Row(f"thoughts appended, {words}", rate, "/s")
    long = JsonlThoughts(str(folder / "long.jsonl"), fsync="never")
    for _ in range(100_000):
        long.append("ada", "Finding", TEXT)
    long.close()
    begun = time.perf_counter()
    verdict = verify(folder / "long.jsonl")
    assert verdict.status == "unanchored"
    yield Row("100,000 thoughts verified", time.perf_counter() - begun, "s", 6.0)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        statement = bare(folder / "bare.db")
        yield Row("claims by one bare SQL statement, each synced", statement, "/s")
        full = asyncio.run(pool(SqliteStore(str(folder / "full.db"))))
        yield Row("claims from a pool on sqlite, each write synced", full, "/s")
        yield Row("  the bare statement against it", statement / full, "x")
        normal = asyncio.run(pool(SqliteStore(str(folder / "normal.db"), synchronous="normal")))
        yield Row("claims from a pool on sqlite, synchronous = normal", normal, "/s")
        yield Row("claims from a pool in memory", asyncio.run(pool(MemoryStore())), "/s")
        yield from thoughts(folder)
