"""How long a call may take, as a whole and in its parts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs

from cloudllm_core.errors import ProviderTimeout

from .failures import Origin

_PING = rb'(?::|(?:event: ?+|data: ?+\{"type": ?+")(?:ping|keepalive)\b)'
_BLANK = rb"[ \t]*+[\r\n]"
_SILENT = re.compile(_PING + b"|" + _BLANK)
"""How a line begins that only keeps a connection open: a comment, a ping, a blank one."""

_SILENCE = re.compile(rb"(?:" + _PING + rb"[^\r\n]*+[\r\n]|" + _BLANK + rb")*+")
"""Nothing but such lines; all possessive, so matched in linear time."""

_ENOUGH = 64
"""Bytes of an unfinished line that cannot be a ping any more."""


@attrs.frozen(kw_only=True)
class Deadlines:
    """Seconds that the parts of a call may take."""

    first_token: float
    """Until the answer of a stream begins, pings aside."""

    idle: float
    """Between two pieces of it, pings aside."""

    total: float
    """From the first byte sent to the last one read."""


class Watch:
    """
    Ends a stream that does not begin, or does not go on.

    A piece that comes is only noted. One timer looks in when a deadline may have passed: moving it with each piece
    would cost more than reading the piece.
    """

    def __init__(self, deadlines: Deadlines, call: asyncio.Timeout) -> None:
        self.late: tuple[str, str] | None = None
        """What did not come in time, and what to do about it."""

        self._deadlines, self._call = deadlines, call
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._timer: asyncio.TimerHandle | None = None
        self._heard: float | None = None
        self._rest = b""

    def start(self) -> None:
        """Begin to wait for the first token."""
        self._heard, self._rest = None, b""
        self._await(self._loop.time() + self._deadlines.first_token)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def over(self, pieces: Callable[[], AsyncIterator[bytes]]) -> Callable[[], AsyncIterator[bytes]]:
        """*pieces*, each noted as it passes."""

        async def noted() -> AsyncIterator[bytes]:
            async for piece in pieces():
                self.note(piece)
                yield piece

        return noted

    def note(self, piece: bytes) -> None:
        """Hear *piece*; what only keeps the connection open does not count, wherever it is split."""
        if self._rest or not piece.endswith(b"\n") or _SILENT.match(piece):
            self._weigh(piece)
        elif self._heard is None:
            self._hear()
        else:  # whole lines that say something: nearly always, so this must be cheap
            self._heard = self._time()

    def _weigh(self, piece: bytes) -> None:
        text = self._rest + piece
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        comment = text.startswith(b":", end)
        if not _SILENCE.fullmatch(text, 0, end) or (len(text) - end > _ENOUGH and not comment):
            self._hear()
        self._rest = b":" if comment else text[end : end + _ENOUGH]

    def _hear(self) -> None:
        begins, self._heard = self._heard is None, self._time()
        if begins:
            self._await(self._heard + self._deadlines.idle)

    def _await(self, due: float) -> None:
        self.stop()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        if self._call.expired():
            return  # it ends already
        if self._heard is None:
            seconds = self._deadlines.first_token
            self.late = f"no answer began within {seconds:g} seconds", "Raise first_token_timeout to wait longer."
        elif (due := self._heard + self._deadlines.idle) > self._loop.time():
            self._await(due)
            return
        else:
            seconds = self._deadlines.idle
            self.late = f"the answer did not go on for {seconds:g} seconds", "Raise idle_timeout to wait longer."
        self._call.reschedule(self._loop.time())


@asynccontextmanager
async def in_time(deadlines: Deadlines, origin: Origin) -> AsyncIterator[Watch]:
    """
    A block that ends within *deadlines*; those of a stream count once its watch is started.

    Raises:
        ProviderTimeout: it did not; says which deadline passed, and which setting moves it.
    """
    call = asyncio.timeout(deadlines.total)
    watch = Watch(deadlines, call)
    try:
        async with call:
            try:
                yield watch
            finally:
                watch.stop()
    except TimeoutError:
        whole = f"no whole answer came within {deadlines.total:g} seconds", "Raise timeout to wait longer."
        problem, hint = watch.late or whole
        raise ProviderTimeout(**origin.facts(), problem=problem, hint=hint) from None
