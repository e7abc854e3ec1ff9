"""
The gate before a model: as many calls at once as the provider takes.

It learns that number as TCP learns a connection's (V. Jacobson, Congestion Avoidance and Control, 1988): it grows by
one with each success until the first refusal; a refusal halves it, once for all calls that were under way; then it
grows by one for every few rounds of successes.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import attrs

from cloudllm_core.errors import Overloaded, RateLimited

BEGINNING = 64
"""Calls let in at once before anything is known."""

STEP = 0.25
"""What a full round of successes adds to the limit; a refusal costs everyone a pause, so trying for more is rare."""


@attrs.define(eq=False)
class Gate:
    """
    Lets calls in, first come, first served. It belongs to one event loop.

    Args:
        maximum: how many calls there may ever be at once.
        longest: seconds; when the provider asks for a longer pause, the gate stays open, so that everyone is told.
    """

    maximum: int
    longest: float
    limit: float = attrs.field(init=False)
    """How many calls there may be at once now: its whole part."""

    inside: int = attrs.field(init=False, default=0)
    _waiting: deque[asyncio.Future[None]] = attrs.field(init=False, factory=deque)
    _pause: asyncio.TimerHandle | None = attrs.field(init=False, default=None)
    _probing: bool = attrs.field(init=False, default=True)
    _refusals: int = attrs.field(init=False, default=0)  # how often the limit was halved

    def __attrs_post_init__(self) -> None:
        self.limit = min(self.maximum, BEGINNING)

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[float]:
        """Wait for one's turn, and say how many seconds that took; what comes of the block teaches the gate."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._enter()
        since = self._refusals
        try:
            yield loop.time() - began
        except (RateLimited, Overloaded) as problem:
            self._refused(since, problem.retry_after)
            raise
        else:
            self._succeeded()
        finally:
            self._leave()

    async def _enter(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was let in, and cancelled in the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        self.inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._pause is None and self.inside < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():  # else it was cancelled while it waited
                turn.set_result(None)
                self.inside += 1

    def _succeeded(self) -> None:
        if self.inside >= int(self.limit):  # a limit nobody reaches has not been tried
            self.limit = min(self.maximum, self.limit + (1 if self._probing else STEP / self.limit))

    def _refused(self, since: int, retry_after: float | None) -> None:
        self._probing = False
        if since == self._refusals:
            self.limit = min(self.limit, self.inside) / 2
            self._refusals += 1
        # the others still under way are at least as many as the provider took
        self.limit = max(1.0, min(self.limit, self.inside - 1))
        if retry_after is not None and 0 < retry_after <= self.longest:
            self._shut(retry_after)

    def _shut(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self._pause is None or self._pause.when() < until:
            if self._pause is not None:
                self._pause.cancel()
            self._pause = loop.call_at(until, self._open)

    def _open(self) -> None:
        self._pause = None
        self._admit()


@attrs.define(eq=False)
class Gates:
    """The gates of one provider: one for each event loop and model; see `Gate`."""

    maximum: int
    longest: float
    _gates: dict[asyncio.AbstractEventLoop, dict[Hashable, Gate]] = attrs.field(init=False, factory=dict)
    _lock: threading.Lock = attrs.field(init=False, factory=threading.Lock)

    def before(self, model: Hashable) -> Gate:
        """The running loop's gate before *model*."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._gates:
                for old in [old for old in self._gates if old.is_closed()]:
                    del self._gates[old]
            gates = self._gates.setdefault(loop, {})
            return gates.setdefault(model, Gate(self.maximum, self.longest))
