"""Server-sent events, from bytes that may be split anywhere."""

from __future__ import annotations

import re

LINE = 16 * 1024 * 1024
"""Bytes one line may have."""

_BREAK = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Events:
    """
    Turns pieces of a body into events, each a pair of its name (mostly empty) and its data.

    Comments, ids and retry times are skipped; CR, LF and CRLF all end a line.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[tuple[str, str]]:
        """
        The events that *piece* completes.

        Raises:
            ValueError: a line is longer than `LINE`.
        """
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if not piece:
            return []
        self._after_cr = piece.endswith(b"\r")
        self._size += len(piece)
        if self._size > LINE:
            raise ValueError(f"a line of the stream is longer than {LINE} bytes")
        self._pieces.append(piece)
        if b"\n" not in piece and b"\r" not in piece:
            return []
        *lines, rest = _BREAK.split(b"".join(self._pieces))
        self._pieces, self._size = [rest], len(rest)
        return [event for line in lines if (event := self._line(line))]

    def finish(self) -> list[tuple[str, str]]:
        """The event at the end of the body, whose closing blank line some servers forget."""
        lines, self._pieces = b"".join(self._pieces), []
        return [event for line in (lines, b"") if (event := self._line(line))]

    def _line(self, line: bytes) -> tuple[str, str] | None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            event = (self._name, "\n".join(self._data))
            self._name, has_data, self._data = "", bool(self._data), []
            return event if has_data else None
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if field == b"data":
            self._data.append(text)
        elif field == b"event":
            self._name = text
        return None
