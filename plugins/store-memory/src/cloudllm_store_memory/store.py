"""A store that lives as long as its process."""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from typing import Any, ClassVar, Self, TypeAlias

import attrs

from cloudllm_core import Item, Store
from cloudllm_core.errors import SettingsError
from cloudllm_core.storing import (
    checked_key,
    checked_prefix,
    checked_snapshot,
    checked_ttl,
    checked_value,
    checked_where,
    matches,
)


@attrs.frozen
class Kept:
    """What a key holds; the value is text, so that nobody can change it from outside."""

    key: str
    text: str
    version: int
    op: str
    written: float
    expires: float | None

    def item(self, value: Any) -> Item:
        return Item(key=self.key, value=value, version=self.version, written=self.written, expires=self.expires)

    def read(self) -> Item:
        return self.item(json.loads(self.text))

    def left(self, now: float) -> float | None:
        return None if self.expires is None else self.expires - now


Shelf: TypeAlias = list[Kept]

BEYOND = "\U0010ffff"  # comes after all that keys may contain


class MemoryStore(Store):
    """
    What agents of one process share.

    It may be used from several threads and event loops at once. Time never goes back: while *clock*
    is behind the latest time the store has seen, it stands still, so what has expired stays gone.

    Args:
        clock: seconds since 1970.
    """

    name: ClassVar[str] = "memory"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # held for instants only, and never while something is awaited
        self._latest, self._version = 0.0, 0
        self._kept: dict[str, Kept] = {}
        self._keys: list[str] = []  # sorted
        self._ends: list[tuple[float, int, str]] = []  # a heap: when, which version, of which key

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        for key in settings:
            hint = "What shall outlive the process goes into a file: use the store 'sqlite'."
            raise SettingsError(key, f"the unknown setting {key!r}", f"none at all for {cls.name!r}", hint)
        return cls()

    async def get(self, key: str) -> Item | None:
        checked_key(key)
        with self._lock:
            self._tick()
            kept = self._kept.get(key)
        return None if kept is None else kept.read()

    async def put(self, key: str, value: Any, ttl: float | None = None) -> Item:
        key, ttl, written = checked_key(key), checked_ttl(ttl), checked_value(value)
        with self._lock:
            return self._keep(key, written.text, "", ttl, self._tick()).item(written.copy)

    async def compare_and_set(
        self, key: str, expected: int, value: Any, op: str = "", ttl: float | None = None
    ) -> Item | None:
        key, ttl, written = checked_key(key), checked_ttl(ttl), checked_value(value)
        with self._lock:
            now = self._tick()
            there = self._kept.get(key)
            if there is None or not op or there.op != op:  # else it is the write that stands there already
                if expected != (there.version if there else 0):
                    return None
                return self._keep(key, written.text, op, ttl, now).item(written.copy)
        return there.read()

    async def delete(self, key: str, expected: int | None = None) -> bool:
        checked_key(key)
        with self._lock:
            self._tick()
            there = self._kept.get(key)
            if there is None or expected not in (None, there.version):
                return False
            self._drop(key)
        return True

    async def list(self, prefix: str = "") -> tuple[Item, ...]:
        return tuple(kept.read() for kept in self._under(prefix)[0])

    async def first(self, prefix: str, where: Mapping[str, Any]) -> Item | None:
        under = self._under(prefix)[0]
        for name, want in checked_where(where).items():  # as text first: decoding is what takes the time
            sign = f"{json.dumps(name)}:{want}"
            under = [kept for kept in under if sign in kept.text]
        found = (kept.read() for kept in under)
        return next((item for item in found if matches(item.value, where)), None)

    async def now(self) -> float:
        with self._lock:
            return self._tick()

    async def snapshot(self) -> dict[str, Any]:
        kept, now = self._under("")
        return {"items": [{"key": one.key, "value": json.loads(one.text), "ttl": one.left(now)} for one in kept]}

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        entries = checked_snapshot(snapshot)
        with self._lock:
            now = self._tick()
            self._kept, self._keys, self._ends = {}, [], []
            for key, value, ttl in entries:
                self._keep(key, value.text, "", ttl, now)

    def _under(self, prefix: str) -> tuple[Shelf, float]:
        """What keys beginning with *prefix* hold, by key, and when that was."""
        checked_prefix(prefix)
        with self._lock:
            now = self._tick()
            start, end = bisect_left(self._keys, prefix), bisect_left(self._keys, prefix + BEYOND)
            return [self._kept[key] for key in self._keys[start:end]], now

    def _tick(self) -> float:
        """The time; what has expired by then is dropped. Whoever calls it holds the lock."""
        now = self._latest = max(self._latest, self._clock())
        while self._ends and self._ends[0][0] <= now:
            _, version, key = heappop(self._ends)
            if key in self._kept and self._kept[key].version == version:  # else the key has a new life
                self._drop(key)
        return now

    def _keep(self, key: str, text: str, op: str, ttl: float | None, now: float) -> Kept:
        self._version += 1
        kept = Kept(key, text, self._version, op, now, None if ttl is None else now + ttl)
        if key not in self._kept:
            insort(self._keys, key)
        self._kept[key] = kept
        if kept.expires is not None:
            heappush(self._ends, (kept.expires, kept.version, key))
            if len(self._ends) > 2 * len(self._kept) + 100:  # mostly lives that were overwritten
                self._ends = [(k.expires, k.version, k.key) for k in self._kept.values() if k.expires is not None]
                heapify(self._ends)
        return kept

    def _drop(self, key: str) -> None:
        del self._kept[key]
        del self._keys[bisect_left(self._keys, key)]
