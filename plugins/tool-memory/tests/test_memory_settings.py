"""What a user sets: the store, its namespace, what may be changed; and snapshots."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import cloudllm_tool_memory
from cloudllm_core.errors import SettingsError, StoreError
from cloudllm_store_memory import MemoryStore
from cloudllm_tool_memory import Memory, MemoryFault

POOL = (
    "ERR:Reserved Key - Keys that begin with 'teams:' can only be read here. "
    "The team's own tools change them, such as claim_task and complete_task."
)
HIDDEN = "ERR:Reserved Key - Keys that begin with 'memory:' belong to namespaces. Choose another key."
CLEAR = (
    "ERR:Clear Not Allowed - This memory cannot be cleared at once. Delete single keys with: D key. "
    "Whoever set it up allows it with allow_clear=True."
)
READ_ONLY = "ERR:Read Only - This memory can only be read."


def keys(store: MemoryStore) -> list[str]:
    return [item.key for item in asyncio.run(store.list())]


def fill(memory: Any, *names: str) -> None:
    for name in names:
        asyncio.run(memory.put(name, name.upper()))


# -- settings --


def test_settings_come_from_plain_data() -> None:
    """As from a table of a team file."""
    memory = Memory.from_settings({"namespace": "a.b-c_1", "allow_clear": True, "read_only": True, "form": "text"})

    assert ("a.b-c_1", True, True, "text") == (memory.namespace, memory.allow_clear, memory.read_only, memory.form)
    assert isinstance(memory.store, MemoryStore)


def test_without_a_store_each_has_its_own() -> None:
    """Two memories share nothing unless they are told to."""
    one, other = Memory(), Memory()
    fill(one, "k")

    assert () == asyncio.run(other.list())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"store": 5},
            "Make one of its class; in a team file its name will do: 'sqlite:team.db'.",
        ),
        ({"namespace": "a:b"}, "namespace: found 'a:b', expected up to 64 letters, digits, '.', '_' and '-'."),
        ({"namespace": "a b"}, "namespace: found 'a b', expected up to 64 letters, digits, '.', '_' and '-'."),
        ({"namespace": "a\n"}, "namespace: found 'a\\n', expected up to 64 letters, digits, '.', '_' and '-'."),
        ({"namespace": 5}, "namespace: found 5, expected text."),
        ({"form": "txt"}, "form: found 'txt', expected one of 'both', 'text', 'typed'. Did you mean 'text'?"),
        ({"alow_clear": True}, "Did you mean 'allow_clear'?"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], sentence: str) -> None:
    """Each with what was expected."""
    with pytest.raises(SettingsError) as caught:
        Memory.from_settings(settings)

    assert sentence in str(caught.value)


def test_a_store_by_name_is_for_team_files() -> None:
    """From Python, whose classes are at hand, the sentence says what to do."""
    with pytest.raises(SettingsError, match="found 'sqlite:x', expected an instance of Store"):
        Memory("sqlite:x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "tools"),
    [
        ({}, ["memory", "memory_get", "memory_list", "memory_put", "memory_delete"]),
        ({"form": "text"}, ["memory"]),
        ({"form": "typed"}, ["memory_get", "memory_list", "memory_put", "memory_delete"]),
        ({"read_only": True}, ["memory", "memory_get", "memory_list"]),
    ],
)
def test_only_what_is_offered_can_be_called(settings: dict[str, Any], tools: list[str], use: Any) -> None:
    """A call of another is refused, and says which there are."""
    memory = Memory(**settings)
    told = f"ERR:Unknown Tool - 'memory_pt' is no tool of this memory. There are {', '.join(tools)}."

    assert tools == [tool.name for tool in memory.tools()]
    assert told == use(memory, "memory_pt")
    for tool in {"memory", "memory_get", "memory_list", "memory_put", "memory_delete"} - set(tools):
        assert use(memory, tool).startswith(f"ERR:Unknown Tool - {tool!r} is no tool")


def test_the_plugin_offers_its_class() -> None:
    """The hook answers with the class, under the name users type."""
    assert Memory is cloudllm_tool_memory.cloudllm_register_tool_protocol()
    assert "memory" == Memory.name


def test_reading_only(store: MemoryStore, use: Any) -> None:
    """Neither a command nor Python changes anything."""
    fill(store, "k")
    memory = Memory(store, read_only=True, allow_clear=True)

    assert {"value": "K"} == use(memory, "memory", command="G k")
    for command in ("P k v", "D k", "C"):
        assert READ_ONLY == use(memory, "memory", command=command)
    for change in (memory.put("k", 1), memory.delete("k"), memory.clear(), memory.restore({"items": []})):
        with pytest.raises(MemoryFault, match=READ_ONLY):
            asyncio.run(change)
    assert ["k"] == keys(store)


def test_a_store_that_fails_is_told(use: Any) -> None:
    """Its own sentence goes to the model; it is no fault of the call."""

    class Gone(MemoryStore):
        async def get(self, key: str) -> Any:
            raise StoreError("gone", "cannot be reached.")

    with pytest.raises(StoreError, match="The store gone cannot be reached"):
        use(Memory(Gone()), "memory_get", key="k")


def test_closing_closes_the_store(use: Any) -> None:
    """And it is used again as before."""
    closed = []

    class Door(MemoryStore):
        async def aclose(self) -> None:
            closed.append(1)

    memory = Memory(Door())
    fill(memory, "k")
    asyncio.run(memory.aclose())

    assert [1] == closed
    assert {"value": "K"} == use(memory, "memory", command="G k")


# -- clearing --


def test_clearing_must_be_allowed(store: MemoryStore, tell: Any) -> None:
    """The refusal says how."""
    memory = Memory(store)
    fill(memory, "k")

    assert CLEAR == tell(memory, "C") == tell(memory, "CLEAR")
    assert ["k"] == keys(store)


def test_clearing_stays_in_its_namespace(store: MemoryStore, tell: Any) -> None:
    """Others' keys stay, those of teams and of the store itself too."""
    fill(store, "k", "teams:x:task:1", "memory:a:k", "memory:ab:k", "memory:b:k")

    assert {"status": "OK"} == tell(Memory(store, namespace="a", allow_clear=True), "C")
    assert ["k", "memory:ab:k", "memory:b:k", "teams:x:task:1"] == keys(store)


def test_clearing_without_a_namespace_leaves_teams_and_namespaces(store: MemoryStore) -> None:
    """And says in Python how many keys there were."""
    fill(store, "k", "l", "teams:x:task:1", "memory:a:k")

    assert 2 == asyncio.run(Memory(store, allow_clear=True).clear())
    assert ["memory:a:k", "teams:x:task:1"] == keys(store)


def test_what_is_written_while_clearing_stays(store: MemoryStore) -> None:
    """Only what was there when it began is deleted."""

    class Slow(MemoryStore):
        async def delete(self, key: str, expected: int | None = None) -> bool:
            await self.put("k", "new")
            return await super().delete(key, expected)

    store = Slow()
    fill(store, "k")

    assert 0 == asyncio.run(Memory(store, allow_clear=True).clear())
    assert ["k"] == keys(store)


# -- namespaces --


def test_namespaces_do_not_see_each_other(store: MemoryStore, tell: Any, use: Any) -> None:
    """The same key is another in each; neither reads, lists, counts or deletes what the other has."""
    plain, one, other = Memory(store), Memory(store, namespace="a"), Memory(store, namespace="ab")
    for memory, value in ((plain, "1"), (one, "22"), (other, "333")):
        tell(memory, f"P k {value}")
    tell(one, "P only x")

    assert ["k", "memory:a:k", "memory:a:only", "memory:ab:k"] == keys(store)
    assert ["1", "22", "333"] == [tell(memory, "G k")["value"] for memory in (plain, one, other)]
    assert [["k"], ["k", "only"], ["k"]] == [use(memory, "memory_list")["keys"] for memory in (plain, one, other)]
    assert [2, 8, 4] == [tell(memory, "T A")["total_bytes"] for memory in (plain, one, other)]
    assert "ERR:NOT_FOUND" == tell(other, "D only") == tell(plain, "G only")
    for path in ("memory:a:only", "a:only", "..:a:only", ":only"):
        assert "ERR:NOT_FOUND" == tell(other, f"G {path}")


def test_without_a_namespace_those_of_others_cannot_be_reached(store: MemoryStore, tell: Any, use: Any) -> None:
    """Not by their full names either."""
    fill(store, "memory:a:k")
    memory = Memory(store)

    for command in ("G memory:a:k", "P memory:a:k v", "D memory:a:k"):
        assert HIDDEN == tell(memory, command)
    assert HIDDEN == use(memory, "memory_put", key="memory:", value=1)
    assert {"keys": []} == tell(memory, "L memory:*") == tell(memory, "L")


@pytest.mark.parametrize("namespace", ["", "plan"])
def test_pools_are_not_written(store: MemoryStore, tell: Any, use: Any, namespace: str) -> None:
    """In no namespace: a model that means to claim a task is told that this is not how."""
    memory = Memory(store, namespace=namespace)

    for command in ("PUT teams:x:claimed:1 ada", "P teams: ada", "DELETE teams:x:unclaimed:1"):
        assert POOL == tell(memory, command)
    assert POOL == tell(memory, "P", key="teams:x:claimed:1", value="ada")
    assert POOL == use(memory, "memory_put", key="teams:x:claimed:1", value="ada")
    assert POOL == use(memory, "memory_delete", key="teams:x:claimed:1")
    assert [] == keys(store)


def test_pools_are_read(store: MemoryStore, tell: Any, use: Any) -> None:
    """As prompts for teams say it: LIST with a pattern, then GET; only from the store itself."""
    asyncio.run(store.put("teams:x:unclaimed:1", "Draw the sea\n\nAcceptance criteria: blue"))
    asyncio.run(store.put("teams:x:completed:2", {"by": "bob"}))
    memory = Memory(store)

    assert {"keys": ["teams:x:unclaimed:1"]} == tell(memory, "LIST teams:x:unclaimed:*")
    assert {"value": '{"by":"bob"}'} == tell(memory, "GET teams:x:completed:2")
    assert {"by": "bob"} == use(memory, "memory_get", key="teams:x:completed:2")["value"]
    assert {"keys": []} == tell(Memory(store, namespace="plan"), "LIST teams:x:*")


def test_a_key_may_be_as_long_as_its_namespace_leaves_room(store: MemoryStore, tell: Any) -> None:
    """The sentence says how long."""
    memory = Memory(store, namespace="plan")  # memory:plan: has 12 characters

    assert {"status": "OK"} == tell(memory, f"P {'k' * 500} v")
    told = "ERR:Invalid Key - A key is text of 1 to 500 printable characters."
    assert told == tell(memory, f"P {'k' * 501} v") == tell(memory, "G", key="a\nb")


# -- snapshots --


def test_a_snapshot_restores_the_whole_store(store: MemoryStore, clock: Any) -> None:
    """Namespaces and pools too, with the time they had left."""
    fill(store, "k", "teams:x:task:1", "memory:a:k")
    asyncio.run(store.put("short", "lived", 90))
    clock.now += 30
    snapshot = asyncio.run(Memory(store).snapshot())
    new = MemoryStore(clock)
    fill(new, "other")
    asyncio.run(Memory(new).restore(snapshot))

    assert ["k", "memory:a:k", "short", "teams:x:task:1"] == keys(new)
    clock.now += 59
    assert "short" in keys(new)
    clock.now += 1
    assert "short" not in keys(new)


def test_a_snapshot_of_a_namespace_restores_it_anywhere(store: MemoryStore, clock: Any) -> None:
    """Its keys without their place; everything else stays as it is."""
    plan = Memory(store, namespace="plan")
    asyncio.run(plan.put("title", {"n": 1}, 90))
    fill(store, "k")
    snapshot = asyncio.run(plan.snapshot())
    assert {"items": [{"key": "title", "value": {"n": 1}, "ttl": 90.0}]} == snapshot

    other = Memory(store, namespace="other")
    fill(other, "old", "title")
    asyncio.run(other.restore(snapshot))

    assert ["k", "memory:other:title", "memory:plan:title"] == keys(store)
    item = asyncio.run(other.get("title"))
    assert item is not None
    assert ({"n": 1}, clock.now + 90) == (item.value, item.expires)


@pytest.mark.parametrize(
    "snapshot",
    [
        [],
        {},
        {"items": {}},
        {"items": [5]},
        {"items": [{"key": "k"}]},
        {"items": [{"key": "new", "value": 1}, {"key": 5, "value": 1}]},
        {"items": [{"key": "new", "value": 1}, {"key": "a\n", "value": 1}]},
        {"items": [{"key": "new", "value": 1}, {"key": "teams:x", "value": 1}]},
        {"items": [{"key": "new", "value": 1}, {"key": "k", "value": 1, "ttl": 0}]},
    ],
)
def test_what_is_no_snapshot_of_a_namespace_changes_nothing(store: MemoryStore, snapshot: Any) -> None:
    """All of it is looked at first."""
    memory = Memory(store, namespace="plan")
    fill(memory, "k")

    with pytest.raises((SettingsError, MemoryFault)):
        asyncio.run(memory.restore(snapshot))
    assert ["memory:plan:k"] == keys(store)
