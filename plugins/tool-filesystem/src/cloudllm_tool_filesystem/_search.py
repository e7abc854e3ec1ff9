"""A search as it goes: what it found, what it passed over, and when it has done enough."""

from __future__ import annotations

import fnmatch
import functools
from typing import Any

import attrs

from ._beneath import below
from ._files import read_text
from ._names import FileError
from ._root import Spot
from ._tree import Entry

MOST_MATCHES, MOST_ENTRIES, MOST_BYTES = 200, 100_000, 64 * 2**20
"""Matches shown, entries looked at and bytes read by one search; it says when that was not all there is."""

LONGEST_LINE = 200
"""Characters of a line that are shown."""


def fits(pattern: str, parts: tuple[str, ...]) -> bool:
    """
    Whether the path *parts* fits *pattern*, whatever the case.

    ``*``, ``?`` and ``[abc]`` stay within a name, ``**`` is any folders. A pattern without a ``/`` is held
    against the last name only; without wildcards it is a piece of it.
    """
    pattern = pattern.casefold()
    names = tuple(part.casefold() for part in parts)
    if "/" in pattern:
        return _fits(tuple(pattern.split("/")), names)
    if any(sign in pattern for sign in "*?["):
        return fnmatch.fnmatchcase(names[-1], pattern) or pattern in names[-1]
    return pattern in names[-1]


def _fits(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    @functools.cache  # each pair of places is tried once, however many ** there are
    def from_here(p: int, n: int) -> bool:
        if p == len(patterns):
            return n == len(names)
        if patterns[p] == "**":
            return from_here(p + 1, n) or (n < len(names) and from_here(p, n + 1))
        return n < len(names) and fnmatch.fnmatchcase(names[n], patterns[p]) and from_here(p + 1, n + 1)

    return from_here(0, 0)


@attrs.define(eq=False)
class Search:
    """Looks for *query* in names, or for its plain text in the lines of files."""

    query: str
    names: str | None
    """Only what fits this is looked at."""

    parents: tuple[str, ...]
    """Where the search began."""

    max_bytes: int
    """Larger files are skipped."""

    encoding: str

    matches: list[dict[str, Any]] = attrs.field(factory=list)
    skipped: int = 0
    """Files that could not be read as text."""

    seen: int = 0
    size: int = 0

    @property
    def enough(self) -> bool:
        """Whether there may be more that this search will not find."""
        return len(self.matches) > MOST_MATCHES or self.seen > MOST_ENTRIES or self.size > MOST_BYTES

    def look(self, fd: int, entry: Entry, contents: bool) -> None:
        """Look at *entry*, which is somewhere below the directory *fd*: at its name, or at its lines."""
        self.seen += 1
        if self.names is not None and not fits(self.names, entry.parts):
            return
        if contents:
            if entry.kind == "file":
                self._lines(fd, entry)
        elif fits(self.query, entry.parts):
            self.matches.append({"path": entry.below(self.parents), "kind": entry.kind})

    def _lines(self, fd: int, entry: Entry) -> None:
        path, query = entry.below(self.parents), self.query.casefold()
        try:
            with below(fd, entry.parts[:-1]) as parent:
                text, _ = read_text(Spot.of(parent, entry.parts[-1], path), self.max_bytes, self.encoding)
        except (FileError, OSError):
            self.skipped += 1
            return
        self.size += len(text)
        for number, line in enumerate(text.split("\n"), 1):
            if query in line.casefold():
                self.matches.append({"path": path, "line": number, "text": line.strip()[:LONGEST_LINE]})
                if self.enough:
                    return
