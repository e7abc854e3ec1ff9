"""
Runs: one journal, one spine, one end.

A `Run` is awaitable (its `RunResult`) and iterable (its records, from the first, for anyone who
asks, whenever). Not iterating stalls nothing; leaving the loop early harms nothing. It knows
neither hub nor mode: whoever starts it brings a story, and a way to sum it up.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Self

import attrs
import structlog

from ._broadcast import Broadcast, Outlet, SinkReport
from ._contracts import RunStop, ToolDefinition
from ._effects import Choose, Spine
from ._journal import Chain, encode
from ._limits import Ledger, Limits
from ._messages import NO_USAGE, Json, Reply, Usage
from ._outlets import Journal
from ._records import Record
from ._secrets import clean
from ._signals import Signal
from ._tape import PastEnds, Tape
from .errors import DivergenceError, NotCompleteError, SetupError

log = structlog.get_logger("cloudllm")


@attrs.frozen(kw_only=True)
class RunResult:
    """What came of a run. Look at `stop_reason`: a run ends with a result, not with an exception."""

    run_id: str
    answer: str | None
    complete: bool
    score: float | None = None
    rounds: int = 0
    stop_reason: RunStop
    messages: tuple[Reply, ...] = ()
    """Everything said aloud, in order."""

    usage: Usage = NO_USAGE
    usage_by_agent: Mapping[str, Usage] = attrs.Factory(dict)
    cost_by_agent: Mapping[str, Decimal | None] = attrs.Factory(dict)
    """US dollars; None where the price is not known. Empty without prices."""

    usage_by_task: Mapping[str, Usage] = attrs.Factory(dict)
    """For modes that work on tasks; what led to no task is in none of them."""

    cost_by_task: Mapping[str, Decimal | None] = attrs.Factory(dict)

    error: BaseException | None = None
    sessions_kept: bool = True
    """False if another run held the agents' sessions, so that this one worked on copies."""

    sinks: tuple[SinkReport, ...] = ()

    @property
    def cost(self) -> Decimal | None:
        """What the run cost, in US dollars; None where a price is not known, or there are no prices."""
        known = [cost for cost in self.cost_by_agent.values() if cost is not None]
        return sum(known, Decimal(0)) if known and len(known) == len(self.cost_by_agent) else None

    def require_complete(self) -> Self:
        """This result. Raises: NotCompleteError: the run is not complete."""
        if not self.complete:
            raise NotCompleteError(self.run_id, self.stop_reason, str(self.error) if self.error else None)
        return self

    def to_json(self) -> dict[str, Json]:
        """The result as plain data, for ``cloudllm run --json``."""
        return {
            "run_id": self.run_id,
            "answer": self.answer,
            "complete": self.complete,
            "score": self.score,
            "rounds": self.rounds,
            "stop_reason": self.stop_reason,
            "messages": [reply.to_json() for reply in self.messages],
            "usage": self.usage.to_json(),
            "usage_by_agent": {name: usage.to_json() for name, usage in self.usage_by_agent.items()},
            "cost": _told(self.cost),
            "cost_by_agent": {name: _told(cost) for name, cost in self.cost_by_agent.items()},
            "usage_by_task": {task: usage.to_json() for task, usage in self.usage_by_task.items()},
            "cost_by_task": {task: _told(cost) for task, cost in self.cost_by_task.items()},
            "error": str(self.error) if self.error else None,
            "sessions_kept": self.sessions_kept,
            "sinks": [attrs.asdict(report) for report in self.sinks],
        }


def _told(cost: Decimal | None) -> str | None:
    return None if cost is None else str(cost)


@attrs.frozen(kw_only=True)
class Conditions:
    """What a run is exposed to, where a test or a replay decides it."""

    clock: Callable[[], float] = time.time
    """The time of records and of `Hub.now`, in seconds since 1970."""

    choose: Choose | None = None
    """Picks which of n completions is admitted next; None is the order of arrival."""

    run_id: str | None = None
    past: tuple[Record, ...] = ()
    """Records to re-enact; nothing is performed then."""


OPEN_AIR = Conditions()

Story = Callable[["Run"], Coroutine[Any, Any, Any]]
Summary = Callable[["Run"], RunResult]


@attrs.define(eq=False)
class Run:
    """One run, from its first record to its result."""

    id: str
    spine: Spine
    ledger: Ledger
    broadcast: Broadcast
    replaying: bool
    _story: Story
    _summary: Summary
    _journal: Journal | None
    _loop: asyncio.AbstractEventLoop = attrs.Factory(asyncio.get_running_loop)
    _future: asyncio.Future[RunResult] = attrs.field(init=False)
    _bells: list[asyncio.Future[None]] = attrs.Factory(list)
    _ears: list[asyncio.Queue[Signal | None]] = attrs.Factory(list)
    _closing: asyncio.Task[None] | None = None
    _gates: dict[str, asyncio.Semaphore] = attrs.Factory(dict)
    closers: list[Callable[[], Awaitable[None]]] = attrs.Factory(list)
    """Closes what was opened for this run alone."""

    @classmethod
    def begin(
        cls,
        start: dict[str, Json],
        story: Story,
        summary: Summary,
        *,
        sessions: Mapping[str, str],
        limits: Limits,
        outlets: Iterable[Outlet] = (),
        journal: Journal | None = None,
        conditions: Conditions = OPEN_AIR,
        hide: Callable[[str], str] = str,
    ) -> Run:
        """
        Start a run whose first record holds *start*, and *sessions*, which are JSON already.

        *hide* takes the secrets out of every record.

        Raises:
            SetupError: there is no running event loop. DivergenceError: *past* began otherwise.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise SetupError(
                "run() needs a running event loop. In a script or notebook, call run_sync() instead."
            ) from None
        past = conditions.past
        run_id = conditions.run_id or secrets.token_hex(8)
        if past:
            recorded = past[0].body
            run_id = recorded["run_id"]
        tape = Tape(Chain(run_id, journal), past, conditions.clock, hide=hide)
        if past:
            _check_start(recorded, json.loads(tape.redacted(encode(start))))
            start = recorded
        start = {"what": "start", "run_id": run_id} | start
        spine = Spine(tape=tape, choose=conditions.choose)
        text = encode(start) if past else tape.redacted(_with_sessions(start, sessions))
        first = tape.record("run", 0, "input", text, durable=True)  # may fail: opens nothing before
        run = cls(
            run_id,
            spine,
            Ledger(limits, max(1, len(start.get("agents", ())))),
            Broadcast(outlets),
            bool(past),
            story,
            summary,
            journal,
        )
        run._future = run._loop.create_future()
        tape.on_record, spine.on_end = run._on_record, run._on_end
        run._on_record(first)
        run._loop.call_soon(run._go)
        return run

    def _go(self) -> None:
        self.spine.start(self._story(self), "run")

    # -- while it runs --------------------------------------------------------

    @property
    def records(self) -> list[Record]:
        """All records so far."""
        tape = self.spine.tape
        return list(tape.past[: tape.cursor]) if tape.past else list(tape.chain.records)

    @property
    def listening(self) -> bool:
        """Whether anybody wants signals, so that it is worth streaming."""
        return bool(self._ears) or self.broadcast.wants_signals

    async def caught_up(self, budget: float = 1.0) -> None:
        """
        Wait until the sinks have taken what has happened so far, for at most *budget* seconds.

        For an approver that prints: its question then comes after what led to it.
        """
        await self.broadcast.caught_up(budget)

    def emit(self, signal: Signal) -> None:
        """Let a signal pass by."""
        self.broadcast.signal(signal)
        for ear in self._ears:
            ear.put_nowait(signal)

    def gate(self, tool: ToolDefinition) -> AbstractAsyncContextManager[None]:
        """Lets in as many calls of *tool* at once as it says, from all agents together."""
        if tool.concurrency is None:
            return nullcontext()
        return self._gates.setdefault(tool.name, asyncio.Semaphore(tool.concurrency))

    def cancel(self) -> None:
        """Tell the run to stop; it ends with the stop reason ``cancelled``. From any thread; more than once is fine."""
        self.input({"what": "cancel"})

    def input(self, body: dict[str, Json]) -> None:
        """Hand in something from outside; from any thread."""
        if not self.spine.over:
            self._loop.call_soon_threadsafe(self.spine.input, body)

    def __aiter__(self) -> AsyncIterator[Record]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Record]:
        records = self.spine.tape.chain.records
        index = 0
        while True:
            while index < len(records):
                yield records[index]
                index += 1
            if self.spine.over:
                return
            bell = self._loop.create_future()
            self._bells.append(bell)
            await bell

    async def signals(self) -> AsyncIterator[Signal]:
        """What passes by from now on, to the end of the run. Makes agents stream."""
        ear: asyncio.Queue[Signal | None] = asyncio.Queue()
        if self.spine.over:
            return
        self._ears.append(ear)
        try:
            while (signal := await ear.get()) is not None:
                yield signal
        finally:
            self._ears.remove(ear)

    def __await__(self) -> Generator[Any, None, RunResult]:
        return self._wait().__await__()

    async def _wait(self) -> RunResult:
        """The result. Cancelling whoever awaits a run cancels the run, and waits until it is closed."""
        try:
            return await asyncio.shield(self._future)
        except asyncio.CancelledError:
            if self._future.done():
                raise
            self.cancel()
            await asyncio.wait([self._future])
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Leaving the block cancels what still runs."""
        if not self._future.done():
            self.cancel()
            await asyncio.wait([self._future])
        return False

    # -- records and the end --------------------------------------------------

    def _on_record(self, record: Record) -> None:
        if not self.broadcast.silent:
            self.broadcast.send(record)
        if self._bells:
            self._ring()

    def _ring(self) -> None:
        bells, self._bells = self._bells, []
        for bell in bells:
            if not bell.done():
                bell.set_result(None)

    def _on_end(self) -> None:
        self._ring()
        for ear in self._ears:
            ear.put_nowait(None)
        if self.broadcast.silent and not self.closers:
            self._settle(())
        else:
            self._closing = self._loop.create_task(self._close())

    async def _close(self) -> None:
        for closer in self.closers:
            try:
                await closer()
            except Exception as problem:  # noqa: BLE001 -- the run is over, and its result must not be lost for this
                log.warning("run.not_closed", run=self.id, problem=self.spine.tape.hide(repr(problem)))
        self._settle(await self.broadcast.aclose())

    def _settle(self, reports: tuple[SinkReport, ...]) -> None:
        failure, result, hide = self.spine.failure, self._summary(self), self.spine.tape.hide
        try:
            self.spine.tape.chain.close()
        except Exception as problem:  # noqa: BLE001 -- whatever it is, the run must come to its end
            failure = failure or (problem if result.error is None else None)
        if failure is not None:
            result = attrs.evolve(result, error=failure, complete=False, stop_reason="failed")
        if result.error is not None:
            clean(result.error, hide)
        reports = tuple([attrs.evolve(each, problem=each.problem and hide(each.problem)) for each in reports])
        if isinstance(failure, (DivergenceError, PastEnds)):
            self._future.set_exception(failure)
            self._future.exception()  # whoever awaits will see it; nobody else need be told
        else:
            self._future.set_result(attrs.evolve(result, sinks=reports))


def _with_sessions(start: dict[str, Json], sessions: Mapping[str, str]) -> str:
    """*start* as JSON, with *sessions* in their place: they were encoded once, and are long."""
    place = f"the sessions of {start['run_id']}"
    told = ",".join([f"{encode(name)}:{text}" for name, text in sorted(sessions.items())])
    return encode(start | {"sessions": place}).replace(f'"sessions":{encode(place)}', f'"sessions":{{{told}}}', 1)


def _check_start(recorded: Any, now: Any) -> None:
    """Raises: DivergenceError at record 1, naming the first field that differs."""
    difference = _difference(recorded, now, "")
    if difference is not None:
        field, was, is_now = difference
        raise DivergenceError(1, "run", 0, repr(was), repr(is_now), field)


FREE = ("what", "run_id", "sessions", "thoughts", "exposed", "waiting", "seed")
"""Fields of the first record that a replay takes from the journal."""


def _difference(was: Any, now: Any, path: str) -> tuple[str, Any, Any] | None:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*was, *(key for key in now if key not in was)]:
            if path or key not in FREE:
                found = _difference(was.get(key), now.get(key), f"{path}.{key}".lstrip("."))
                if found:
                    return found
        return None
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = enumerate(zip(was, now, strict=True))
        return next((d for index, (a, b) in pairs if (d := _difference(a, b, f"{path}[{index}]"))), None)
    return None if was == now else (path, was, now)
