"""A store in one SQLite file."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from cloudllm_core import Item, Store
from cloudllm_core.errors import SettingsError, StoreError
from cloudllm_core.storing import (
    checked_key,
    checked_prefix,
    checked_snapshot,
    checked_ttl,
    checked_value,
    checked_where,
)

from .database import Database
from .schema import Synchronous
from .thread import Workshop

R = TypeVar("R")


class SqliteStore(Store):
    """
    What the agents of one machine share, whichever process they run in.

    It may be used from several threads and event loops at once; all of SQLite's work is done in a
    thread of its own. The file must be on a local disk, in a folder that exists.

    Args:
        location: the file; made, readable only for you, if there is none.
        timeout: seconds to wait while another process writes.
        synchronous: ``full``: a write that was answered survives a power loss. ``normal``: it survives the
            death of the process, but a power loss may take the last ones; faster.

    Raises:
        SettingsError: *location* is no file, or another setting is wrong.
    """

    name: ClassVar[str] = "sqlite"

    def __init__(
        self, location: str | os.PathLike[str], timeout: float = 10.0, synchronous: Synchronous = "full"
    ) -> None:
        self._path = checked_location(location)
        if not 0 <= timeout <= 1e6:
            raise SettingsError("timeout", repr(timeout), "seconds, 0 to a million")
        if synchronous not in ("full", "normal"):
            raise SettingsError("synchronous", repr(synchronous), "'full' or 'normal'")
        self._timeout, self._synchronous = timeout, synchronous
        self._lock = threading.Lock()  # held for instants only
        self._workshop: Workshop[Database] | None = None
        self._process = os.getpid()

    async def get(self, key: str) -> Item | None:
        checked_key(key)
        return await self._do(lambda database: database.get(key))

    async def put(self, key: str, value: Any, ttl: float | None = None) -> Item:
        key, written, ttl = checked_key(key), checked_value(value), checked_ttl(ttl)
        return await self._do(lambda database: database.put(key, written, ttl))

    async def compare_and_set(
        self, key: str, expected: int, value: Any, op: str = "", ttl: float | None = None
    ) -> Item | None:
        key, written, ttl = checked_key(key), checked_value(value), checked_ttl(ttl)
        return await self._do(lambda database: database.compare_and_set(key, expected, written, op, ttl))

    async def delete(self, key: str, expected: int | None = None) -> bool:
        checked_key(key)
        return await self._do(lambda database: database.delete(key, expected))

    async def list(self, prefix: str = "") -> tuple[Item, ...]:
        checked_prefix(prefix)
        return await self._do(lambda database: database.list(prefix))

    async def first(self, prefix: str, where: Mapping[str, Any]) -> Item | None:
        checked_prefix(prefix)
        checked_where(where)
        wanted = dict(where)
        return await self._do(lambda database: database.first(prefix, wanted))

    async def now(self) -> float:
        return await self._do(Database.now)

    async def snapshot(self) -> dict[str, Any]:
        return await self._do(Database.snapshot)

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        entries = checked_snapshot(snapshot)
        await self._do(lambda database: database.restore(entries))

    async def aclose(self) -> None:
        if self._forked():
            return
        with self._lock:
            workshop, self._workshop = self._workshop, None
            if workshop is None:
                return
            self._finalizer.detach()
            closed = workshop.stop()
        await asyncio.shield(asyncio.wrap_future(closed))

    async def _do(self, job: Callable[[Database], R]) -> R:
        if self._forked():
            raise StoreError(
                self._path,
                "was open when this process was forked, and SQLite cannot be shared so. "
                "Close the store before the fork, or start processes with 'spawn'.",
            )
        with self._lock:  # or the store might be closed between the two
            future = self._opened().do(job)
        result: R = await asyncio.wrap_future(future)
        return result

    def _opened(self) -> Workshop[Database]:
        if self._workshop is None:
            make = partial(Database, self._path, self._timeout, self._synchronous)
            self._workshop, self._process = Workshop(f"store {self._path}", make), os.getpid()
            self._finalizer = weakref.finalize(self, self._workshop.stop)
        return self._workshop

    def _forked(self) -> bool:
        return self._workshop is not None and self._process != os.getpid()


def checked_location(location: Any) -> str:
    """*location* as an absolute path. Raises: SettingsError."""
    expected = "the name of a file"
    try:
        path = os.fspath(location)
    except TypeError:
        raise SettingsError("location", repr(location), expected) from None
    if path == ":memory:":
        raise SettingsError("location", repr(path), expected, "For memory alone there is the store 'memory'.")
    if not isinstance(path, str) or not path or "\0" in path:
        raise SettingsError("location", repr(path), expected)
    return os.path.abspath(os.path.expanduser(path))
