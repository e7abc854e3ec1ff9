"""Server-sent events, from bytes that may be split anywhere."""

from __future__ import annotations

import re

LINE = 16 * 1024 * 1024
"""Bytes one line may have."""

BARE = "bare"
"""The name of an event made of lines that are none: some servers write an error as it is into a stream."""

_BREAK = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_SKIPPED = (b"", b"id", b"retry")


class Events:
    """
    Turns pieces of a body into events, each a pair of its name (mostly empty) and its data.

    Comments, ids and retry times are skipped; CR, LF and CRLF all end a line. Lines without a known field are skipped,
    or come out together as an event called `BARE` where *bare* says so. A line may have *longest* bytes; None leaves
    it to the caller to bound the body.
    """

    def __init__(self, longest: int | None = LINE, bare: bool = False) -> None:
        self.bare = bare
        self._longest = longest
        self._pieces: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []
        self._bare: list[str] = []

    def feed(self, piece: bytes) -> list[tuple[str, str]]:
        """
        The events that *piece* completes.

        Raises:
            ValueError: a line is too long.
        """
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if not piece:
            return []
        self._after_cr = piece.endswith(b"\r")
        self._size += len(piece)
        if self._longest is not None and self._size > self._longest:
            raise ValueError(f"a line of the stream is longer than {self._longest} bytes")
        self._pieces.append(piece)
        if b"\n" not in piece and b"\r" not in piece:
            return []
        *lines, rest = _BREAK.split(b"".join(self._pieces))
        self._pieces, self._size = [rest], len(rest)
        return self._events(lines)

    def finish(self) -> list[tuple[str, str]]:
        """The event at the end of the body, whose closing blank line some servers forget."""
        rest, self._pieces = b"".join(self._pieces), []
        return self._events([rest, b""])

    def _events(self, lines: list[bytes]) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for line in lines:
            if self._first:
                self._first = False
                line = line.removeprefix(_BOM)  # noqa: PLW2901
            if line:
                self._line(line)
            else:
                self._close(found)
        return found

    def _line(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        elif field == b"event":
            self._name = value.strip().decode("utf-8", "replace")
        elif self.bare and field not in _SKIPPED:
            self._bare.append(line.decode("utf-8", "replace"))

    def _close(self, found: list[tuple[str, str]]) -> None:
        if self._data:
            found.append((self._name, "\n".join(self._data)))
        if self._bare:
            found.append((BARE, "\n".join(self._bare)))
            self._bare = []
        self._name, self._data = "", []
