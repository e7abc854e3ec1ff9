"""A store with weather, for trying pools out: its time is set, answers get lost, others come in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import attrs

from cloudllm_core import Item, Store
from cloudllm_core.errors import StoreError


@attrs.define(eq=False)
class World:
    """A store, and what happens to those who use it."""

    store: Store
    time: float = 1_000.0
    """What the store's clock says; a pool asks nothing else for the time."""

    lost: int = 0
    """How many of the next answers to `compare_and_set` get lost, after it was done."""

    between: Callable[[], Awaitable[None]] | None = None
    """Happens once, just before the next `compare_and_set`: somebody else was faster."""


class Seen(Store):
    """The store of *world* as a worker sees it whose own clock is *skew* seconds ahead."""

    name: ClassVar[str] = "seen"

    def __init__(self, world: World, skew: float = 0.0) -> None:
        self.world, self.skew = world, skew

    async def get(self, key: str) -> Item | None:
        return await self.world.store.get(key)

    async def put(self, key: str, value: Any, ttl: float | None = None) -> Item:
        return await self.world.store.put(key, value, ttl)

    async def compare_and_set(
        self, key: str, expected: int, value: Any, op: str = "", ttl: float | None = None
    ) -> Item | None:
        if (between := self.world.between) is not None:
            self.world.between = None
            await between()
        item = await self.world.store.compare_and_set(key, expected, value, op, ttl)
        if self.world.lost:
            self.world.lost -= 1
            raise StoreError("seen", "did it, but the answer got lost on the way.")
        return item

    async def delete(self, key: str, expected: int | None = None) -> bool:
        return await self.world.store.delete(key, expected)

    async def list(self, prefix: str = "") -> tuple[Item, ...]:
        return await self.world.store.list(prefix)

    async def first(self, prefix: str, where: Mapping[str, Any]) -> Item | None:
        return await self.world.store.first(prefix, where)

    async def now(self) -> float:
        return self.world.time

    async def snapshot(self) -> dict[str, Any]:
        return await self.world.store.snapshot()

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        await self.world.store.restore(snapshot)
