"""A store and a thought chain of a few lines, for tests of the kernel."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import attrs

from cloudllm_core import Item, Store, Thought, ThoughtChain
from cloudllm_core._messages import Json, JsonObject
from cloudllm_core._stores import Items
from cloudllm_core.storing import checked_key, checked_ttl


@attrs.define(eq=False)
class Shelf(Store):
    """Keeps values in a dictionary, and tells what was asked of it."""

    name: ClassVar[str] = "shelf"
    location: str = ""
    clock: Callable[[], float] = lambda: 1000.0
    asked: list[str] = attrs.Factory(list)
    closed: int = 0
    _items: dict[str, tuple[str, int, str]] = attrs.Factory(dict)
    _versions: itertools.count[int] = attrs.Factory(lambda: itertools.count(1))

    def _item(self, key: str) -> Item | None:
        if key not in self._items:
            return None
        text, version, _ = self._items[key]
        return Item(key=key, value=json.loads(text), version=version, written=1000.0)

    async def get(self, key: str) -> Item | None:
        self.asked.append(f"get {key}")
        return self._item(checked_key(key))

    async def put(self, key: str, value: Json, ttl: float | None = None) -> Item:
        self.asked.append(f"put {key}")
        checked_ttl(ttl)
        self._items[checked_key(key)] = json.dumps(value), next(self._versions), ""
        item = self._item(key)
        assert item is not None
        return item

    async def compare_and_set(
        self, key: str, expected: int, value: Json, op: str = "", ttl: float | None = None
    ) -> Item | None:
        self.asked.append(f"compare_and_set {key}")
        _, version, by = self._items.get(key, ("", 0, ""))
        if op and by == op:
            return self._item(key)
        if version != expected:
            return None
        self._items[key] = json.dumps(value), next(self._versions), op
        return self._item(key)

    async def delete(self, key: str, expected: int | None = None) -> bool:
        self.asked.append(f"delete {key}")
        return self._items.pop(key, None) is not None

    async def list(self, prefix: str = "") -> Items:
        self.asked.append(f"list {prefix}")
        found = [self._item(key) for key in sorted(self._items) if key.startswith(prefix)]
        return tuple(item for item in found if item is not None)

    async def now(self) -> float:
        self.asked.append("now")
        return self.clock()

    async def snapshot(self) -> dict[str, Json]:
        return {"items": [{"key": i.key, "value": i.value, "ttl": None} for i in await self.list()]}

    async def restore(self, snapshot: JsonObject) -> None:
        self._items.clear()
        for item in snapshot["items"]:
            await self.put(item["key"], item["value"])

    async def aclose(self) -> None:
        self.closed += 1


@attrs.define(eq=False)
class Diary(ThoughtChain):
    """Keeps thoughts in a list."""

    name: ClassVar[str] = "diary"
    location: str = ""
    kept: list[Thought] = attrs.Factory(list)

    @property
    def thoughts(self) -> Sequence[Thought]:
        return self.kept

    def append(
        self, agent: str, type: str, content: str, refs: Iterable[int] = (), meta: JsonObject | None = None
    ) -> Thought:
        refs = self.checked_refs(refs)
        thought = Thought(
            index=len(self.kept), at=0.0, agent=agent, type=type, content=content, refs=refs, meta=meta or {}
        )
        self.kept.append(thought)
        return thought
