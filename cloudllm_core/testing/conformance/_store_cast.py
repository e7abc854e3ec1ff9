"""The store under test: who holds it, and how time passes for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeAlias

import pytest

from ..._messages import Json
from ..._stores import Item, Store

Story: TypeAlias = Callable[[Store, Store], Awaitable[Any]]
"""What happens to a store, through two handles on it."""


class Shelving:
    """What the claims need to know about the store under test."""

    lifetime: ClassVar[float] = 60.0
    """
    Seconds that what is short-lived lives here. With `advance` as it is, they pass for real: then 0.3, say.
    A claim about what lives still looks at the clock first, so a slow machine does no harm.
    """

    @pytest.fixture
    def store(self) -> Store:
        """The store under test, empty."""
        raise NotImplementedError("Write a fixture `store` that returns an empty store.")

    def another(self, store: Store) -> Store:
        """Another handle on what *store* holds, as another process has it; *store* itself if nobody else gets at it."""
        return store

    async def advance(self, store: Store, seconds: float) -> None:
        """Let time pass for *store*. Override it where the store's clock can be set."""
        until = await store.now() + seconds
        for _ in range(500):
            if await store.now() > until:
                return
            await asyncio.sleep(seconds / 25)
        pytest.fail(f"{seconds} s do not pass by the store's clock.")

    def perform(self, store: Store, story: Story) -> Any:
        """Tell *story* with two handles, and close both."""

        async def main() -> Any:
            other = self.another(store)
            try:
                return await story(store, other)
            finally:
                await other.aclose()
                await store.aclose()

        return asyncio.run(main())


def exactly(value: Json) -> str:
    """*value* as text: true is not 1, and 1.0 is not 1."""
    return json.dumps(value, sort_keys=True)


def told(item: Item | None) -> str:
    """All that *item* says."""
    return exactly(None if item is None else item.to_json())


async def contents(store: Store) -> dict[str, str]:
    """What *store* holds, with versions and lifetimes."""
    return {item.key: told(item) for item in await store.list()}


async def must(writing: Awaitable[Item | None]) -> Item:
    """What a `compare_and_set` that must succeed left there."""
    item = await writing
    assert item is not None
    return item


async def lives(store: Store, item: Item) -> bool:
    """Whether *item* is there, unless its time is up."""
    there = await store.get(item.key)
    return told(item) == told(there) or (item.expires is not None and await store.now() >= item.expires)
