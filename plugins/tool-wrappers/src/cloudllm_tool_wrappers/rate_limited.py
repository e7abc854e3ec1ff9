"""So many calls in so much time, in the order in which they were asked for."""

from __future__ import annotations

import asyncio
import math
from typing import Any, ClassVar

import attrs

from cloudllm_core import ToolContext, ToolProtocol, hookimpl
from cloudllm_core.errors import CloudLLMError

from ._wrapper import Wrapper, count_of, seconds_of


@attrs.define(eq=False)
class TooManyCallsError(CloudLLMError):
    """A call would have had to wait beyond its own time."""

    tool: str
    calls: int
    seconds: float
    retry_in: int
    """Seconds after which there is room again."""

    says = (
        "{self.tool!r} was not called: its source allows {self.calls} calls in {self.seconds:g} s. "
        "Try again in {self.retry_in} s."
    )


class RateLimit(Wrapper):
    """
    *inner*'s tools, of which at most *calls* calls begin in any span of *seconds*, all tools together.

    A call waits for its turn, first come first served; one whose turn would come after its own time is
    up is told at once when to try again. Composite tools are not limited: their waiting is the hub's.
    """

    name: ClassVar[str] = "rate-limited"

    def __init__(self, inner: ToolProtocol, calls: int, seconds: float) -> None:
        """Raises: SettingsError: *calls* is less than 1, or *seconds* not more than 0."""
        super().__init__(inner)
        self.calls, self.seconds = count_of("calls", calls), seconds_of(seconds)
        self._starts: list[float] = []  # of calls begun within *seconds*, and of those that wait; in order

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        if self.effect_of(tool) not in (None, "composite"):
            await self._turn(tool, context.deadline)
        return await self.inner.call(tool, arguments, context)

    async def _turn(self, tool: str, deadline: float) -> None:
        """Wait until a call may begin. Raises: TooManyCallsError: that will be after *deadline*."""
        clock = asyncio.get_running_loop().time
        start = self._reserved(tool, clock(), deadline)
        try:
            if start > (now := clock()):
                await asyncio.sleep(start - now)
        except asyncio.CancelledError:
            if start in self._starts:
                self._starts.remove(start)  # room for another
            raise

    def _reserved(self, tool: str, now: float, deadline: float) -> float:
        self._starts = [start for start in self._starts if start > now - self.seconds]
        start = now
        if self._starts:  # not before those who came earlier
            start = max(now, self._starts[-1])
        if len(self._starts) >= self.calls:
            start = max(start, self._starts[-self.calls] + self.seconds)
        if start >= deadline:
            raise TooManyCallsError(tool, self.calls, self.seconds, math.ceil(start - now))
        self._starts.append(start)
        return start


@hookimpl
def cloudllm_register_tool_protocol() -> type[RateLimit]:
    return RateLimit
