"""
The spine: performs effects, journals them, and decides the order in which strands learn things.

The rules (numbers as in the design of the journal, see docs/explanation/journal.md):

* Strands are stepped one at a time. Effects run outside them, concurrently, as asyncio tasks. When
  every strand waits, *one* thing is admitted: its record is appended, its strand woken and stepped
  until all wait again. A replay walks the same loop, and the recorded number decides instead (1, 2).
* Positions are given when an effect is asked for, before anything is awaited (5).
* Every cancellation takes effect at an admission. It stops a strand's effects, except writes, which
  finish and are recorded; then the strand is told, once (18, 19).
* A strand ends only when its children and effects have (20).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal, NoReturn

import attrs
import structlog

from ._events import Event
from ._journal import digest_text, encode
from ._messages import Json
from ._records import Kind, Record
from ._strands import EffectFailed, Halt, Lane, Pending, Perform, Strand, Strands
from ._tape import Tape
from .errors import JournalError, StuckError

GRACE = 1.0
"""Seconds an effect may go on after it was told to stop, before it is left behind."""

log = structlog.get_logger("cloudllm")

Choose = Callable[[int], int]
"""Picks which of n completions is admitted next."""


@attrs.define(eq=False)
class Spine(Strands):
    """The loop of one run. Used on one event loop, from one thread."""

    tape: Tape = attrs.field(kw_only=True)
    choose: Choose | None = None
    on_input: Callable[[dict[str, Json]], None] | None = None
    """Takes inputs the spine does not know itself."""

    on_end: Callable[[], None] | None = None
    pending: dict[tuple[str, int], Pending] = attrs.Factory(dict)
    timers: dict[str, Timer] = attrs.Factory(dict)
    inflight: int = 0
    _done: deque[tuple[Pending, str, Any]] = attrs.Factory(deque)
    _inputs: deque[dict[str, Json]] = attrs.Factory(deque)
    _pumping: bool = False
    _loop: asyncio.AbstractEventLoop = attrs.Factory(asyncio.get_running_loop)

    def start(self, story: Coroutine[Any, Any, Any], lane: str) -> None:
        """Make *story* the main strand, holding *lane*, and go."""
        self.main = self._strand(lane, story, None)
        self.main.lanes.append(self.lane(lane))
        self._pump()

    # -- effects --------------------------------------------------------------

    def request(self, name: str, effect: str, request: Json, perform: Perform, digest: str | None = None) -> Pending:
        """
        Ask for an effect in the running strand's lane; it begins at once.

        The record holds *request*; *digest* stands for what is too long to hold.
        """
        strand = self.here()
        lane = strand.lanes[-1]
        lane.position += 1
        text = self.tape.redacted(encode(request))
        body = f'{{"class":"{effect}","digest":"{digest or digest_text(text)}","name":"{name}","request":{text}}}'
        started = self._record(lane, "started", body, durable=effect == "write")
        pending = Pending(name, effect, lane, lane.position, strand, started)
        strand.open.append(pending)
        self.pending[lane.name, lane.position] = pending
        if not self.tape.past and effect != "composite":
            self.inflight += 1
            task = self._loop.create_task(perform(f"{self.tape.chain.run_id}/{lane.name}/{lane.position}"))
            pending.task = task
            # A callback, not a `try` inside: a task cancelled before its first step never enters it (17).
            task.add_done_callback(lambda task: self._performed(pending, task))
        return pending

    def _performed(self, pending: Pending, task: asyncio.Future[Any]) -> None:
        if pending.task is not task:
            return  # it was left behind, and has ended after all
        self.inflight -= 1
        pending.task = None
        if self.over:
            self._drained()
            return
        if task.cancelled():
            self._done.append((pending, "cancelled", None))
        elif (problem := task.exception()) is not None:
            self._done.append((pending, "error", problem))
        else:
            self._done.append((pending, "ok", task.result()))
        self._kick()

    async def wait(self, pending: Pending) -> Any:
        """The effect's value, as the journal holds it. Raises: EffectFailed."""
        if pending.outcome is None:
            await pending
        if pending.outcome == "ok":
            return pending.value
        if pending.outcome == "error":
            raise EffectFailed(**pending.value)
        raise asyncio.CancelledError

    def finish(self, pending: Pending, outcome: Literal["ok", "error", "cancelled"], value: Any) -> None:
        """End a composite effect, from its strand's `on_end`."""
        self._deliver(pending, *self._conclude(pending, outcome, value))

    def _stop(self, pending: Pending) -> None:
        if pending.branch is not None:
            self.cancel(pending.branch, "stopped")
        elif pending.task is not None and pending.effect != "write":
            pending.task.cancel()
            self._loop.call_later(GRACE, self._abandon, pending)

    def _abandon(self, pending: Pending) -> None:
        task = pending.task
        if task is None:
            return
        log.warning("effect.left_behind", effect=str(pending), grace=GRACE)
        pending.task = None
        self.inflight -= 1
        self._done.append((pending, "cancelled", None))
        self._kick()

    def instant(self, name: str, request: Json, fn: Callable[[], Json]) -> Json:
        """An effect that takes no time (the clock, an in-process store): one record."""
        lane = self.here().lanes[-1]
        lane.position += 1
        try:
            return self.tape.did(lane.name, lane.position, name, request, fn)
        except JournalError as problem:
            self._halt(problem)

    def note(self, event: Event, durable: bool = False) -> None:
        """Put an announcement into the running strand's lane."""
        lane = self.here().lanes[-1]
        text = encode(event.to_json())
        hidden = self.tape.redacted(text)
        self._record(lane, "note", hidden, durable=durable, event=event if hidden == text else None)

    def input(self, body: dict[str, Json]) -> None:
        """Hand in something from outside; it takes effect at an admission."""
        if not self.over:
            self._inputs.append(body)
            self._kick()

    def timeout(self, seconds: float) -> Timer:
        strand = self.here()
        strand.scopes += 1
        return Timer(self, strand, f"{strand.name}#{strand.serial}/{strand.scopes}", seconds)

    def _record(self, lane: Lane, kind: Kind, text: str, **more: Any) -> Record:
        try:
            return self.tape.record(lane.name, lane.position, kind, text, **more)
        except JournalError as problem:
            self._halt(problem)

    def _halt(self, failure: BaseException) -> NoReturn:
        """Stop the loop. Not raised into the mode, which might swallow it (24)."""
        self.failure = self.failure or failure
        raise Halt

    # -- the loop -------------------------------------------------------------

    def _kick(self) -> None:
        if self.choose is None:
            self._pump()
        else:  # let completions gather, so that there is something to choose from
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        if self._pumping or self.over or self.main is None:
            return
        self._pumping = True
        try:
            while self.failure is None and not self.main.ended:
                if self._ready:
                    strand, ticket, error = self._ready.popleft()
                    if ticket == strand.ticket and not strand.done:
                        self._step(strand, error)
                elif not self._admit():
                    return
        except Halt:
            pass
        except (JournalError, StuckError) as problem:
            self.failure = problem
        finally:
            self._pumping = False
        if self.failure is None:
            try:
                self.tape.check_finished()
            except JournalError as problem:
                self.failure = problem
        self._end()

    def _admit(self) -> bool:
        """Every strand waits: let one thing in. False if there is nothing, for now."""
        if self.tape.past:
            return self._admit_recorded()
        while self._inputs:
            body = self._inputs.popleft()
            if body["what"] == "timeout" and body["scope"] not in self.timers:
                continue  # the block was left before its timer could be heard
            self._record(self.lane("run"), "input", self.tape.redacted(encode(body)), durable=True)
            self._apply(body)
            return True
        if self._done:
            if self.choose is not None:
                self._done.rotate(-self.choose(len(self._done)))
            pending, outcome, value = self._done.popleft()
            if outcome == "cancelled" and not (pending.strand.causes or pending.strand.done):
                outcome, value = "error", asyncio.CancelledError("it cancelled itself")
            self._deliver(pending, *self._conclude(pending, outcome, value))
            return True
        if not self.inflight and not self.timers:
            raise StuckError(tuple((strand.name, str(strand.on or "its effects")) for strand in self.alive))
        return False

    def _conclude(self, pending: Pending, outcome: str, value: Any) -> tuple[str, Json]:
        if outcome == "error":
            retry_in = getattr(value, "retry_in", None)
            value = {"type": type(value).__name__, "message": str(value) or type(value).__name__}
            value |= {} if retry_in is None else {"retry_in": retry_in}
        try:
            return outcome, self._finished(pending, outcome, value)
        except (TypeError, ValueError, AttributeError, RecursionError) as problem:
            value = {"type": type(problem).__name__, "message": f"its result is not JSON: {problem}"}
            return "error", self._finished(pending, "error", value)

    def _finished(self, pending: Pending, outcome: str, value: Json) -> Json:
        """Write the end of an effect; what comes back is what the journal holds (9)."""
        text = self.tape.redacted(encode(value))
        body = f'{{"outcome":"{outcome}","value":{text}}}'
        try:
            self.tape.record(
                pending.lane.name, pending.position, "finished", body, pending.started, pending.effect == "write"
            )
        except JournalError as problem:
            self._halt(problem)
        return json.loads(text)

    def _admit_recorded(self) -> bool:
        tape = self.tape
        recorded = tape.peek()
        body = recorded.body
        if recorded.kind == "input":
            tape.cursor += 1
            if body["what"] == "timeout" and body["scope"] not in self.timers:
                raise tape.divergence(recorded, f"nobody set the timer {body['scope']!r}")
            self._apply(body)
            return True
        pending = self.pending.get((recorded.lane, recorded.position))
        if recorded.kind != "finished" or pending is None or pending.effect == "composite":
            waiting = ", ".join(sorted(map(str, self.pending.values()))) or "nothing"
            raise tape.divergence(recorded, f"nobody asks for this; waited for: {waiting}")
        tape.cursor += 1
        self._deliver(pending, body["outcome"], body["value"])
        return True

    def _apply(self, body: dict[str, Json]) -> None:
        if body["what"] == "cancel":
            assert self.main is not None
            self.cancel(self.main, "cancel")
        elif body["what"] == "timeout":
            self.timers[body["scope"]].fire()
        elif self.on_input is not None:
            self.on_input(body)

    def _deliver(self, pending: Pending, outcome: str, value: Json) -> None:
        pending.outcome, pending.value = outcome, value
        del self.pending[pending.lane.name, pending.position]
        strand = pending.strand
        strand.open.remove(pending)
        if strand.done:
            self._maybe_ended(strand)
        elif strand.causes and not strand.told:
            if not strand.open:
                self._tell(strand)
        elif strand.on is pending:
            self._wake(strand)

    def _end(self) -> None:
        self.over = True
        for timer in self.timers.values():
            timer.disarm()
        for strand in reversed(self.alive):
            try:
                strand.coro.close()
            except BaseException as problem:  # noqa: BLE001 -- a `finally` that wanted more of the hub
                log.debug("strand.closed", strand=strand.name, problem=self.tape.hide(repr(problem)))
        for pending in self.pending.values():
            if pending.task is not None:
                pending.task.cancel()
                self._loop.call_later(GRACE, self._abandon_at_end, pending)
        self._drained()

    def _abandon_at_end(self, pending: Pending) -> None:
        if pending.task is not None:
            pending.task = None
            self.inflight -= 1
            self._drained()

    def _drained(self) -> None:
        if not self.inflight and self.on_end is not None:
            on_end, self.on_end = self.on_end, None
            on_end()


@attrs.define(eq=False)
class Timer:
    """``async with spine.timeout(5):``; the firing is an input, heard when every strand waits (21)."""

    spine: Spine
    strand: Strand
    key: str
    seconds: float
    fired: bool = False
    _handle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        self.spine.timers[self.key] = self
        if not self.spine.tape.past:
            self._handle = asyncio.get_running_loop().call_later(
                self.seconds, self.spine.input, {"what": "timeout", "scope": self.key}
            )

    def fire(self) -> None:
        self.fired = True
        self.spine.cancel(self.strand, self)

    def disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.disarm()
        self.spine.timers.pop(self.key, None)
        if not self.fired:
            return
        self.strand.causes.remove(self)
        if not self.strand.causes:
            self.strand.told = False
            if kind is asyncio.CancelledError:
                raise TimeoutError(f"it took longer than {self.seconds:g} s") from error
