"""The SQLite store: settings, threads, loops, cancellation, forks and the clock."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from cloudllm_core import default_registry
from cloudllm_core.errors import SettingsError
from cloudllm_store_sqlite import SqliteStore, database


def run(awaitable):
    return asyncio.run(awaitable)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "team.db"


def threads_of(file):
    return [thread for thread in threading.enumerate() if str(file) in thread.name]


# -- settings


def test_is_built_by_name_and_location(file):
    """``sqlite:FILE`` in a team file or on the command line is the store in that file; nothing is made yet."""

    async def main():
        store = default_registry().build("store", f"sqlite:{file}")
        assert type(store) is SqliteStore
        assert not file.exists()
        await store.put("a", 1)
        await store.aclose()

    run(main())
    assert file.exists()


def test_the_home_folder_may_be_written_short(file, monkeypatch):
    """``~`` is the home folder, as in a shell."""
    monkeypatch.setenv("HOME", str(file.parent))

    async def main():
        store = SqliteStore("~/team.db")
        await store.put("a", 1)
        await store.aclose()

    run(main())
    assert file.exists()


def test_memory_is_another_store():
    """SQLite's word for memory is refused, and the error says what to use."""
    with pytest.raises(SettingsError) as refused:
        SqliteStore(":memory:")

    expected = "location: found ':memory:', expected the name of a file. For memory alone there is the store 'memory'."
    assert expected == str(refused.value)


MISSPELT = (
    "timout: found the unknown setting 'timout', expected one of location, timeout, synchronous for 'sqlite'. "
    "Did you mean 'timeout'?"
)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "sqlite: found no 'location', expected 'location', which 'sqlite' needs."),
        ({"location": ""}, "location: found '', expected the name of a file."),
        ({"location": "a\0b"}, "location: found 'a\\x00b', expected the name of a file."),
        ({"location": 5}, "location: found 5, expected the name of a file."),
        ({"location": "a", "timout": 1}, MISSPELT),
        ({"location": "a", "timeout": -1}, "timeout: found -1.0, expected seconds, 0 to a million."),
        ({"location": "a", "timeout": float("nan")}, "timeout: found nan, expected seconds, 0 to a million."),
        ({"location": "a", "synchronous": "off"}, "synchronous: found 'off', expected one of 'full', 'normal'."),
    ],
)
def test_refuses_wrong_settings(settings, says):
    """Each mistake is named, with what would be right."""
    with pytest.raises(SettingsError) as refused:
        SqliteStore.from_settings(settings)

    assert says == str(refused.value)


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
def test_each_write_is_as_safe_as_was_asked(file, synchronous, level, monkeypatch):
    """``full`` flushes to the disk with each write; ``normal`` does so now and then."""
    seen = []

    def connect(*given):
        connection = database_connect(*given)
        seen.append(connection.execute("PRAGMA synchronous").fetchone()[0])
        seen.append(connection.execute("PRAGMA journal_mode").fetchone()[0])
        return connection

    database_connect = database.connect
    monkeypatch.setattr(database, "connect", connect)

    async def main():
        store = SqliteStore(file, synchronous=synchronous)
        await store.now()
        await store.aclose()

    run(main())
    assert [level, "wal"] == seen


def test_importing_it_loads_no_sqlite(file):
    """Neither the import nor making a store costs what only its use needs."""
    code = f"""
import sys
from cloudllm_store_sqlite import SqliteStore, cloudllm_register_store
SqliteStore({str(file)!r})
print([name for name in ("sqlite3", "_sqlite3", "difflib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert "[]" == done.stdout.strip()
    assert not file.exists()


# -- threads, loops and cancellation


def test_threads_and_loops_share_it(file):
    """Loops in several threads count in one key of one store while others expire: nothing lost, no deadlock."""
    store = SqliteStore(file, synchronous="normal")

    async def count():
        for nth in range(25):
            await store.put(f"short {nth % 7}", nth, ttl=1e-3)
            while True:
                item = await store.get("n")
                if await store.compare_and_set("n", item.version if item else 0, (item.value if item else 0) + 1):
                    break

    threads = [threading.Thread(target=lambda: asyncio.run(count()), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    async def end():
        item = await store.get("n")
        await store.aclose()
        return item and item.value

    assert [False] * 4 == [thread.is_alive() for thread in threads]
    assert 100 == run(end())


def test_cancelling_a_caller_leaves_no_transaction_open(file):
    """While another holds the file, one of two waiting writes is cancelled: it never happens, the other does."""

    async def main():
        store = SqliteStore(file)
        await store.put("a", 0)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.ensure_future(store.put("first", 1))
            second = asyncio.ensure_future(store.put("second", 2))
            third = asyncio.ensure_future(store.put("third", 3))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            other.execute("ROLLBACK")
            await first
            await third
            other.execute("BEGIN IMMEDIATE")  # nobody else has the file
            other.execute("ROLLBACK")
        keys = [item.key for item in await store.list()]
        await store.aclose()
        return keys

    assert ["a", "first", "third"] == run(main())


@pytest.mark.parametrize("turns", [1, 10, 1000, 20_000])
def test_a_cancelled_write_under_way_is_whole(file, turns):
    """Whose caller goes while the store's thread works still writes all of it, and the next one is served."""

    async def main():
        store = SqliteStore(file)
        await store.put("a", 0)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.ensure_future(store.restore({"items": [{"key": f"{n}", "value": n} for n in range(50)]}))
            for _ in range(turns):  # the thread may have begun to wait for the file, or not; both must do
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            other.execute("ROLLBACK")
        count = len(await store.list())
        await store.aclose()
        return count

    assert run(main()) in (1, 50)


def test_opens_and_closes_again_and_again(file):
    """Each closing closes connection and thread, and takes SQLite's two extra files away."""

    async def main():
        store = SqliteStore(file)
        for nth in range(15):
            await store.put("n", nth)
            assert 1 == len(threads_of(file))
            threads = threads_of(file)
            await store.aclose()
            for thread in threads:
                thread.join(30)
            assert [] == threads_of(file)
            assert [file] == list(file.parent.iterdir())

    run(main())


def test_a_store_that_is_dropped_is_closed(file):
    """Whoever forgets to close it loses neither values nor a thread."""

    async def main():
        store = SqliteStore(file)
        await store.put("a", 1)
        return threads_of(file)

    threads = run(main())
    gc.collect()
    for thread in threads:
        thread.join(30)

    assert [] == threads_of(file)
    assert [file] == list(file.parent.iterdir())


def test_a_process_ends_though_nobody_closed_the_store(file):
    """A store left open keeps no process alive, and what it answered is there."""
    code = f"""
import asyncio
from cloudllm_store_sqlite import SqliteStore
store = SqliteStore({str(file)!r})
print(asyncio.run(store.put("a", 1)).version)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (0, "1\n", "") == (done.returncode, done.stdout, done.stderr)

    async def main():
        store = SqliteStore(file)
        item = await store.get("a")
        await store.aclose()
        return item and item.value

    assert 1 == run(main())


FORK = """
import asyncio, os, sys
from cloudllm_core.errors import StoreError
from cloudllm_store_sqlite import SqliteStore

store = SqliteStore(sys.argv[1])

async def child():
    try:
        await store.get("a")
    except StoreError as error:
        print("child:", error, flush=True)
    await store.aclose()
    try:
        await store.put("a", 2)
    except StoreError:
        print("child: again", flush=True)

async def parent():
    await store.put("a", 1)
    if sys.argv[2] == "closed":
        await store.aclose()

asyncio.run(parent())
if os.fork() == 0:
    if sys.argv[2] == "closed":
        print("child:", asyncio.run(store.put("a", 5)).value, flush=True)
        asyncio.run(store.aclose())
    else:
        asyncio.run(child())
    os._exit(0)
os.wait()
print("parent:", asyncio.run(store.get("a")).value, flush=True)
asyncio.run(store.aclose())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_does_not_share_the_connection(file):
    """A child forked while the store was open is refused and told what to do; its parent goes on."""
    told = (
        f"child: The store {file} was open when this process was forked, and SQLite cannot be shared so. "
        "Close the store before the fork, or start processes with 'spawn'."
    )

    assert [told, "child: again", "parent: 1"] == forked(file, "open")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_store_closed_before_a_fork_serves_both(file):
    """Parent and child each open it for themselves."""
    assert ["child: 5", "parent: 5"] == forked(file, "closed")


def forked(file, state):
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(file), state]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert "" == done.stderr
    return done.stdout.splitlines()


# -- the clock


def test_goes_by_sqlites_clock(file, monkeypatch):
    """The time is the system's, to a millisecond or two; what Python believes the time to be changes nothing."""
    clock = time.time

    async def main():
        store = SqliteStore(file)
        start = clock()
        monkeypatch.setattr(time, "time", lambda: 5.0)
        now = await store.now()
        item = await store.put("a", 1, ttl=100)
        monkeypatch.undo()
        await store.aclose()
        return start - 0.01 <= now <= item.written <= clock() + 0.01

    assert run(main())


def test_a_clock_that_steps_back_never_wakes_the_dead(file, monkeypatch):
    """What one handle saw expire is gone for all, though the clock goes back an hour; time stands still meanwhile."""

    def set_clock(to):
        monkeypatch.setattr(database, "LATEST", f"SELECT version, time, {to} FROM latest")

    async def main():
        here, there = SqliteStore(file), SqliteStore(file)
        set_clock(5000.0)
        await here.put("lease", "ada", ttl=10)
        set_clock(5011.0)
        assert await here.get("lease") is None
        set_clock(1400.0)
        assert [5011.0, 5011.0] == [await there.now(), await here.now()]
        assert await there.get("lease") is None
        item = await there.put("other", "bob", ttl=10)
        assert (5011.0, 5021.0) == (item.written, item.expires)
        set_clock(5020.0)
        assert await here.get("other") is not None
        set_clock(5021.0)
        assert await here.get("other") is None
        await here.aclose()
        await there.aclose()

    run(main())


def test_a_told_time_is_not_taken_back(file, monkeypatch):
    """A handle that said what time it is never says an earlier one, though nothing was written."""

    async def main():
        store = SqliteStore(file)
        times = []
        for to in (5000.0, 5100.0, 5050.0, 5101.0):
            monkeypatch.setattr(database, "LATEST", f"SELECT version, time, {to} FROM latest")
            times.append(await store.now())
        await store.aclose()
        return times

    assert [5000.0, 5100.0, 5100.0, 5101.0] == run(main())
