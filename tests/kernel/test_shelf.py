"""Stores in a run: every operation is an effect, and a replay touches no store."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_core import Agent, Hub, Mode, Orchestration, Outcome, Registry, Store, ToolContext, hookimpl, tool
from cloudllm_core.errors import EffectError, SettingsError, StoreError
from cloudllm_core.events import EffectStarted
from cloudllm_core.storing import checked_key, checked_ttl, matches
from cloudllm_core.testing import ScriptedProvider, call
from tests.kernel.shelves import Shelf
from tests.kernel.stories import Story


def team(tell: Any, *lines: Any, tools: Any = (), registry: Registry | None = None) -> Orchestration:
    agent = Agent("ada", ScriptedProvider(*lines), tools=tools)
    return Orchestration([agent], Story(tell), registry=registry or Registry.of())


async def both(orchestration: Orchestration) -> tuple[Any, Any, list[Any]]:
    """A run, its replay, and the run's records."""
    run = orchestration.run("Go.")
    result = await run
    return result, await orchestration.replay(run.records), run.records


def test_every_operation_passes_through_and_comes_back_as_it_was() -> None:
    """A mode sees the store's own answers, items as items."""
    shelf, seen = Shelf(), []

    async def tell(hub: Hub) -> None:
        store = hub.store(shelf)
        seen.append(await store.get("a"))
        seen.append(await store.put("a", {"n": [1, "x"]}))
        seen.append(await store.get("a"))
        seen.append(await store.compare_and_set("a", 1, 2, "op"))
        seen.append(await store.compare_and_set("a", 7, 3))
        seen.append(await store.list("a"))
        seen.append(await store.put("b", {"state": "ready"}))
        seen.append(await store.first("", {"state": "ready"}))
        seen.append(await store.now())
        await store.restore(await store.snapshot())
        seen.append(await store.delete("a"))

    asyncio.run(both(team(tell)))
    live, again = seen[:10], seen[10:]

    assert live == again, "a replay learns the same"
    assert live[0] is None
    assert (1, {"n": [1, "x"]}) == (live[1].version, live[1].value)
    assert live[1] == live[2]
    assert 2 == live[3].value
    assert live[4] is None
    assert (live[3],) == live[5]
    assert live[6] == live[7]
    assert [1000.0, True] == live[8:]


def test_a_replay_touches_no_store() -> None:
    """What the store said then stands in the journal; asking again could get another answer, and changes things."""
    shelf = Shelf()

    async def tell(hub: Hub) -> Outcome:
        await hub.store(shelf).put("a", 1)
        item = await hub.store(shelf).get("a")
        return Outcome(complete=True, answer=str(item and item.version))

    live, again, _ = asyncio.run(both(team(tell)))

    assert ["put a", "get a"] == shelf.asked
    assert ("1", "1") == (live.answer, again.answer)


def test_operations_are_announced_with_what_repeating_them_does() -> None:
    """Reading is a read; what changes something is a write, which is finished even when its strand is stopped."""

    async def tell(hub: Hub) -> None:
        store = hub.store(Shelf())
        await store.put("a", 1)
        await store.compare_and_set("a", 1, 2)
        await store.list()
        await store.delete("a")

    records = asyncio.run(both(team(tell)))[2]
    started = [record.event for record in records if isinstance(record.event, EffectStarted)]

    assert [
        ("store.put", "write"),
        ("store.compare_and_set", "write"),
        ("store.list", "read"),
        ("store.delete", "write"),
    ] == [(event.name, event.effect) for event in started]


def test_a_store_by_name_is_the_runs_own_and_closed_with_it() -> None:
    """Two runs share nothing, and nothing is left open."""
    made: list[Shelf] = []

    class Named(Shelf):
        name: ClassVar[str] = "named"

        def __init__(self, location: str) -> None:
            super().__init__(location)
            made.append(self)

    class Plugin:
        @hookimpl
        def cloudllm_register_store(self) -> type[Store]:
            return Named

    async def tell(hub: Hub) -> Outcome:
        store = hub.store("named:here")
        return Outcome(complete=True, answer=str((await store.put("a", 1)).version))

    async def main() -> list[str]:
        orchestration = team(tell, registry=Registry.of(Plugin()))
        return [str((await orchestration.run("Go.")).answer) for _ in range(2)]

    assert ["1", "1"] == asyncio.run(main())
    assert [("here", 1), ("here", 1)] == [(shelf.location, shelf.closed) for shelf in made]


def test_a_users_store_is_not_closed_by_a_run() -> None:
    """Whoever made it may go on with it."""
    shelf = Shelf()

    async def tell(hub: Hub) -> None:
        await hub.store(shelf).put("a", 1)

    asyncio.run(both(team(tell)))

    assert 0 == shelf.closed


def test_a_store_that_fails_is_an_error_of_the_effect_live_and_in_a_replay() -> None:
    """The mode can catch it, and a replay raises the same."""

    class Broken(Shelf):
        async def get(self, key: str) -> Any:
            raise StoreError("shelf", "has fallen down. Put it up again.")

    async def tell(hub: Hub) -> Outcome:
        with pytest.raises(EffectError) as caught:
            await hub.store(Broken()).get("a")
        return Outcome(complete=True, answer=str(caught.value))

    live, again, _ = asyncio.run(both(team(tell)))
    said = "store.get failed: StoreError: The store shelf has fallen down. Put it up again."

    assert (said, said) == (live.answer, again.answer)


def test_a_composite_tool_may_use_the_store_in_its_own_lane() -> None:
    """Mode code in a tool sees the same store, journalled below the call."""
    shelf = Shelf()

    @tool(effect="composite")
    async def keep(word: str, context: ToolContext) -> str:
        """Keep a word."""
        assert context.hub is not None
        return f"version {(await context.hub.store(shelf).put(context.agent, word)).version}"

    async def tell(hub: Hub) -> None:
        await hub.ask("ada", "Keep.", tools=[keep])

    result, again, records = asyncio.run(both(team(tell, call("keep", word="x"), "Kept.")))

    assert result.messages == again.messages
    assert ["put ada"] == shelf.asked
    assert {"ada/2"} == {record.lane for record in records if "store.put" in record.text}


def test_the_hub_tells_the_runs_name_and_what_agents_can() -> None:
    """Names of tools and tags, for tasks that need them; the run's id, the same on replay."""
    told: list[Any] = []

    def look() -> str:
        """Look."""
        return ""

    async def tell(hub: Hub) -> None:
        told.append((hub.run_id, hub.abilities("ada")))

    async def main() -> str:
        agent = Agent("ada", ScriptedProvider(), tools=[look], metadata={"tags": ["gpu"]})
        orchestration = Orchestration([agent], Story(tell), registry=Registry.of())
        run = orchestration.run("Go.")
        await run
        await orchestration.replay(run.records)
        return run.id

    run_id = asyncio.run(main())

    assert [(run_id, {"look", "gpu"})] * 2 == told


@pytest.mark.parametrize("key", ["", "a\nb", "\x00", "x" * 513, 7, None, "\ud800"])
def test_what_cannot_be_a_key_is_refused(key: Any) -> None:
    """Keys are 1 to 512 printable characters."""
    with pytest.raises(SettingsError, match="expected text of 1 to 512 printable characters"):
        checked_key(key)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 1e12, True, "5"])
def test_what_cannot_be_a_lifetime_is_refused(ttl: Any) -> None:
    """Lifetimes are seconds above zero; one of a thousand years is a mistake."""
    with pytest.raises(SettingsError, match="expected seconds above 0"):
        checked_ttl(ttl)


def test_fields_match_as_json_has_it() -> None:
    """True is not 1, a missing field is not null, and only objects have fields."""
    assert matches({"state": "ready", "n": 1}, {"state": "ready"})
    assert not matches({"n": 1}, {"n": True})
    assert not matches({}, {"state": None})
    assert not matches(["state"], {"state": "ready"})


# -- names inside settings, and scopes ----------------------------------------


@attrs.define(eq=False)
class Keeper(Shelf):
    """A store inside a store, to be named in settings."""

    name: ClassVar[str] = "keeper"
    inner: Store | None = None


class Shelves:
    @hookimpl
    def cloudllm_register_store(self) -> type[Store]:
        return Shelf


class Keepers:
    @hookimpl
    def cloudllm_register_store(self) -> type[Store]:
        return Keeper


class Nothing(Mode):
    name: ClassVar[str] = "nothing"

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        return Outcome(complete=True)


def test_a_contract_in_settings_may_be_named() -> None:
    """A name, a name with a location or a table stands for the thing itself; a mistake is said with its place."""
    registry = Registry.of(Shelves(), Keepers())

    assert "x.db" == registry.build("store", {"name": "keeper", "inner": "shelf:x.db"}).inner.location
    assert (
        "y" == registry.build("store", {"name": "keeper", "inner": {"name": "shelf", "location": "y"}}).inner.location
    )
    assert registry.build("store", "keeper").inner is None
    with pytest.raises(SettingsError, match=r"store\.inner\.wrong: found the unknown key 'wrong'|store\.inner"):
        registry.build("store", {"name": "keeper", "inner": {"name": "shelf", "wrong": 1}})


def test_in_a_scope_the_same_words_are_the_same_store() -> None:
    """One team's agents that name the same memory share it; another team does not; nor does another location."""
    registry = Registry.of(Shelves())
    one, other = registry.scope(), registry.scope()

    assert one.build("store", "shelf:a") is one.build("store", {"name": "shelf", "location": "a"})
    assert one.build("store", "shelf:a") is not one.build("store", "shelf:b")
    assert one.build("store", "shelf:a") is not other.build("store", "shelf:a")
    assert registry.build("store", "shelf:a") is not registry.build("store", "shelf:a")
