"""The memory store: its settings, its clock, its threads."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Store, default_registry
from cloudllm_core.errors import SettingsError
from cloudllm_store_memory import MemoryStore


def run(awaitable):
    return asyncio.run(awaitable)


def test_is_built_by_name():
    """A team file names it, and needs no more."""
    assert type(default_registry().build("store", "memory")) is MemoryStore
    assert type(default_registry().build("store", {"name": "memory"})) is MemoryStore


def test_has_no_settings():
    """Whoever gives it a place wants a file; the error says which store has one."""
    with pytest.raises(SettingsError) as refused:
        default_registry().build("store", "memory:team.db")

    assert (
        "store.location: found the unknown setting 'location', expected none at all for 'memory'. "
        "What shall outlive the process goes into a file: use the store 'sqlite'."
    ) == str(refused.value)


@pytest.mark.parametrize("name", ["clock", "size"])
def test_refuses_settings_by_name(name):
    """The clock is for Python code; anything else is unknown and named."""
    with pytest.raises(SettingsError, match=f"^{name}: found the unknown setting '{name}', expected none at all"):
        MemoryStore.from_settings({name: 1})


def test_two_stores_share_nothing():
    """Each is a memory of its own."""

    async def main():
        one, two = MemoryStore(), MemoryStore()
        await one.put("a", 1)
        return await two.list()

    assert () == run(main())


@given(st.lists(st.floats(0, 100), max_size=30))
def test_a_clock_that_jumps_never_wakes_the_dead(times):
    """Time stands still while the clock is behind: what has expired stays gone, and a lease only lengthens."""
    clock = {"time": 0.0}

    async def main():
        store = MemoryStore(lambda: clock["time"])
        item = await store.put("lease", "ada", ttl=20)
        latest, gone = 0.0, False
        for time in times:
            clock["time"] = time
            now, found = await store.now(), await store.get("lease")
            assert now == max(latest, time)
            latest = now
            assert (found is None) == (now >= item.expires)
            assert not (gone and found)
            gone = found is None
            claimed = await store.compare_and_set("lease", 0, "bob")
            assert (claimed is None) == (not gone)
            if claimed:
                return

    run(main())


def test_what_is_renewed_for_ever_does_not_pile_up():
    """A lease renewed a thousand times is one entry, not a thousand ends to come."""

    async def main():
        store = MemoryStore()
        for nth in range(1000):
            await store.put("lease", nth, ttl=1e9)
        return store

    assert len(run(main())._ends) < 200


def test_threads_and_loops_share_it():
    """Threads with loops of their own count in one key while others expire: nothing is lost, nothing hangs."""
    store = MemoryStore()

    async def count() -> None:
        for nth in range(200):
            await store.put(f"short {nth % 7}", nth, ttl=1e-6)
            while True:
                item = await store.get("n")
                if await store.compare_and_set("n", item.version if item else 0, (item.value if item else 0) + 1):
                    break
            await store.list()

    threads = [threading.Thread(target=lambda: asyncio.run(count()), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [False] * 4 == [thread.is_alive() for thread in threads]
    item = run(store.get("n"))
    assert item is not None
    assert 800 == item.value


@given(
    st.lists(
        st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, True, "1", None, 1.0, [1], '"a":1'])), max_size=6
    ),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, True, "1", None, '"a":1'])),
)
def test_finds_without_reading_everything_what_reading_everything_finds(values, where):
    """Looking at the text first is only faster."""

    async def main():
        store = MemoryStore()
        for nth, value in enumerate(values):
            await store.put(f"{nth}", value)
        return await store.first("", where), await Store.first(store, "", where)

    found, expected = run(main())
    assert expected == found
    assert repr(expected) == repr(found)


@pytest.mark.parametrize("where", [{1: "a"}, "state", {"state": b"ready"}, {"state": float("nan")}])
def test_refuses_to_look_for_what_is_not_json(where):
    """What no value can hold is a mistake of whoever looks for it."""
    with pytest.raises(SettingsError, match="^where"):
        run(MemoryStore().first("", where))


def test_refuses_a_prefix_that_is_no_text():
    """A key's beginning is text."""
    with pytest.raises(SettingsError, match="^prefix: found 5, expected text"):
        run(MemoryStore().list(5))
