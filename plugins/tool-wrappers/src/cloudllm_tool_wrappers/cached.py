"""What was read is not read again, for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from cloudllm_core import ToolContext, ToolProtocol, hookimpl
from cloudllm_core.errors import SettingsError

from ._wrapper import Wrapper, count_of, seconds_of
from .decided import Decided

Key: TypeAlias = str
"""A tool and its arguments, in one text for all spellings of the same arguments."""

Flight: TypeAlias = "asyncio.Future[Any]"
"""A call on its way, for all who ask for the same meanwhile; cancelled if whoever makes it is."""


class Cached(Wrapper):
    """
    *inner*'s tools, of which those with effect ``read`` are called once for the same arguments.

    Identical calls at the same time share one; an error is shared by those who waited for it and not
    kept. A call of any other tool may change what was read, so it empties the cache.
    """

    name: ClassVar[str] = "cached"

    def __init__(self, inner: ToolProtocol, seconds: float = 300.0, size: int = 256) -> None:
        """
        Args:
            seconds: how long a result is kept.
            size: how many results are kept; the one not used for longest goes first.

        Raises:
            SettingsError: one of them is not more than 0; or calls of *inner* are decided about one by one, which
                a kept result would get around.
        """
        super().__init__(inner)
        _undecided(self.inner)
        self.seconds, self.size = seconds_of(seconds), count_of("size", size)
        self._kept: dict[Key, tuple[float, Any]] = {}  # until when, and the result; the last used is last
        self._flights: dict[tuple[asyncio.AbstractEventLoop, Key], Flight] = {}

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        if self.effect_of(tool) == "read":
            return await self._read(_key(tool, arguments), tool, arguments, context)
        self.forget()
        try:
            return await self.inner.call(tool, arguments, context)
        finally:
            self.forget()  # what was read meanwhile may be the old or the new

    def forget(self) -> None:
        """Empty the cache; reads on their way are for those who wait for them already."""
        self._kept.clear()
        self._flights.clear()

    async def _read(self, key: Key, tool: str, arguments: Any, context: ToolContext) -> Any:
        loop = asyncio.get_running_loop()
        while (kept := self._kept.pop(key, None)) is None or kept[0] <= loop.time():
            flight = self._flights.get((loop, key))
            if flight is None:
                return await self._fly(key, tool, arguments, context)
            await asyncio.wait([flight])
            if not flight.cancelled():
                return flight.result()
        self._kept[key] = kept  # at the end: the last used
        return kept[1]

    async def _fly(self, key: Key, tool: str, arguments: Any, context: ToolContext) -> Any:
        """Make the call, for others too; if it is cancelled, one of them makes it."""
        loop = asyncio.get_running_loop()
        flight: Flight = loop.create_future()
        self._flights[loop, key] = flight
        try:
            result = await self.inner.call(tool, arguments, context)
        except Exception as problem:
            flight.set_exception(problem)
            flight.exception()  # counts as seen, if nobody waited
            raise
        else:
            flight.set_result(result)
            if self._flights.get((loop, key)) is flight:
                self._keep(key, loop.time() + self.seconds, result)
            return result
        finally:
            flight.cancel()  # where neither was reached
            if self._flights.get((loop, key)) is flight:
                del self._flights[loop, key]

    def _keep(self, key: Key, until: float, result: Any) -> None:
        self._kept[key] = until, result
        if len(self._kept) > self.size:
            del self._kept[next(iter(self._kept))]


def _undecided(inner: ToolProtocol) -> None:
    layer: Any = inner
    while layer is not None:
        if isinstance(layer, Decided):
            hint = "Put the cache inside: Decided(Cached(...), decide)."
            raise SettingsError("inner", layer.name, "tools that nobody decides about call by call", hint)
        layer = getattr(layer, "inner", None)


def _key(tool: str, arguments: Mapping[str, Any]) -> Key:
    return json.dumps([tool, arguments], sort_keys=True, default=_opened)


def _opened(value: Any) -> Any:
    """What `json` should write for a value it does not know, such as a frozen mapping."""
    return dict(value) if isinstance(value, Mapping) else list(value)


@hookimpl
def cloudllm_register_tool_protocol() -> type[Cached]:
    return Cached
