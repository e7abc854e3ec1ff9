"""The file of a store: what is made, what is refused, and what happens when it cannot be written."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat

import pytest

from cloudllm_core.errors import StoreError
from cloudllm_store_sqlite import SqliteStore, database


def run(awaitable):
    return asyncio.run(awaitable)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "team.db"


def refusal(store):
    """What a store says that cannot be opened."""

    async def main():
        try:
            with pytest.raises(StoreError) as refused:
                await store.get("a")
        finally:
            await store.aclose()
        return str(refused.value)

    return run(main())


@pytest.fixture
def limited(monkeypatch):
    """Have statements run on each new connection: limits that a test sets."""
    statements = []

    def connect(*given):
        connection = whole(*given)
        for statement in statements:
            connection.execute(statement)
        return connection

    whole = database.connect
    monkeypatch.setattr(database, "connect", connect)
    return statements


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_only_you_may_read_it(file):
    """The file, and those that SQLite keeps beside it while it is open, are the user's alone."""

    async def main():
        store = SqliteStore(file)
        await store.put("a", 1)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
        await store.aclose()
        return modes

    assert {0o600} == run(main())


def test_a_file_that_is_there_keeps_its_rights(file):
    """Who shares a file with others decides that once."""

    async def main():
        store = SqliteStore(file)
        await store.put("a", 1)
        await store.aclose()
        file.chmod(0o660)
        await store.put("a", 2)
        await store.aclose()
        return stat.S_IMODE(file.stat().st_mode)

    assert 0o660 == run(main())


def test_makes_no_folder(file):
    """A folder that is missing is named, and nothing is made."""
    path = file.parent / "mi{s}sing" / "team.db"

    assert f"The store {path} cannot be opened: there is no folder {path.parent}. Make it first." == refusal(
        SqliteStore(path)
    )
    assert [] == list(file.parent.iterdir())


def test_says_that_it_is_a_folder(file):
    """A folder is no store."""
    says = f"The store {file.parent} cannot be opened: it is a folder. Give the name of a file in it."

    assert says == refusal(SqliteStore(file.parent))


def test_says_that_it_is_no_database(file):
    """Some other file is refused and left as it is."""
    file.write_bytes(b"Dear diary, " * 1000)

    says = f"The store {file} is not a SQLite database. Give the file of a store, or a name that is free."
    assert says == refusal(SqliteStore(file))
    assert b"Dear diary, " * 1000 == file.read_bytes()


def test_says_that_it_is_another_programs(file):
    """Another program's database is refused and left as it is, to the byte."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    before = file.read_bytes()

    says = f"The store {file} is another program's database. Give the file of a store, or a name that is free."
    assert says == refusal(SqliteStore(file))
    assert before == file.read_bytes()
    assert [file] == list(file.parent.iterdir())


def test_says_that_it_is_newer(file):
    """A file made by a version to come is refused, and the error says what to upgrade."""

    async def main():
        store = SqliteStore(file)
        await store.put("a", 1)
        await store.aclose()

    run(main())
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 2")

    assert (
        f"The store {file} was made by a newer version of this plugin (format 2, known is 1). "
        "Upgrade it: pip install --upgrade cloudllm-store-sqlite"
    ) == refusal(SqliteStore(file))


def test_says_that_it_is_locked(file):
    """Another process that writes for too long is an error after the time that was set; then all is as before."""

    async def main():
        store = SqliteStore(file, timeout=0.05)
        item = await store.put("a", 1)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            says = set()
            for call in (store.put("a", 2), store.compare_and_set("a", item.version, 3, "op"), store.delete("a")):
                with pytest.raises(StoreError) as refused:
                    await call
                says.add(str(refused.value))
            assert item == await store.get("a")  # who only reads need not wait
            other.execute("ROLLBACK")
        assert item == await store.get("a")
        assert (await store.put("a", 4)).version > item.version
        await store.aclose()
        return says

    assert {
        f"The store {file} is locked: another process was writing for more than 0.05 s. Try again, or raise `timeout`."
    } == run(main())


def test_says_that_the_disk_is_full(file, limited):
    """What does not fit changes nothing, not even half of it, and what fits goes on being written."""
    limited.append("PRAGMA max_page_count = 30")

    async def main():
        store = SqliteStore(file)
        item = await store.put("a", "kept", ttl=1000)
        calls = (
            store.put("a", "x" * 200_000),
            store.compare_and_set("a", item.version, "x" * 200_000, "op"),
            store.restore({"items": [{"key": f"{n}", "value": "x" * 20_000, "ttl": None} for n in range(20)]}),
        )
        says = set()
        for call in calls:
            with pytest.raises(StoreError) as refused:
                await call
            says.add(str(refused.value))
            assert (item,) == await store.list()
        assert (await store.put("b", "fits")).version == item.version + 1
        await store.aclose()
        return says

    assert {
        f"The store {file} did not write: the disk is full. Make room; what was stored before is still there."
    } == run(main())


def test_says_that_it_is_read_only(file, limited):
    """A file that cannot be written can still be read, and the error of a write says what to change."""

    async def main():
        store = SqliteStore(file)
        item = await store.put("a", 1)
        await store.aclose()
        limited.append("PRAGMA query_only = ON")
        with pytest.raises(StoreError) as refused:
            await store.put("a", 2)
        assert item == await store.get("a")
        await store.aclose()
        return str(refused.value)

    assert (f"The store {file} cannot be written: the file, or its folder, is read-only. Make both writable.") == run(
        main()
    )


def test_says_that_it_is_damaged(file):
    """A file whose pages were overwritten is an error with a remedy, not nonsense."""

    async def main():
        store = SqliteStore(file)
        for nth in range(200):
            await store.put(f"{nth}", "x" * 300)
        await store.aclose()
        with file.open("r+b") as raw:
            raw.seek(4096)
            raw.write(b"\xff" * (file.stat().st_size - 4096))
        with pytest.raises(StoreError) as refused:
            await store.list()
        await store.aclose()
        return str(refused.value)

    says = run(main())
    assert says.startswith(f"The store {file} is damaged (")
    assert says.endswith("). Restore a snapshot or a copy into a new file.")


@pytest.mark.parametrize("replaced", [True, False])
def test_notices_that_the_file_was_replaced(file, replaced):
    """A store whose file is gone does not go on where nobody else sees it: it says so once, and opens the new one."""

    async def main():
        store, other = SqliteStore(file), SqliteStore(file)
        await store.put("a", "old")
        for path in file.parent.iterdir():
            path.unlink()
        if replaced:
            await other.put("a", "new")
        with pytest.raises(StoreError) as refused:
            await store.get("a")
        item = await store.get("a")
        await store.aclose()
        await other.aclose()
        return str(refused.value), item and item.value

    says = f"The store {file} was deleted or replaced while it was open. Ask again to use the new file."
    assert (says, "new" if replaced else None) == run(main())


def test_finds_tasks_by_their_state_without_reading_all(file, monkeypatch):
    """Looking for a state, and for what has expired, goes by an index."""
    statements = []

    def connect(*given):
        connection = whole(*given)
        connection.set_trace_callback(statements.append)
        return connection

    whole = database.connect
    monkeypatch.setattr(database, "connect", connect)

    async def main():
        store = SqliteStore(file)
        for where in ({"state": "ready"}, {"state": None}, {"state": "ready", "owner": None}):
            await store.first("teams:p:task:", where)
        await store.put("a", 1)
        await store.aclose()

    run(main())
    queries = {statement for statement in statements if statement.startswith("SELECT") and "items" in statement}
    plans = {}
    with contextlib.closing(sqlite3.connect(file)) as connection:
        for query in queries:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
            plans["state" if "json_extract" in query else "expires <=" if "expires <=" in query else query] = plan

    assert all("items_by_state (<expr>=? AND key>? AND key<?)" in step for step in plans["state"])
    assert all("items_by_end" in step for step in plans["expires <="])


def test_what_expired_leaves_the_file(file, monkeypatch):
    """Nobody has to look at what has expired for its room to be used again."""

    async def main():
        store = SqliteStore(file)
        for nth in range(20):
            await store.put(f"{nth}", nth, ttl=100)
        monkeypatch.setattr(database, "LATEST", f"SELECT version, time, {await store.now() + 200} FROM latest")
        await store.put("stays", 1)
        await store.aclose()

    run(main())
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert (1,) == connection.execute("SELECT count(*) FROM items").fetchone()
