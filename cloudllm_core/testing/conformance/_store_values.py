"""Claims about what a store takes and gives back."""

from __future__ import annotations

import datetime
import random
import re
from typing import Any

import pytest

from ..._messages import Json
from ..._stores import Store
from ...errors import SettingsError
from ._chance import ODD_TEXTS, dice_of, odd_json
from ._store_cast import Shelving, contents, exactly, must, told

VALUES: tuple[Json, ...] = (
    None, True, False, 0, 1, -1, 2**53 + 1, -(10**30), 0.1, 1.0, -0.0, 5e-324, 1.7976931348623157e308,
    "", " ", "\n", 'say "no" and \'yes\'', "back\\slash", "a\tb\r\nc\x00d", "null",
    "\u00e9\u4e2d\U0001f600\u2028\u202e", "x" * 1_000_000, [], {}, [[]], {"": {}}, [None, [True, [1, [1.5, ["deep"]]]]],
    {"a.b": 1, 'a"b': 2, "$": [3], "a": {"b": 4}},
)  # fmt: skip

LOOP: list[Any] = []
LOOP.append(LOOP)

NO_VALUES: tuple[Any, ...] = (
    float("nan"), float("inf"), float("-inf"), b"bytes", {1: "one"}, {None: 0}, {"a": {True: 1}}, {1, 2}, object(), 1j,
    [float("nan")], {"a": b""}, datetime.date(2026, 1, 1), LOOP,
)  # fmt: skip

KEYS = (
    "a", "A", "a b", "x" * 512, "teams:moon:task:1", "a'; DROP TABLE items; --",
    "%", "_", "*", "?", "[a]", "\\", "'", '"',
    "\u00e9", "e\u0301", "\u4e2d", "\uff5e", "\U0001f600", "/", ".", "..", "$", ">", "{a}", "0", "null",
)  # fmt: skip

NO_KEYS: tuple[Any, ...] = ("", "x" * 513, "a\nb", "a\x00b", "\t", "\u200b", "\ud800", 5, None, True, b"a", ["a"])

NO_LIFETIMES: tuple[Any, ...] = (
    float("nan"), float("inf"), float("-inf"), -1, 0, 0.0, -1e-9, 2e11, 9223372036854775807, 10**400, True, "5", [],
)  # fmt: skip

WANTED: tuple[Json, ...] = (True, False, None, 0, 1, "", "1", "true", "ready", "\u00e9", 'a"b', "\n", "%")


class StoreValues(Shelving):
    """What comes in comes out, and nothing else does."""

    def test_has_a_name(self, store: Store) -> None:
        """Its name is a plain lower-case word."""
        assert re.fullmatch(r"[a-z][a-z0-9-]*", store.name)

    def test_holds_nothing_at_first(self, store: Store) -> None:
        """In an empty store nothing is found, and nothing can be deleted."""

        async def story(here: Store, there: Store) -> None:
            for handle in (here, there):
                assert await handle.get("a") is None
                assert () == await handle.list()
                assert await handle.first("", {}) is None
                assert await handle.delete("a") is False
                assert await handle.delete("a", 1) is False
                assert await handle.compare_and_set("a", 1, "value") is None
                assert {"items": []} == await handle.snapshot()

        self.perform(store, story)

    def test_gives_back_what_was_put(self, store: Store) -> None:
        """`put` returns what `get` and `list` find then, here and elsewhere, with the time by the store's clock."""

        async def story(here: Store, there: Store) -> None:
            before = await here.now()
            put = await here.put("a", {"n": 1})
            after = await there.now()

            assert ("a", {"n": 1}, None) == (put.key, put.value, put.expires)
            assert before <= put.written <= after
            assert put.version > 0
            assert [told(put)] * 2 == [told(await here.get("a")), told(await there.get("a"))]
            assert {"a": told(put)} == await contents(here) == await contents(there)

        self.perform(store, story)

    @pytest.mark.parametrize("nth", range(len(VALUES)))
    def test_keeps_every_value_exactly(self, store: Store, nth: int) -> None:
        """Any JSON comes back as it was, whichever way it went in and out."""
        self._keeps(store, VALUES[nth])

    @pytest.mark.parametrize("seed", range(20))
    def test_keeps_any_value_exactly(self, store: Store, seed: int) -> None:
        """Whatever JSON chance brings is kept."""
        dice = dice_of(f"value {seed}")
        self._keeps(store, [odd_json(dice) for _ in range(10)])

    def _keeps(self, store: Store, value: Json) -> None:
        async def story(here: Store, there: Store) -> list[Json]:
            put = await here.put("put", value)
            swapped = await must(here.compare_and_set("swapped", 0, value))
            got = [await there.get("put"), await there.get("swapped"), *await there.list()]
            shot = await there.snapshot()
            await here.restore(shot)
            restored = [item["value"] for item in shot["items"]]
            return [put.value, swapped.value, *restored, *(item and item.value for item in (*got, *await there.list()))]

        assert [exactly(value)] * 10 == [exactly(found) for found in self.perform(store, story)]

    def test_takes_odd_text_or_says_no(self, store: Store) -> None:
        """The oddest text comes back as it was, or is refused as no JSON."""

        async def story(here: Store, there: Store) -> None:
            for text in ODD_TEXTS:
                try:
                    await here.put("odd", [text, {text: text}])
                except SettingsError:
                    continue
                found = await there.get("odd")
                assert found is not None
                assert [text, {text: text}] == found.value

        self.perform(store, story)

    def test_values_are_nobody_elses(self, store: Store) -> None:
        """Whoever changes what he put, or what he got, changes nothing in the store."""

        async def story(here: Store, there: Store) -> None:
            mine: Any = {"list": [1]}
            put = await here.put("put", mine)
            swapped = await must(here.compare_and_set("swapped", 0, mine))
            before = await contents(here)
            mine["list"].append(2)
            listed, first = await here.list(), await here.first("", {})
            shot = await here.snapshot()
            for item in (put, swapped, *listed, await here.get("put"), first):
                assert item is not None
                item.value["list"].append(3)
            for entry in shot["items"]:
                entry["value"]["list"].append(4)

            assert before == await contents(here) == await contents(there)

            await here.restore(shot)
            before = await contents(here)
            shot["items"][0]["value"]["list"].append(5)
            assert before == await contents(here)

        self.perform(store, story)

    def test_refuses_what_is_not_json(self, store: Store) -> None:
        """NaN, bytes, numbers as keys, objects: refused by name, and nothing has changed."""
        calls = [(method, "a", value, None) for value in NO_VALUES for method in ("put", "compare_and_set")]
        self._refuses(store, calls)

    def test_refuses_what_is_no_key(self, store: Store) -> None:
        """Keys that are empty, too long, unprintable or no text: each operation refuses them and changes nothing."""
        methods = ("get", "put", "compare_and_set", "delete")
        self._refuses(store, [(method, key, 1, None) for key in NO_KEYS for method in methods])

    def test_refuses_what_is_no_lifetime(self, store: Store) -> None:
        """Lifetimes that are no number, not above 0, or without end: refused, and nothing has changed."""
        calls = [(method, "a", 1, ttl) for ttl in NO_LIFETIMES for method in ("put", "compare_and_set")]
        self._refuses(store, calls)

    def _refuses(self, store: Store, calls: list[tuple[str, Any, Any, Any]]) -> None:
        async def story(here: Store, there: Store) -> None:
            item = await here.put("a", "stays")
            for method, key, value, ttl in calls:
                given = {
                    "get": (key,), "delete": (key,), "put": (key, value, ttl),
                    "compare_and_set": (key, item.version, value, "", ttl),
                }[method]  # fmt: skip
                with pytest.raises(SettingsError):
                    await getattr(here, method)(*given)
                assert {"a": told(item)} == await contents(there), f"{method}{given!r} was refused and did it"
            assert (await here.put("a", "goes")).version > item.version

        self.perform(store, story)

    def test_takes_any_key(self, store: Store) -> None:
        """Any printable text is a key of its own."""

        async def story(here: Store, there: Store) -> None:
            for nth, key in enumerate(KEYS):
                await here.put(key, nth)
            for nth, key in enumerate(KEYS):
                found = await there.get(key)
                assert found is not None
                assert (key, nth) == (found.key, found.value)

            assert len(KEYS) == len(await there.list())

        self.perform(store, story)

    def test_lists_by_prefix_in_order(self, store: Store) -> None:
        """`list` finds just the keys that begin with the prefix, letter by letter, sorted by code point."""

        async def story(here: Store, there: Store) -> None:
            keys = {*KEYS, *(f"{key}{key}" for key in KEYS if len(key) < 9), "teams:moon:task:10", "teams:moon:task:2"}
            for key in keys:
                await here.put(key, key)
            for prefix in ("", *keys, "x", "teams:", "nothing", "a\n", "\u4e2c", "x" * 600):
                expected = sorted(key for key in keys if key.startswith(prefix))
                assert expected == [item.key for item in await there.list(prefix)]

        self.perform(store, story)

    def test_tells_true_from_one(self, store: Store) -> None:
        """`first` wants fields that are there, at the top, and of the very kind."""

        async def story(here: Store, there: Store) -> None:
            values: list[Json] = [
                None, "done", ["done"], {}, {"in": {"done": True}}, {"done": [True]}, {"done": "true"}, {"done": 1},
                {"done": 1.0}, {"done": True}, {"done": None}, {"done": {"done": False}}, {"note": '"done":false'},
            ]  # fmt: skip
            for nth, value in enumerate(values):
                await here.put(f"{nth:02}", value)
            found = [await there.first("", {"done": want}) for want in (True, 1, None, "true", False)]
            assert ["09", "07", "10", "06", None] == [item and item.key for item in found]
            assert ["03", "12"] == [
                item and item.key for item in (await here.first("", {}), await here.first("12", {}))
            ]

        self.perform(store, story)

    @pytest.mark.parametrize("seed", range(10))
    def test_finds_the_first_that_matches(self, store: Store, seed: int) -> None:
        """`first` finds what looking through `list` finds."""
        dice = dice_of(f"first {seed}")

        async def story(here: Store, there: Store) -> None:
            for nth in range(40):
                await here.put(f"{dice.choice('ab%')}{nth}", a_record(dice))
            for _ in range(40):
                prefix, where = dice.choice(["", "a", "b", "%"]), a_record(dice)
                found = await there.first(prefix, where)
                assert told(found) == told(await Store.first(here, prefix, where))

        self.perform(store, story)


def a_record(dice: random.Random) -> dict[str, Json]:
    names = ["state", "owner", "a.b", 'a"b', "\u00e9", ""]
    return {name: dice.choice(WANTED) for name in names[: dice.randrange(1, 7)] if dice.random() < 0.5}
