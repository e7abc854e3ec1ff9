"""Claims about many who use a store at once, and about any order of operations."""

from __future__ import annotations

import asyncio
import random

import attrs
import pytest

from ..._messages import Json
from ..._stores import Item, Store
from ._chance import dice_of, odd_json
from ._store_cast import Shelving, contents, exactly, must, told

CROWD = 12
"""How many do something at once."""


class StoreRaces(Shelving):
    """Each operation is one moment, whoever else is at it."""

    def test_no_increment_is_lost(self, store: Store) -> None:
        """Many who count in one key by compare-and-set, here and elsewhere, count every time."""

        async def story(here: Store, there: Store) -> Json:
            await here.put("n", 0)

            async def count(handle: Store) -> None:
                for _ in range(5):
                    while True:
                        item = await handle.get("n")
                        assert item is not None
                        if await handle.compare_and_set("n", item.version, item.value + 1) is not None:
                            break

            await asyncio.gather(*(count((here, there)[nth % 2]) for nth in range(CROWD)))
            return await value_of(there, "n")

        assert 5 * CROWD == self.perform(store, story)

    @pytest.mark.parametrize("free", [True, False])
    def test_one_of_many_claims_wins(self, store: Store, free: bool) -> None:
        """Of many who claim a key at once one wins, the others are told, and what stands there is the winner's."""

        async def story(here: Store, there: Store) -> None:
            for key in "abcd":
                version = 0 if free else (await here.put(key, None)).version
                claims = [(here, there)[nth % 2].compare_and_set(key, version, nth, f"{nth}") for nth in range(CROWD)]
                won = [item for item in await asyncio.gather(*claims) if item is not None]
                assert [told(item) for item in won] == [told(await there.get(key))]

        self.perform(store, story)

    def test_many_repetitions_are_one_write(self, store: Store) -> None:
        """The same write sent many times at once succeeds each time and is one write."""

        async def story(here: Store, there: Store) -> None:
            claims = [(here, there)[nth % 2].compare_and_set("a", 0, "mine", "op") for nth in range(CROWD)]
            answers = {told(item) for item in await asyncio.gather(*claims)}
            assert {told(await there.get("a"))} == answers - {told(None)} == answers

        self.perform(store, story)

    def test_one_of_many_deletions_counts(self, store: Store) -> None:
        """Of many who delete a key at once one is told that it was there."""

        async def story(here: Store, there: Store) -> None:
            for expected in (True, False):
                version = (await here.put("a", 1)).version
                deletions = [(here, there)[nth % 2].delete("a", version if expected else None) for nth in range(CROWD)]
                assert 1 == sum(await asyncio.gather(*deletions))

        self.perform(store, story)

    def test_writes_at_once_have_versions_of_their_own(self, store: Store) -> None:
        """Writes at once, of one key and of many, never share a version; the greatest stands."""

        async def story(here: Store, there: Store) -> None:
            puts = [(here, there)[nth % 2].put(("a", f"b{nth}")[nth % 3 == 0], nth) for nth in range(3 * CROWD)]
            items = await asyncio.gather(*puts)
            assert len(items) == len({item.version for item in items})
            newest: dict[str, Item] = {}
            for item in sorted(items, key=lambda item: item.version):
                newest[item.key] = item
            assert {key: told(item) for key, item in newest.items()} == await contents(there)

        self.perform(store, story)

    def test_a_list_shows_one_moment(self, store: Store) -> None:
        """Whoever lists while everything is replaced sees all of the old or all of the new."""
        shots = [
            {"items": [{"key": f"{nth:02}", "value": word, "ttl": None} for nth in range(20)]}
            for word in ("old", "new")
        ]

        async def story(here: Store, there: Store) -> None:
            await here.restore(shots[0])

            async def look(handle: Store) -> None:
                for _ in range(5):
                    items = await handle.list()
                    assert (20, 1) == (len(items), len({item.value for item in items}))

            async def replace(handle: Store) -> None:
                for nth in range(6):
                    await handle.restore(shots[nth % 2])
                    await asyncio.sleep(0)

            await asyncio.gather(look(there), replace(here), look(here), replace(there), look(there))

        self.perform(store, story)

    def test_can_be_closed_and_used_again(self, store: Store) -> None:
        """What is closed opens again when it is used, with all it held; closing twice or unused does no harm."""

        async def story(here: Store, there: Store) -> None:
            await here.aclose()
            await there.aclose()
            item = await must(here.compare_and_set("a", 0, 1, "op"))
            for _ in range(2):
                await here.aclose()
                await here.aclose()
                assert told(item) == told(await here.get("a")) == told(await there.get("a"))
                assert told(item) == told(await here.compare_and_set("a", 0, 1, "op"))
            assert (await here.put("b", 1)).version > item.version

        self.perform(store, story)

    def test_serves_one_loop_after_another(self, store: Store) -> None:
        """A store that one event loop has used serves the next as well, closed in between or not."""

        async def use(nth: int) -> None:
            await asyncio.gather(*(store.put(f"{nth}-{n}", n) for n in range(5)))
            assert 5 * (nth + 1) == len(await store.list())
            if nth == 1:
                await store.aclose()

        for nth in range(3):
            asyncio.run(use(nth))
        asyncio.run(store.aclose())

    def test_goes_on_when_a_caller_is_cancelled(self, store: Store) -> None:
        """A write whose caller is cancelled happened whole or not at all, and nobody else notices."""

        async def story(here: Store, there: Store) -> None:
            for nth in range(10):
                tasks = [asyncio.ensure_future(here.put(f"{nth}-{n}", [n] * 100)) for n in range(5)]
                for _ in range(nth % 4):
                    await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(item, Item) for item in done[1::2])
                assert all(isinstance(item, (Item, asyncio.CancelledError)) for item in done)
                await there.put("after", nth)
                for item in await there.list(f"{nth}-"):
                    assert [int(item.key.partition("-")[2])] * 100 == item.value
                assert nth == await value_of(here, "after")

        self.perform(store, story)

    @pytest.mark.parametrize("seed", range(12))
    def test_does_what_a_dictionary_does(self, store: Store, seed: int) -> None:
        """Whatever is done in whatever order, here and elsewhere, is what a plain dictionary with versions would do."""

        async def story(here: Store, there: Store) -> None:
            program = Program(self, dice_of(f"program {seed}"), [here, there])
            for _ in range(60):
                await program.step()
            assert {key: told(item) for key, item in program.items.items()} == await contents(there)

        self.perform(store, story)


async def value_of(store: Store, key: str) -> Json:
    item = await store.get(key)
    assert item is not None
    return item.value


@attrs.define(eq=False)
class Program:
    """Random operations, each compared with what a dictionary says."""

    shelving: Shelving
    dice: random.Random
    handles: list[Store]
    items: dict[str, Item] = attrs.Factory(dict)
    ops: dict[str, str] = attrs.Factory(dict)
    versions: list[int] = attrs.Factory(lambda: [0])
    shots: list[dict[str, Json]] = attrs.Factory(lambda: [{"items": []}])

    async def step(self) -> None:
        """Do something; what is about to expire has expired before, so that there is one right answer."""
        store = self.dice.choice(self.handles)
        now = await store.now()
        ends = [item.expires for item in self.items.values() if item.expires is not None]
        soon = [end for end in ends if end < now + self.shelving.lifetime / 3]
        if soon:
            await self.shelving.advance(store, max(0.0, max(soon) - now) + 1e-3)
        elif self.dice.random() < 0.1:
            await self.shelving.advance(store, self.shelving.lifetime / 2)
        now = await store.now()
        self.items = {key: item for key, item in self.items.items() if item.expires is None or item.expires > now}
        self.ops = {key: op for key, op in self.ops.items() if key in self.items}
        verbs = [self.put, self.put, self.set, self.set, self.set, self.delete, self.look, self.look, self.shoot]
        await self.dice.choice(verbs)(store, self.dice.choice(["a", "ab", "a%", "b", "_", "\U0001f600"]))

    def ttl(self) -> float | None:
        return self.dice.choice([None, None, self.shelving.lifetime, 50 * self.shelving.lifetime])

    async def put(self, store: Store, key: str) -> None:
        value, ttl = odd_json(self.dice), self.ttl()
        self.took(await store.put(key, value, ttl), key, value, ttl, "")

    async def set(self, store: Store, key: str) -> None:
        there, value, ttl = self.items.get(key), odd_json(self.dice), self.ttl()
        right = there.version if there else 0
        expected = self.dice.choice([right, right, 0, self.dice.choice(self.versions)])
        op = self.dice.choice(["", "op 1", "op 2", f"op {len(self.versions)}"])
        item = await store.compare_and_set(key, expected, value, op, ttl)
        if op and self.ops.get(key) == op:
            assert told(there) == told(item)
        elif expected == right:
            assert item is not None
            self.took(item, key, value, ttl, op)
        else:
            assert item is None

    def took(self, item: Item, key: str, value: Json, ttl: float | None, op: str) -> None:
        assert (key, exactly(value)) == (item.key, exactly(item.value))
        assert item.version > max(self.versions)
        assert (ttl is None) == (item.expires is None)
        self.items[key], self.ops[key] = item, op
        self.versions.append(item.version)

    async def delete(self, store: Store, key: str) -> None:
        there = self.items.get(key)
        expected = self.dice.choice([None, there.version if there else 0, self.dice.choice(self.versions)])
        counts = there is not None and expected in (None, there.version)
        assert counts is await store.delete(key, expected)
        if counts:
            del self.items[key], self.ops[key]

    async def look(self, store: Store, key: str) -> None:
        assert told(self.items.get(key)) == told(await store.get(key))
        prefix = self.dice.choice(["", key])
        expected = [told(self.items[one]) for one in sorted(self.items) if one.startswith(prefix)]
        assert expected == [told(item) for item in await store.list(prefix)]

    async def shoot(self, store: Store, key: str) -> None:
        """Keep a snapshot, or go back to one."""
        if self.dice.random() < 0.6:
            self.shots.append(await store.snapshot())
            kept = [(key, exactly(self.items[key].value)) for key in sorted(self.items)]
            assert kept == [(one["key"], exactly(one["value"])) for one in self.shots[-1]["items"]]
            return
        shot = self.dice.choice(self.shots)
        await store.restore(shot)
        self.items = {item.key: item for item in await store.list()}
        self.ops = dict.fromkeys(self.items, "")
        assert [one["key"] for one in shot["items"]] == list(self.items)
        for one, item in zip(shot["items"], self.items.values(), strict=True):
            assert exactly(one["value"]) == exactly(item.value)
            assert item.version > max(self.versions)
            assert (one["ttl"] is None) == (item.expires is None)
        self.versions.extend(item.version for item in self.items.values())
