"""A search as it goes: what it found, what it passed over, and when it has done enough."""

from __future__ import annotations

from typing import Any

import attrs

from ._files import Entry, read_text
from ._paths import FileError, Spot, below

MOST_MATCHES, MOST_ENTRIES, MOST_BYTES = 200, 100_000, 64 * 2**20
"""Matches shown, entries looked at and bytes read by one search; it says when that was not all there is."""

LONGEST_LINE = 200
"""Characters of a line that are shown."""


@attrs.define(eq=False)
class Search:
    """Looks for *query*, case-folded, in names or in lines."""

    query: str
    parents: tuple[str, ...]
    """Where the search began."""

    max_bytes: int
    """Larger files are skipped."""

    matches: list[dict[str, Any]] = attrs.field(factory=list)
    skipped: int = 0
    """Files that could not be read as text."""

    seen: int = 0
    size: int = 0

    @property
    def enough(self) -> bool:
        """Whether there may be more that this search will not find."""
        return len(self.matches) > MOST_MATCHES or self.seen > MOST_ENTRIES or self.size > MOST_BYTES

    def name(self, entry: Entry) -> None:
        """Look at the name of *entry*."""
        self.seen += 1
        if self.query in entry.parts[-1].casefold():
            self.matches.append({"path": entry.below(self.parents), "kind": entry.kind})

    def lines(self, fd: int, entry: Entry) -> None:
        """Look at the lines of *entry*, which is somewhere below the directory *fd*."""
        self.seen += 1
        path = entry.below(self.parents)
        try:
            with below(fd, entry.parts[:-1]) as parent:
                text = read_text(Spot(parent, entry.parts[-1], path), self.max_bytes)
        except (FileError, OSError):
            self.skipped += 1
            return
        self.size += len(text)
        for number, line in enumerate(text.split("\n"), 1):
            if self.query in line.casefold():
                self.matches.append({"path": path, "line": number, "text": line.strip()[:LONGEST_LINE]})
                if self.enough:
                    return
