"""The conformance kit finds stores that break their promises; each one here breaks one."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_core import Item, Store
from cloudllm_core.errors import SettingsError
from cloudllm_core.storing import KEY_LENGTH, matches
from cloudllm_core.testing.conformance import StoreContract

FOUND = (AssertionError, pytest.fail.Exception)


class Contract(StoreContract):
    """Called by hand, so it needs no fixture."""

    def another(self, store: Store) -> Store:
        assert isinstance(store, Good)
        return store.another()

    async def advance(self, store: Store, seconds: float) -> None:
        assert isinstance(store, Good)
        store.shelf.time += seconds


def finds(claim: str, store: Store, *given: Any) -> bool:
    """Whether *claim* fails."""
    try:
        getattr(Contract(), claim)(store, *given)
    except FOUND:
        return True
    return False


@attrs.define(eq=False)
class Kept:
    text: str
    version: int
    op: str
    written: float
    expires: float | None
    ttl: float | None


@attrs.define(eq=False)
class Shared:
    """What all handles of a store see."""

    time: float = 1000.0
    version: int = 0
    kept: dict[str, Kept] = attrs.Factory(dict)


class Good(Store):
    """Keeps every promise, in few lines; the stores below change one of them."""

    name: ClassVar[str] = "good"

    def __init__(self, shelf: Shared | None = None) -> None:
        self.shelf = Shared() if shelf is None else shelf

    def another(self) -> Store:
        return type(self)(self.shelf)

    # -- the promises, one by one

    def key(self, key: Any) -> str:
        if not isinstance(key, str) or not 0 < len(key) <= KEY_LENGTH or not key.isprintable():
            raise SettingsError("key", repr(key), "a key")
        return key

    def text(self, value: Any) -> str:
        try:
            text = json.dumps(value, allow_nan=False)
            if json.loads(text) == value:
                return text
        except (TypeError, ValueError, RecursionError):
            pass
        raise SettingsError("value", repr(value), "JSON")

    def life(self, ttl: Any) -> float | None:
        if ttl is not None and (isinstance(ttl, (bool, str, list)) or not 0 < ttl <= 1e11):
            raise SettingsError("ttl", repr(ttl), "seconds")
        return None if ttl is None else float(ttl)

    def alive(self, key: str) -> Kept | None:
        kept = self.shelf.kept.get(key)
        return None if kept is None or self.over(kept) else kept

    def over(self, kept: Kept) -> bool:
        return kept.expires is not None and kept.expires <= self.shelf.time

    def next_version(self, key: str) -> int:
        self.shelf.version += 1
        return self.shelf.version

    def ends(self, key: str, ttl: float | None) -> float | None:
        return None if ttl is None else self.shelf.time + ttl

    def op_of_put(self, key: str) -> str:
        return ""

    def repeated(self, there: Kept | None, op: str) -> bool:
        return there is not None and op != "" and there.op == op

    def begins(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix)

    def ordered(self, keys: Iterator[str]) -> list[str]:
        return sorted(keys)

    def may_delete(self, there: Kept, expected: int | None) -> bool:
        return expected in (None, there.version)

    def matches(self, value: Any, where: Mapping[str, Any]) -> bool:
        return matches(value, where)

    def left(self, kept: Kept) -> float | None:
        return None if kept.expires is None else kept.expires - self.shelf.time

    async def pause(self) -> None:
        """Where a worse store lets others in."""

    # -- the operations

    def write(self, key: str, text: str, op: str, ttl: float | None) -> Item:
        ends = self.ends(key, ttl)
        self.shelf.kept[key] = Kept(text, self.next_version(key), op, self.shelf.time, ends, ttl)
        return self.item(key, self.shelf.kept[key])

    def item(self, key: str, kept: Kept) -> Item:
        value = json.loads(kept.text)
        return Item(key=key, value=value, version=kept.version, written=kept.written, expires=kept.expires)

    async def get(self, key: str) -> Item | None:
        await asyncio.sleep(0)
        kept = self.alive(self.key(key))
        return kept and self.item(key, kept)

    async def put(self, key: str, value: Any, ttl: float | None = None) -> Item:
        key, text, ttl = self.key(key), self.text(value), self.life(ttl)
        await asyncio.sleep(0)
        return self.write(key, text, self.op_of_put(key), ttl)

    async def compare_and_set(
        self, key: str, expected: int, value: Any, op: str = "", ttl: float | None = None
    ) -> Item | None:
        key, text, ttl = self.key(key), self.text(value), self.life(ttl)
        await asyncio.sleep(0)
        there = self.alive(key)
        if there is not None and self.repeated(there, op):
            return self.item(key, there)
        if expected != (there.version if there else 0):
            return None
        await self.pause()
        return self.write(key, text, op, ttl)

    async def delete(self, key: str, expected: int | None = None) -> bool:
        await asyncio.sleep(0)
        there = self.alive(self.key(key))
        if there is None or not self.may_delete(there, expected):
            return False
        await self.pause()
        return self.shelf.kept.pop(key, None) is not None

    async def list(self, prefix: str = "") -> tuple[Item, ...]:
        await asyncio.sleep(0)
        items = []
        for key in self.ordered(key for key in self.shelf.kept if self.begins(key, prefix)):
            await self.pause()
            kept = self.alive(key)
            if kept is not None:
                items.append(self.item(key, kept))
        return tuple(items)

    async def first(self, prefix: str, where: Mapping[str, Any]) -> Item | None:
        return next((item for item in await self.list(prefix) if self.matches(item.value, where)), None)

    async def now(self) -> float:
        return self.shelf.time

    async def snapshot(self) -> dict[str, Any]:
        alive = [(key, self.alive(key)) for key in sorted(self.shelf.kept)]
        return {
            "items": [
                {"key": key, "value": json.loads(k.text), "ttl": self.left(k)} for key, k in alive if k is not None
            ]
        }

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.check(snapshot)
        self.shelf.kept.clear()
        for item in snapshot["items"]:
            self.write(item["key"], self.text(item["value"]), "", item["ttl"])

    def check(self, snapshot: Any) -> None:
        items = snapshot.get("items") if isinstance(snapshot, dict) else None
        if not isinstance(items, list) or not all(isinstance(i, dict) and {"key", "value"} <= set(i) for i in items):
            raise SettingsError("snapshot", repr(snapshot), "a snapshot")
        for item in items:
            self.key(item["key"]), self.text(item["value"]), self.life(item["ttl"])
        if len({item["key"] for item in items}) < len(items):
            raise SettingsError("snapshot", repr(snapshot), "each key once")


# -- what values, keys and lists are


class Trusting(Good):
    """Takes for JSON whatever becomes some text."""

    def text(self, value: Any) -> str:
        return json.dumps(value, default=repr, skipkeys=True, check_circular=False) if value != [value] else "[]"


class Coercing(Good):
    """Makes text of numbers used as keys."""

    def text(self, value: Any) -> str:
        try:
            return json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            return super().text(value)


class Welcoming(Good):
    """Takes any text for a key."""

    def key(self, key: Any) -> str:
        return key if isinstance(key, str) and key else super().key(key)


class Patient(Good):
    """Takes any number for a lifetime."""

    def life(self, ttl: Any) -> float | None:
        return None if ttl is None or math.isnan(ttl) else super().life(ttl)


class Sharing(Good):
    """Gives out the very value it keeps."""

    def __init__(self, shelf: Shared | None = None) -> None:
        super().__init__(shelf)
        self.values: dict[int, Any] = {}

    def another(self) -> Store:
        return self

    def item(self, key: str, kept: Kept) -> Item:
        item = super().item(key, kept)
        return attrs.evolve(item, value=self.values.setdefault(kept.version, item.value))


class Rounding(Good):
    """Keeps numbers as other languages do."""

    def text(self, value: Any) -> str:
        return super().text(float(super().text(value)) if type(value) is int else value)


class Like(Good):
    """Looks for prefixes as SQL does."""

    def begins(self, key: str, prefix: str) -> bool:
        pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in prefix)
        return re.match(pattern, key, re.DOTALL | re.IGNORECASE) is not None


class Sorting(Good):
    """Sorts as UTF-16 does."""

    def ordered(self, keys: Iterator[str]) -> list[str]:
        return sorted(keys, key=lambda key: key.encode("utf-16-be"))


class Loose(Good):
    """Takes true for 1."""

    def matches(self, value: Any, where: Mapping[str, Any]) -> bool:
        return isinstance(value, dict) and all(value.get(name) == want for name, want in where.items())


class Textual(Good):
    """Finds fields wherever their text is."""

    def matches(self, value: Any, where: Mapping[str, Any]) -> bool:
        return all(json.dumps({name: want})[1:-1] in json.dumps(value) for name, want in where.items())


class Caching(Good):
    """Believes what it read before."""

    def __init__(self, shelf: Shared | None = None) -> None:
        super().__init__(shelf)
        self.read: dict[str, Item] = {}

    async def get(self, key: str) -> Item | None:
        item = self.read.get(key) or await super().get(key)
        if item is not None:
            self.read[key] = item
        return item


# -- who may write what


class Restarting(Good):
    """Counts the versions of each key for itself."""

    def next_version(self, key: str) -> int:
        there = self.shelf.kept.get(key)
        return there.version + 1 if there else 1


class Rewinding(Good):
    """Counts anew when it is restored."""

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.check(snapshot)
        self.shelf.version = 0
        await super().restore(snapshot)


class Forgetful(Good):
    """Does not know its own writes again."""

    def repeated(self, there: Kept | None, op: str) -> bool:
        return False


class Confused(Good):
    """Takes all writes without a name for one."""

    def repeated(self, there: Kept | None, op: str) -> bool:
        return there is not None and there.op == op


class Clinging(Good):
    """Keeps the name of a write beside what somebody else put."""

    def op_of_put(self, key: str) -> str:
        there = self.shelf.kept.get(key)
        return there.op if there else ""


class Renewing(Good):
    """Writes again what stands there already."""

    def repeated(self, there: Kept | None, op: str) -> bool:
        if there is not None and super().repeated(there, op):
            there.version = self.next_version("")
            return True
        return False


class Hasty(Good):
    """Deletes whatever version is there."""

    def may_delete(self, there: Kept, expected: int | None) -> bool:
        return True


class Yielding(Good):
    """Looks first and writes later."""

    async def pause(self) -> None:
        await asyncio.sleep(0)


class Piecemeal(Good):
    """Writes a value in two steps."""

    async def put(self, key: str, value: Any, ttl: float | None = None) -> Item:
        item = await super().put(key, value, ttl)
        if isinstance(value, list):
            self.shelf.kept[key].text = json.dumps(value[:1])
            await asyncio.sleep(0)
            self.shelf.kept[key].text = json.dumps(value)
        return item


class Careless(Good):
    """Forgets everything when it is closed."""

    async def aclose(self) -> None:
        self.shelf.kept.clear()


class Settled(Good):
    """Belongs to the loop it was first used on."""

    loop: Any = None

    async def put(self, key: str, value: Any, ttl: float | None = None) -> Item:
        self.loop = self.loop or asyncio.get_running_loop()
        assert self.loop is asyncio.get_running_loop()
        return await super().put(key, value, ttl)


# -- how long things live


class Reaping(Good):
    """Lets the end of an old life end the new one, as the original did."""

    def ends(self, key: str, ttl: float | None) -> float | None:
        there, new = self.shelf.kept.get(key), super().ends(key, ttl)
        return min((end for end in (new, there and there.expires) if end is not None), default=None)


class Lasting(Good):
    """Never shortens a life."""

    def ends(self, key: str, ttl: float | None) -> float | None:
        there, new = self.shelf.kept.get(key), super().ends(key, ttl)
        return new if there is None else None if new is None or there.expires is None else max(new, there.expires)


class Haunted(Good):
    """Lists the dead."""

    async def list(self, prefix: str = "") -> tuple[Item, ...]:
        kept = sorted(self.shelf.kept.items())
        return tuple(self.item(key, one) for key, one in kept if self.begins(key, prefix))


class Occupied(Good):
    """Lets the dead keep their places."""

    def next_version(self, key: str) -> int:
        assert key not in self.shelf.kept or not self.over(self.shelf.kept[key]), "taken"
        return super().next_version(key)


class Constant(Good):
    """Tells the lifetime that was given, not what is left of it."""

    def left(self, kept: Kept) -> float | None:
        return kept.ttl


class Halfway(Good):
    """Restores as far as it comes."""

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        items = snapshot.get("items") if isinstance(snapshot, dict) else None
        self.shelf.kept.clear()
        for item in items if isinstance(items, list) else [None]:
            if not isinstance(item, dict) or not {"key", "value"} <= set(item) or item["key"] in self.shelf.kept:
                raise SettingsError("snapshot", repr(snapshot), "a snapshot")
            self.write(self.key(item["key"]), self.text(item["value"]), "", self.life(item["ttl"]))


class Adding(Good):
    """Restores beside what is there."""

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.check(snapshot)
        for item in snapshot["items"]:
            self.write(item["key"], self.text(item["value"]), "", item["ttl"])


SEEDS = [(seed,) for seed in range(12)]
VALUES = [(nth,) for nth in range(26)]
SNAPSHOTS = [(nth,) for nth in range(17)]

BROKEN: list[tuple[type[Good], str, list[tuple[Any, ...]]]] = [
    (Trusting, "test_refuses_what_is_not_json", [()]),
    (Coercing, "test_refuses_what_is_not_json", [()]),
    (Welcoming, "test_refuses_what_is_no_key", [()]),
    (Patient, "test_refuses_what_is_no_lifetime", [()]),
    (Sharing, "test_values_are_nobody_elses", [()]),
    (Rounding, "test_keeps_every_value_exactly", VALUES),
    (Like, "test_lists_by_prefix_in_order", [()]),
    (Sorting, "test_lists_by_prefix_in_order", [()]),
    (Loose, "test_tells_true_from_one", [()]),
    (Loose, "test_finds_the_first_that_matches", SEEDS[:10]),
    (Textual, "test_tells_true_from_one", [()]),
    (Caching, "test_does_what_a_dictionary_does", SEEDS),
    (Restarting, "test_no_version_comes_twice", [()]),
    (Rewinding, "test_no_version_comes_twice", [()]),
    (Forgetful, "test_a_repeated_write_succeeds_once", [()]),
    (Forgetful, "test_many_repetitions_are_one_write", [()]),
    (Confused, "test_writes_without_a_name_are_not_repetitions", [()]),
    (Clinging, "test_a_write_that_was_overwritten_is_not_repeated", [()]),
    (Clinging, "test_does_what_a_dictionary_does", SEEDS),
    (Renewing, "test_a_repeated_write_succeeds_once", [()]),
    (Hasty, "test_deletes_only_what_is_as_expected", [()]),
    (Yielding, "test_one_of_many_claims_wins", [(True,), (False,)]),
    (Yielding, "test_no_increment_is_lost", [()]),
    (Yielding, "test_a_list_shows_one_moment", [()]),
    (Piecemeal, "test_goes_on_when_a_caller_is_cancelled", [()]),
    (Careless, "test_can_be_closed_and_used_again", [()]),
    (Settled, "test_serves_one_loop_after_another", [()]),
    (Reaping, "test_an_overwritten_key_has_the_new_life", [("put",), ("compare_and_set",)]),
    (Reaping, "test_does_what_a_dictionary_does", SEEDS),
    (Lasting, "test_an_overwritten_key_has_the_new_life", [("put",), ("compare_and_set",)]),
    (Haunted, "test_whatever_looks_first_finds_nothing", [("list",), ("first",)]),
    (Occupied, "test_what_expired_is_gone_for_every_operation", [()]),
    (Constant, "test_says_when_it_ends", [()]),
    (Halfway, "test_a_bad_snapshot_changes_nothing", SNAPSHOTS),
    (Adding, "test_a_snapshot_brings_everything_back", [()]),
]


@pytest.mark.parametrize(("broken", "claim", "given"), BROKEN)
def test_stores(broken, claim, given):
    """The claim fails for the store that breaks it, and holds for one that does not."""
    assert any(finds(claim, broken(), *one) for one in given)
    assert not any(finds(claim, Good(), *one) for one in given)


class Real(Good):
    """Goes by the clock on the wall."""

    async def now(self) -> float:
        self.shelf.time = time.time()
        return self.shelf.time

    async def get(self, key: str) -> Item | None:
        await self.now()
        return await super().get(key)


def test_time_can_be_waited_for():
    """Where the clock cannot be set, the claims wait for short lives to pass."""

    class Waiting(StoreContract):
        lifetime = 0.05

    Waiting().test_an_overwritten_key_has_the_new_life(Real(), "put")


def test_time_that_does_not_pass_is_found():
    """A store whose clock stands still fails rather than being waited for without end."""

    class Waiting(StoreContract):
        lifetime = 0.001

    with pytest.raises(pytest.fail.Exception, match="do not pass"):
        Waiting().test_time_goes_on(Good())
