"""
What a pool promises on any store, as tests: subclass `PoolContract` in the tests of a store.

::

    class TestPoolOnShelf(PoolContract):
        @pytest.fixture
        def store(self, tmp_path) -> Store:
            return Shelf(tmp_path / "shelf")

Run it with pytest. Processes that are killed are for a test of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from cloudllm_core import Store

from .items import WorkItem
from .machine import Machine, walk
from .pool import Pool, PoolError
from .world import Seen, World


class PoolContract:
    """What a pool promises on any store. Subclass it and write the fixture ``store``."""

    seeds: ClassVar[int] = 20
    """How many walks of the state machine are tried."""

    steps: ClassVar[int] = 60
    """Actions in each."""

    def run(self, store: Store, main: Callable[[], Awaitable[Any]]) -> Any:
        """Run *main* and close the store."""

        async def closing() -> Any:
            try:
                return await main()
            finally:
                await store.aclose()

        return asyncio.run(closing())

    def test_whatever_happens(self, store: Store) -> None:
        """Claims, renewals, crashes, lost answers, clocks that are wrong or put back: every invariant holds."""

        async def main() -> None:
            for seed in range(self.seeds):
                try:
                    await walk(Machine(store), seed, self.steps)
                except AssertionError as broken:
                    raise AssertionError(f"seed {seed}: {broken}") from broken
                for item in await store.list("teams:model:"):
                    await store.delete(item.key)

        self.run(store, main)

    def test_one_winner_of_each_claim(self, store: Store) -> None:
        """Eight workers who claim at once: each task is handed out once, and all are."""

        async def work(name: str) -> list[str]:
            pool, won = Pool(store, "race"), []
            while claim := await pool.claim(name):
                won.append(claim.task.id)
                assert (await pool.complete(claim.task.id, name, claim.fence, name)).accepted
            return won

        async def main() -> list[list[str]]:
            await Pool(store, "race").submit(WorkItem(f"t{nth:02}") for nth in range(40))
            return await asyncio.gather(*(work(f"w{nth}") for nth in range(8)))

        won = self.run(store, main)
        assert [f"t{nth:02}" for nth in range(40)] == sorted(id for ids in won for id in ids)

    def test_a_lost_answer_is_found_again(self, store: Store) -> None:
        """A claim, a completion and a release whose answer got lost once were done once, and are known to be."""
        world = World(store)

        async def main() -> None:
            pool = Pool(Seen(world), "lossy")
            await pool.submit([WorkItem("a"), WorkItem("b")])
            world.lost = 1
            claim = await pool.claim("w")
            assert claim is not None
            world.lost = 1
            assert not (await pool.complete("a", "w", claim.fence, "fine")).already
            claim = await pool.claim("w")
            assert claim is not None
            world.lost = 1
            assert (await pool.release("b", "w", claim.fence, "later")).accepted
            states = [(task.id, task.state, task.fence, task.attempts) for task in (await pool.look()).tasks]
            assert [("a", "done", 1, 1), ("b", "ready", 1, 1)] == states

        self.run(store, main)

    def test_handing_in_again_changes_nothing(self, store: Store) -> None:
        """The same tasks twice, and by two at once, are there once; another content under an id is refused."""

        async def main() -> None:
            pool, tasks = Pool(store, "twice"), [WorkItem("a"), WorkItem("b", after=("a",))]
            await asyncio.gather(pool.submit(tasks), pool.submit(tasks))
            before = await store.list("teams:twice:task:")
            await pool.submit(tasks)
            assert before == await store.list("teams:twice:task:")
            problem = ""
            try:
                await pool.submit([WorkItem("c"), WorkItem("a", "something else")])
            except PoolError as refused:
                problem = str(refused)
            assert "It has a task 'a' already, and its description is '', not 'something else'." in problem
            assert before == await store.list("teams:twice:task:")

        self.run(store, main)

    def test_pools_do_not_mix(self, store: Store) -> None:
        """Two pools in one store know nothing of each other, also when one's name begins with the other's."""

        async def main() -> None:
            first, second = Pool(store, "api"), Pool(store, "api_v2")
            await first.submit([WorkItem("a")])
            await second.submit([WorkItem("a", "another"), WorkItem("b")])
            assert await first.claim("w") is not None
            assert ["a"] == [task.id for task in (await first.look()).tasks]
            assert ["ready", "ready"] == [task.state for task in (await second.look()).tasks]

        self.run(store, main)
