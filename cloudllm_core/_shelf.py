"""A store as a mode sees it: each operation is an effect of the run, so that a replay never touches the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ._contracts import Effect
from ._messages import Json, JsonObject
from ._stores import Item, Items, Store


class JournalledStore(Store):
    """*inner*, each operation performed by *do*; what changes something is finished even when its strand is stopped."""

    name: ClassVar[str] = "journalled"

    def __init__(self, do: Callable[..., Any], inner: Store) -> None:
        self._do, self._inner = do, inner

    async def _call(self, verb: str, effect: Effect, *args: Json) -> Any:
        async def perform(*args: Json) -> Any:
            return await getattr(self._inner, verb)(*args)

        return await self._do(f"store.{verb}", perform, *args, effect=effect)

    async def get(self, key: str) -> Item | None:
        return _item(await self._call("get", "read", key))

    async def put(self, key: str, value: Json, ttl: float | None = None) -> Item:
        return Item.from_json(await self._call("put", "write", key, value, ttl))

    async def compare_and_set(
        self, key: str, expected: int, value: Json, op: str = "", ttl: float | None = None
    ) -> Item | None:
        return _item(await self._call("compare_and_set", "write", key, expected, value, op, ttl))

    async def delete(self, key: str, expected: int | None = None) -> bool:
        return bool(await self._call("delete", "write", key, expected))

    async def list(self, prefix: str = "") -> Items:
        return tuple(map(Item.from_json, await self._call("list", "read", prefix)))

    async def first(self, prefix: str, where: Mapping[str, Json]) -> Item | None:
        return _item(await self._call("first", "read", prefix, dict(where)))

    async def now(self) -> float:
        return float(await self._call("now", "read"))

    async def snapshot(self) -> dict[str, Json]:
        return dict(await self._call("snapshot", "read"))

    async def restore(self, snapshot: JsonObject) -> None:
        await self._call("restore", "write", dict(snapshot))


def _item(body: Json) -> Item | None:
    return None if body is None else Item.from_json(body)
