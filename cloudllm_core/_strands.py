"""
Strands, lanes and what strands wait on: the pieces that `_effects` steps.

A *strand* is a thread of control the hub started: the mode, a branch, a composite tool. It is a
coroutine that yields nothing but `Waitable`s; no asyncio task of its own is needed. A *lane* is a
position counter with a lock: ``run``, an agent's name, or a path below one of them.
"""

from __future__ import annotations

import abc
import asyncio
import os
import traceback
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from ._records import Record
from .errors import BusyAgentError, ForeignAwaitError, ForeignTaskError, RunOverError

ASYNCIO = os.path.dirname(asyncio.__file__)
"""Where asyncio's own code is: a project may well be called so, too."""

Perform = Callable[[str], Coroutine[Any, Any, Any]]
"""Performs an effect, given its idempotency key; runs outside all strands."""


class Halt(BaseException):
    """Unwinds a strand when the whole run has stopped; never meant to be caught by a mode."""


class EffectFailed(Exception):
    """An effect ended with an error; carried by name, because that is what a journal can hold."""

    def __init__(self, type: str, message: str, retry_in: float | None = None) -> None:
        super().__init__(message)
        self.type, self.message = type, message
        self.retry_in = retry_in
        """Seconds after which its provider would have it tried again, if at all."""


@attrs.define(eq=False)
class Waitable:
    """Something a strand may wait on."""

    def __await__(self) -> Generator[Waitable, None, None]:
        yield self


@attrs.define(eq=False)
class Lane:
    """One sequence of effects."""

    name: str
    position: int = 0
    draws: int = 0
    """Generators asked for at this position."""

    holder: Strand | None = None
    depth: int = 0


@attrs.define(eq=False)
class Strand(Waitable):
    """One thread of control, stepped by the spine."""

    name: str
    serial: int
    coro: Coroutine[Waitable, Any, Any]
    parent: Strand | None
    lanes: list[Lane] = attrs.Factory(list)
    """The lanes it holds, innermost last."""

    on: Waitable | None = None
    """What it waits on."""

    ticket: int = 0
    """Wakes with an older ticket are void."""

    causes: list[object] = attrs.Factory(list)
    """Why it is to stop; empty if it is not."""

    told: bool = False
    """Whether it has been told."""

    open: list[Pending] = attrs.Factory(list)
    """Its effects that have no outcome yet."""

    children: list[Strand] = attrs.Factory(list)
    scopes: int = 0
    done: bool = False
    """The coroutine has returned; children or effects may still be closing."""

    ended: bool = False
    result: Any = None
    error: BaseException | None = None
    on_end: Callable[[Strand], None] | None = None

    def __str__(self) -> str:
        return f"the end of {self.name!r}"


@attrs.define(eq=False)
class Pending(Waitable):
    """An effect that was asked for."""

    name: str
    effect: str
    """Its class: model, read, idempotent, write, wait, composite."""

    lane: Lane
    position: int
    strand: Strand
    started: Record
    task: asyncio.Future[Any] | None = None
    branch: Strand | None = None
    """The strand that performs a composite one."""

    outcome: str | None = None
    value: Any = None

    def __str__(self) -> str:
        return f"{self.name} (lane {self.lane.name!r}, position {self.position})"


@attrs.define(eq=False)
class Strands(abc.ABC):
    """The strands of one run, and the one that is being stepped. `Spine` adds the effects and the order."""

    running: Strand | None = None
    over: bool = False
    failure: BaseException | None = None
    """What stopped the loop itself (a divergence, a journal that cannot be written)."""

    main: Strand | None = None
    lanes: dict[str, Lane] = attrs.Factory(dict)
    alive: list[Strand] = attrs.Factory(list)
    _count: int = 0
    _ready: deque[tuple[Strand, int, BaseException | None]] = attrs.Factory(deque)

    def spawn(self, name: str, coro: Coroutine[Any, Any, Any], on_end: Callable[[Strand], None]) -> Strand:
        """Start a branch of the running strand; *on_end* is called when it has ended."""
        strand = self._strand(name, coro, self.here())
        strand.on_end = on_end
        return strand

    def _strand(self, name: str, coro: Coroutine[Any, Any, Any], parent: Strand | None) -> Strand:
        self._count += 1
        strand = Strand(name, self._count, coro, parent)
        self.alive.append(strand)
        if parent is not None:
            parent.children.append(strand)
        self._wake(strand)
        return strand

    def here(self) -> Strand:
        """The strand that is being stepped."""
        if self.over:
            raise RunOverError
        if self.failure is not None:
            raise Halt
        if self.running is None:
            raise ForeignTaskError
        return self.running

    def lane(self, name: str) -> Lane:
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(name)
        return lane

    @contextmanager
    def hold(self, name: str) -> Iterator[Lane]:
        """Hold a lane; one strand at a time may, again and again. Raises: BusyAgentError."""
        strand, lane = self.here(), self.lane(name)
        if lane.holder is not None and lane.holder is not strand:
            raise BusyAgentError(name)
        lane.holder = strand
        lane.depth += 1
        strand.lanes.append(lane)
        try:
            yield lane
        finally:
            strand.lanes.remove(lane)
            lane.depth -= 1
            if not lane.depth:
                lane.holder = None

    async def close(self, strands: Sequence[Strand]) -> None:
        """Stop *strands* and wait for their end; a cancellation meanwhile is raised afterwards."""
        late: BaseException | None = None
        for strand in strands:
            self.cancel(strand, "left")
        for strand in strands:
            while not strand.ended:
                try:
                    await strand
                except asyncio.CancelledError as told:
                    late = told
        if late is not None:
            raise late

    def cancel(self, strand: Strand, cause: object) -> None:
        """Have *strand* told to stop, once its effects have; the order of the kernel decides when."""
        if strand.ended:
            return
        strand.causes.append(cause)
        if len(strand.causes) > 1 or strand.done:
            return
        strand.ticket += 1  # whatever it was about to learn is void
        for pending in strand.open:
            self._stop(pending)
        if not strand.open:
            self._tell(strand)

    def _tell(self, strand: Strand) -> None:
        strand.told = True
        self._wake(strand, asyncio.CancelledError())

    def _wake(self, strand: Strand, error: BaseException | None = None) -> None:
        strand.ticket += 1
        self._ready.append((strand, strand.ticket, error))

    def wake_if(self, strand: Strand, on: Waitable) -> None:
        """Wake *strand* if that is what it waits on."""
        if strand.on is on and (strand.told or not strand.causes):
            self._wake(strand)

    @abc.abstractmethod
    def _stop(self, pending: Pending) -> None:
        """Stop an effect, as far as it may be stopped."""

    def _step(self, strand: Strand, error: BaseException | None) -> None:
        self.running, strand.on = strand, None
        try:
            on: Any = strand.coro.send(None) if error is None else strand.coro.throw(error)
        except StopIteration as stop:
            strand.result = stop.value
            self._returned(strand)
        except BaseException as problem:  # noqa: BLE001 -- whoever waits for the strand will see it
            strand.error = problem
            self._returned(strand)
        else:
            if isinstance(on, Waitable):
                strand.on = on
            else:
                self._refuse(strand, on)
        finally:
            self.running = None

    def _refuse(self, strand: Strand, on: Any) -> None:
        """The strand awaited something foreign: tell it so, at that line."""
        if asyncio.isfuture(on):
            on._asyncio_future_blocking = False
            on.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._ready.appendleft((strand, strand.ticket, ForeignAwaitError(strand.name, where_it_waits(strand.coro))))

    def _returned(self, strand: Strand) -> None:
        strand.done = True
        for child in strand.children:
            self.cancel(child, "orphaned")
        for pending in strand.open:
            self._stop(pending)
        self._maybe_ended(strand)

    def _maybe_ended(self, strand: Strand) -> None:
        if strand.ended or not strand.done or strand.open or strand.children:
            return
        strand.ended = True
        self.alive.remove(strand)
        if strand.on_end is not None:
            strand.on_end(strand)
        parent = strand.parent
        if parent is not None:
            parent.children.remove(strand)
            self.wake_if(parent, strand)
            self._maybe_ended(parent)


def where_it_waits(coro: Any) -> str:
    """File, line and function of the innermost frame of *coro* that is not asyncio's."""
    place = "an unknown place"
    while coro is not None:
        frame = next((f for a in ("cr_frame", "ag_frame", "gi_frame") if (f := getattr(coro, a, None))), None)
        if frame is None:
            break
        code: types.CodeType = frame.f_code
        if not code.co_filename.startswith(ASYNCIO):
            place = f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"
        coro = next((c for a in ("cr_await", "ag_await", "gi_yieldfrom") if (c := getattr(coro, a, None))), None)
    return place


def foreign_use(strand: str, problem: Exception) -> ForeignAwaitError | None:
    """What *problem* means if asyncio raised it because a strand is no task (`asyncio.timeout`, `TaskGroup`)."""
    frames = list(traceback.walk_tb(problem.__traceback__))
    ours = [(frame, line) for frame, line in frames if not frame.f_code.co_filename.startswith(ASYNCIO)]
    if type(problem) is not RuntimeError or not ours or frames[-1][0] is ours[-1][0]:
        return None
    frame, line = ours[-1]
    return ForeignAwaitError(strand, f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}")
