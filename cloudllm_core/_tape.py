"""
The tape: where records are written, or, in a replay, re-enacted one after the other.

Both go through `Tape.record`. Live, it appends. In a replay, the same call must find the very same
record next on the tape; the first one that does not is a divergence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import attrs

from ._events import Event
from ._journal import Chain, digest_text, encode, redacted
from ._messages import Json
from ._records import Kind, Record
from .errors import DivergenceError, JournalError

ENDINGS = ("RunCompleted", "RunFailed", "RunCancelled")


class PastEnds(JournalError):
    """A replay came to the end of a journal whose run had not ended."""


@attrs.define(eq=False)
class Tape:
    """Writes the records of one run, or re-enacts *past*."""

    chain: Chain
    past: Sequence[Record] = ()
    """Records to re-enact; with any, nothing is performed and nothing appended."""

    clock: Callable[[], float] = time.time
    on_record: Callable[[Record], None] | None = None
    hide: Callable[[str], str] = str
    """Takes secrets out of a text."""

    cursor: int = 0

    def record(
        self,
        lane: str,
        position: int,
        kind: Kind,
        text: str,
        opened: Record | None = None,
        durable: bool = False,
        event: Event | None = None,
    ) -> Record:
        """
        Write a record whose body is *text*, or find it next on the tape.

        Raises:
            DivergenceError: the tape holds something else. PastEnds: it holds no more.
            JournalError: it could not be kept.
        """
        if self.past:
            recorded = self._next(lane, position, kind, text)
            if recorded.text != text:
                raise self.divergence(recorded, f"{kind}: {text}")
            self.cursor += 1
            return recorded
        record = self.chain.append(self.clock(), lane, position, kind, text, opened, durable)
        if self.on_record is not None:
            record._event = event
            self.on_record(record)
        return record

    def did(self, lane: str, position: int, name: str, request: Json, fn: Callable[[], Json]) -> Json:
        """An instant effect: what *fn* gives now, or what it gave then."""
        head = f'{{"digest":"{digest_text(self.redacted(encode(request)))}","name":"{name}","value":'
        if self.past:
            recorded = self._next(lane, position, "did", head)
            if not recorded.text.startswith(head):
                raise self.divergence(recorded, f"did: {name} with {request!r}")
            self.cursor += 1
            return recorded.body["value"]
        text = self.redacted(encode(fn()))
        self.record(lane, position, "did", f"{head}{text}}}")
        return json.loads(text)

    def redacted(self, text: str) -> str:
        """*text*, which is JSON, without secrets in its strings; it stays JSON."""
        return redacted(text, self.hide)

    def peek(self) -> Record:
        """What a replay must admit next. Raises: PastEnds."""
        if self.cursor == len(self.past):
            raise PastEnds("The journal ends before the run does.")
        return self.past[self.cursor]

    def check_finished(self) -> None:
        """Raises: DivergenceError: the run has ended and the tape has not."""
        if self.cursor < len(self.past):
            raise self.divergence(self.past[self.cursor], "the run has ended")

    def divergence(self, recorded: Record, now: str) -> DivergenceError:
        was = f"{recorded.kind}: {recorded.text}"
        return DivergenceError(recorded.number, recorded.lane, recorded.position, was, now)

    def _next(self, lane: str, position: int, kind: Kind, text: str) -> Record:
        if self.cursor == len(self.past) and (last := self.past[-1]).kind == "note" and last.body["event"] in ENDINGS:
            raise DivergenceError(last.number + 1, lane, position, "the end of the journal", text)
        recorded = self.peek()
        if (recorded.lane, recorded.position, recorded.kind) != (lane, position, kind):
            raise self.divergence(recorded, f"{kind} in lane {lane!r} at position {position}: {text}")
        return recorded
