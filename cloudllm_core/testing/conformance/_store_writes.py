"""Claims about versions, compare-and-set and deletion."""

from __future__ import annotations

from ..._stores import Store
from ._store_cast import Shelving, contents, must, told


class StoreWrites(Shelving):
    """Who may change what."""

    def test_no_version_comes_twice(self, store: Store) -> None:
        """Each write has a greater version than all before, whatever the key, also after a deletion or a restore."""

        async def story(here: Store, there: Store) -> None:
            versions = [(await here.put("a", 1)).version, (await there.put("b", 1)).version]
            versions.append((await here.put("a", 1)).version)
            versions.append((await must(there.compare_and_set("a", versions[-1], 2))).version)
            assert await here.delete("a")
            versions.append((await must(here.compare_and_set("a", 0, 3))).version)
            assert await there.delete("a")
            assert await there.delete("b")
            versions.append((await there.put("a", 1)).version)
            shot = await here.snapshot()
            await here.restore({"items": []})
            versions.append((await there.put("a", 1)).version)
            await there.restore(shot)
            versions.extend(item.version for item in await here.list())
            versions.append((await here.put("c", 1)).version)

            assert sorted(set(versions)) == versions

        self.perform(store, story)

    def test_sets_only_what_is_as_expected(self, store: Store) -> None:
        """`compare_and_set` writes over the expected version, or over nothing where 0 is expected, and else not."""

        async def story(here: Store, there: Store) -> None:
            other = await here.put("other", "x")
            first = await must(here.compare_and_set("a", 0, "first"))
            assert ("first", "a", None) == (first.value, first.key, first.expires)
            for expected in (0, first.version + 1, first.version - 1, other.version, -1):
                assert await there.compare_and_set("a", expected, "late") is None
            assert {"a": told(first), "other": told(other)} == await contents(here)

            second = await must(there.compare_and_set("a", first.version, "second"))
            assert second.version > first.version
            assert await here.compare_and_set("a", first.version, "stale") is None
            assert {"a": told(second), "other": told(other)} == await contents(here)

            await here.delete("a")
            assert await there.compare_and_set("a", second.version, "gone") is None
            third = await must(there.compare_and_set("a", 0, "third"))
            assert {"a": told(third), "other": told(other)} == await contents(here)

        self.perform(store, story)

    def test_a_repeated_write_succeeds_once(self, store: Store) -> None:
        """The write that stands there already succeeds again and changes nothing, for whoever asks."""

        async def story(here: Store, there: Store) -> None:
            one = await must(here.compare_and_set("a", 0, "one", "op 1"))
            for expected in (0, one.version, 99):
                again = await there.compare_and_set("a", expected, "one", "op 1", self.lifetime)
                assert told(one) == told(again)
            assert await there.compare_and_set("a", 0, "one", "op 2") is None
            assert (await must(there.compare_and_set("b", 0, "one", "op 1"))).version > one.version, "of another key"
            two = await must(here.compare_and_set("a", one.version, "two", "op 2"))
            assert await there.compare_and_set("a", 0, "one", "op 1") is None
            assert told(two) == told(await there.compare_and_set("a", one.version, "two", "op 2"))
            assert told(two) == told(await here.get("a"))

        self.perform(store, story)

    def test_a_write_that_was_overwritten_is_not_repeated(self, store: Store) -> None:
        """Once somebody else has written, or deleted, a repetition is a new write and must expect what is there."""

        async def story(here: Store, there: Store) -> None:
            one = await must(here.compare_and_set("a", 0, "one", "op"))
            put = await there.put("a", "put")
            assert await here.compare_and_set("a", 0, "one", "op") is None
            assert told(put) == told(await here.get("a"))

            two = await must(here.compare_and_set("a", put.version, "two", "op"))
            await there.delete("a")
            assert await here.compare_and_set("a", one.version, "two", "op") is None
            assert await here.get("a") is None
            assert (await must(here.compare_and_set("a", 0, "two", "op"))).version > two.version

        self.perform(store, story)

    def test_writes_without_a_name_are_not_repetitions(self, store: Store) -> None:
        """An empty *op* is none: such a write must expect what is there."""

        async def story(here: Store, there: Store) -> None:
            one = await must(here.compare_and_set("a", 0, "one"))
            assert await there.compare_and_set("a", 0, "one") is None
            assert await there.compare_and_set("a", 0, "one", "") is None
            put = await here.put("b", "one")
            assert await there.compare_and_set("b", 0, "one", "") is None
            assert {"a": told(one), "b": told(put)} == await contents(here)

        self.perform(store, story)

    def test_deletes_only_what_is_as_expected(self, store: Store) -> None:
        """`delete` says whether something was there; with an expected version only that one goes."""

        async def story(here: Store, there: Store) -> None:
            one = await here.put("a", 1)
            other = await here.put("ab", 1)
            for expected in (0, one.version + 1, other.version):
                assert await there.delete("a", expected) is False
            assert told(one) == told(await here.get("a"))
            assert await there.delete("a", one.version) is True
            assert [False, False] == [await here.delete("a"), await there.delete("a", one.version)]
            await here.put("a", 2)
            assert await there.delete("a") is True
            assert {"ab": told(other)} == await contents(here)

        self.perform(store, story)
