"""Claims about lifetimes, and about snapshots."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..._messages import Json
from ..._stores import Store
from ...errors import SettingsError
from ._store_cast import Shelving, contents, exactly, lives, must, told

ITEM = {"key": "new", "value": 1, "ttl": None}

NO_SNAPSHOTS: tuple[Any, ...] = (
    None, [], {}, {"items": None}, {"items": {"key": "a"}}, {"items": [1]}, {"items": [ITEM, None]},
    {"items": [ITEM, {}]},
    {"items": [ITEM, {"key": "b"}]}, {"items": [ITEM, {"value": 1}]}, {"items": [ITEM, {**ITEM, "key": ""}]},
    {"items": [ITEM, {**ITEM, "key": 5}]}, {"items": [ITEM, {**ITEM, "key": "b", "value": float("nan")}]},
    {"items": [ITEM, {**ITEM, "key": "b", "value": b""}]}, {"items": [ITEM, {**ITEM, "key": "b", "ttl": -1}]},
    {"items": [ITEM, {**ITEM, "key": "b", "ttl": "1"}]}, {"items": [ITEM, {**ITEM, "value": 2}]},
)  # fmt: skip


class StoreLives(Shelving):
    """How long things are there."""

    def test_time_goes_on(self, store: Store) -> None:
        """`now` is in seconds, never goes back, and is the same clock for all."""

        async def story(here: Store, there: Store) -> None:
            times = []
            for _ in range(10):
                times += [await here.now(), await there.now()]
            assert sorted(times) == times
            await self.advance(here, self.lifetime)
            assert times[-1] + self.lifetime <= await there.now()

        self.perform(store, story)

    def test_what_expired_is_gone_for_every_operation(self, store: Store) -> None:
        """Once its time is up nothing finds it, nothing deletes it, and its key is free."""

        async def story(here: Store, there: Store) -> None:
            stays = await here.put("stays", {"state": "here"})
            items = [await here.put(f"short {nth}", {"state": "gone"}, self.lifetime) for nth in range(7)]
            items.append(await must(here.compare_and_set("swapped", 0, {"state": "gone"}, "op", self.lifetime)))
            for item in items:
                assert await lives(there, item)
            await self.advance(here, 1.1 * self.lifetime)

            assert await here.first("", {"state": "gone"}) is None
            assert await there.get("short 0") is None
            assert await here.delete("short 1") is False
            assert await there.delete("short 2", items[2].version) is False
            assert await here.compare_and_set("short 3", items[3].version, "late") is None
            assert await here.compare_and_set("swapped", items[7].version, "late", "op") is None
            free = await must(there.compare_and_set("short 4", 0, "mine"))
            assert free.version > max(item.version for item in items)
            again = await must(here.compare_and_set("swapped", 0, "again", "op"))
            assert {"stays": told(stays), "short 4": told(free), "swapped": told(again)} == await contents(here)
            assert 3 == len((await there.snapshot())["items"])

        self.perform(store, story)

    @pytest.mark.parametrize("look", ["get", "list", "first", "snapshot", "delete"])
    def test_whatever_looks_first_finds_nothing(self, store: Store, look: str) -> None:
        """No operation depends on another having found out that time is up."""

        async def story(here: Store, there: Store) -> Json:
            await here.put("a", {}, self.lifetime)
            await self.advance(there, 1.1 * self.lifetime)
            if look == "first":
                return await there.first("", {})
            found = await getattr(there, look)(*(["a"] if look in ("get", "delete") else []))
            return found["items"] if look == "snapshot" else found

        assert not self.perform(store, story)

    def test_says_when_it_ends(self, store: Store) -> None:
        """`expires` is the write's time and the lifetime, and stays; a snapshot tells what is left of it."""

        async def story(here: Store, there: Store) -> None:
            ttl = 10 * self.lifetime
            put = await here.put("put", 1, ttl)
            swapped = await must(here.compare_and_set("swapped", 0, 1, ttl=ttl))
            for item in (put, swapped):
                assert item.expires is not None
                assert ttl == pytest.approx(item.expires - item.written, abs=0.01)
            await self.advance(here, self.lifetime)
            assert {"put": told(put), "swapped": told(swapped)} == await contents(there)
            before = await there.now()
            left = [item["ttl"] for item in (await there.snapshot())["items"]]
            after = await there.now()
            for item, seconds in zip((put, swapped), left, strict=True):
                assert item.expires is not None
                assert item.expires - after - 0.01 <= seconds <= item.expires - before + 0.01

        self.perform(store, story)

    @pytest.mark.parametrize("method", ["put", "compare_and_set"])
    def test_an_overwritten_key_has_the_new_life(self, store: Store, method: str) -> None:
        """What was put with a lifetime and then with another, or with none, lives as the last write said."""
        short, long = self.lifetime, 100 * self.lifetime
        changes = {
            "none": (short, None), "longer": (short, long), "shorter": (long, short), "some": (None, short),
            "twice": (short, short),
        }  # fmt: skip

        async def story(here: Store, there: Store) -> None:
            for key, (before, after) in changes.items():
                old = await here.put(key, "old", before)
                if method == "put":
                    new = await there.put(key, "new", after)
                else:
                    new = await must(there.compare_and_set(key, old.version, "new", "op", after))
                assert await lives(here, new)
                assert (after is None) == (new.expires is None)
            await self.advance(here, 1.1 * self.lifetime)

            assert ["longer", "none"] == [item.key for item in await here.list()]
            assert [None, None] == [await there.get("shorter"), await there.get("some")]

        self.perform(store, story)

    def test_an_old_life_does_not_end_a_new_one(self, store: Store) -> None:
        """A key that was deleted, or that expired, and is written again is not reached by the end it had before."""

        async def story(here: Store, there: Store) -> None:
            for key in ("deleted", "restored"):
                await here.put(key, "old", self.lifetime)
            await here.delete("deleted")
            new = await there.put("deleted", "new")
            await self.advance(here, 0.5 * self.lifetime)
            await here.restore({"items": [{"key": "restored", "value": "new", "ttl": None}]})
            new = await there.put("deleted", "new")
            await self.advance(there, 0.6 * self.lifetime)

            assert told(new) == told(await here.get("deleted"))
            assert ["deleted", "restored"] == [item.key for item in await there.list()]

        self.perform(store, story)

    def test_takes_the_longest_life(self, store: Store) -> None:
        """A lifetime of three thousand years is as good as any."""

        async def story(here: Store, there: Store) -> None:
            item = await here.put("a", 1, 1e11)
            await self.advance(here, self.lifetime)
            assert told(item) == told(await there.get("a"))

        self.perform(store, story)

    def test_a_snapshot_brings_everything_back(self, store: Store) -> None:
        """A snapshot is JSON, by key; restored it is all there is, with the lives that were left, counted from then."""

        async def story(here: Store, there: Store) -> None:
            await here.put("b", {"deep": ["\u00e9", 1.0, None]})
            await here.put("a", 1, 100 * self.lifetime)
            await here.put("c", "short", self.lifetime)
            shot = await here.snapshot()
            assert [{"key", "value", "ttl"}] * len(shot["items"]) == [set(item) for item in shot["items"]]
            assert exactly(["a", "b", "c"]) == exactly([item["key"] for item in shot["items"]][:3])
            assert shot["items"][1]["ttl"] is None

            await there.put("d", "later")
            await there.put("a", "changed")
            await self.advance(here, 1.1 * self.lifetime)
            await there.restore(json.loads(json.dumps(shot)))
            again = await here.snapshot()
            kept = [(item["key"], exactly(item["value"])) for item in again["items"]]
            assert [(item["key"], exactly(item["value"])) for item in shot["items"]] == kept
            for old, new in zip(shot["items"], again["items"], strict=True):
                if old["ttl"] is None:
                    assert new["ttl"] is None
                else:
                    assert new["ttl"] <= old["ttl"] + 0.01

            await self.advance(here, 1.1 * self.lifetime)
            assert ["a", "b"] == [item.key for item in await there.list()]

        self.perform(store, story)

    @pytest.mark.parametrize("nth", range(len(NO_SNAPSHOTS)))
    def test_a_bad_snapshot_changes_nothing(self, store: Store, nth: int) -> None:
        """A snapshot of which any part cannot be restored is refused, and everything is as it was."""

        async def story(here: Store, there: Store) -> None:
            await here.put("a", 1)
            await must(here.compare_and_set("b", 0, 2, "op", 100 * self.lifetime))
            before = await contents(here)
            with pytest.raises(SettingsError):
                await here.restore(NO_SNAPSHOTS[nth])
            assert before == await contents(here) == await contents(there)
            assert before["b"] == told(await there.compare_and_set("b", 0, 2, "op"))

        self.perform(store, story)
