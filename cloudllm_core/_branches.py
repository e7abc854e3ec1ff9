"""Branches of a mode: strands of their own, whose results arrive as they finish."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any

import attrs

from ._effects import Spine
from ._strands import Strand, Waitable
from .errors import AgentFailedError, LimitReachedError, ModeError

Branch = tuple[str, Callable[[], Coroutine[Any, Any, Any]]]
"""A name and what the branch does."""


@attrs.define(eq=False)
class Branches(Waitable):
    """
    ``async with hub.ask_all(...) as replies: async for reply in replies:``

    Leaving the block stops what is still open, and waits for it.
    """

    spine: Spine
    branches: Sequence[Branch]
    skip_failures: bool
    owner: Strand | None = None
    strands: list[Strand] = attrs.Factory(list)
    arrived: deque[Strand] = attrs.Factory(deque)
    held: BaseException | None = None
    """A limit was reached: what others were doing is finished first, for it is paid for."""

    async def __aenter__(self) -> AsyncIterator[Any]:
        self.owner = self.spine.here()
        for name, start in self.branches:
            self.strands.append(self.spine.spawn(name, start(), self._arrive))
        return Arrivals(self)

    def _arrive(self, strand: Strand) -> None:
        self.arrived.append(strand)
        if self.owner is not None:
            self.spine.wake_if(self.owner, self)

    async def next(self) -> Any:
        """What the next branch to finish gave. Raises: StopAsyncIteration, and what a branch raised."""
        while self.strands:
            if not self.arrived:
                await self
            strand = self.arrived.popleft()
            self.strands.remove(strand)
            error = strand.error
            if error is None:
                return strand.result
            if isinstance(error, LimitReachedError):
                self.held = self.held or error
            elif not (self.skip_failures and isinstance(error, AgentFailedError)):
                raise error
        raise self.held or StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.spine.close([strand for strand in self.strands if not strand.ended])

    def __aiter__(self) -> AsyncIterator[Any]:
        raise ModeError(
            "Branches must be closed when the loop is left: "
            "write `async with hub.ask_all(...) as replies:` around `async for reply in replies:`."
        )

    def __str__(self) -> str:
        return "branches " + ", ".join(strand.name for strand in self.strands)


@attrs.define(eq=False)
class Arrivals:
    """The results, one after the other. Not a generator: asyncio would finish one left early in a task of its own."""

    branches: Branches

    def __aiter__(self) -> Arrivals:
        return self

    async def __anext__(self) -> Any:
        return await self.branches.next()
