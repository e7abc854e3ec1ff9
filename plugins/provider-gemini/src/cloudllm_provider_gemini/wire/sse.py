"""Server-sent events, from bytes that may be split anywhere."""

from __future__ import annotations

import re

_BREAK = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_SKIPPED = (b"", b"id", b"retry")

BARE = "bare"
"""The name of an event made of lines that are none: this wire writes an error as it is into a stream."""


class Events:
    """
    Turns pieces of a body into events, each a pair of its name (mostly empty) and its data.

    Comments, ids and retry times are skipped; CR, LF and CRLF all end a line. Lines without a known
    field come out together as an event called `BARE`. The body's size is for the caller to bound.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []
        self._bare: list[str] = []

    def feed(self, piece: bytes) -> list[tuple[str, str]]:
        """The events that *piece* completes."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if not piece:
            return []
        self._after_cr = piece.endswith(b"\r")
        self._pieces.append(piece)
        if b"\n" not in piece and b"\r" not in piece:
            return []
        *lines, rest = _BREAK.split(b"".join(self._pieces))
        self._pieces = [rest]
        return [event for line in lines for event in self._line(line)]

    def finish(self) -> list[tuple[str, str]]:
        """The event at the end of the body, whose closing blank line some servers forget."""
        rest, self._pieces = b"".join(self._pieces), []
        return [event for line in (rest, b"") for event in self._line(line)]

    def _line(self, line: bytes) -> list[tuple[str, str]]:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._close()
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        elif field == b"event":
            self._name = value.strip().decode("utf-8", "replace")
        elif field not in _SKIPPED:
            self._bare.append(line.decode("utf-8", "replace"))
        return []

    def _close(self) -> list[tuple[str, str]]:
        events = []
        if self._data:
            events.append((self._name, "\n".join(self._data)))
        if self._bare:
            events.append((BARE, "\n".join(self._bare)))
        self._name, self._data, self._bare = "", [], []
        return events
