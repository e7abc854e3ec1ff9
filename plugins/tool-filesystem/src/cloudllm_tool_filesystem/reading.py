"""The tools that only read."""

from __future__ import annotations

import io
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs

from . import _files, _tree
from ._names import DEEPEST, LONGEST_PATH, FileError, MissingError, missing, parts_of
from ._search import MOST_MATCHES, Search
from .settings import FileSettings

MOST_ENTRIES = 2_000
"""Entries of one listing; it says when there are more."""


@attrs.frozen
class ReadingTools(FileSettings):
    """What can be done without changing anything."""

    def read_file(
        self,
        path: str,
        start_line: int | None = None,
        end_line: int | None = None,
        offset: int | None = None,
        length: int | None = None,
    ) -> str:
        """
        The text of *path*, whole or some of it.

        Args:
            path: the file.
            start_line: the first line to read, counted from 1.
            end_line: the last line to read, itself included.
            offset: the first byte to read, counted from 0; for files too large to be read whole.
            length: how many bytes from there; a character that begins in them is read to its end.
        """
        by_line, by_byte = (start_line, end_line) != (None, None), (offset, length) != (None, None)
        if by_line and by_byte:
            raise FileError(path, "cannot be read by lines and by bytes at once", "Give lines, or offset and length.")
        with self.file(path) as spot:
            if by_byte:
                first, most = offset or 0, self.max_bytes if length is None else min(length, self.max_bytes)
                if first < 0 or most < 1:
                    raise FileError(path, "has no such bytes", "offset begins at 0, and length at 1.")
                return _files.read_part(spot, first, most, self.encoding)
            text, _ = _files.read_text(spot, self.max_bytes, self.encoding)
        return _lines(path, text, start_line, end_line) if by_line else text

    def file_info(self, path: str) -> dict[str, Any]:
        """Name, path, size in bytes, whether it is a directory, and when it was modified (UTC)."""
        found = self._find(path)
        if found is None:
            raise missing(path)
        parts = parts_of(path)
        is_directory = stat.S_ISDIR(found.st_mode)
        return {
            "name": parts[-1] if parts else ".",
            "path": "/".join(parts) or ".",
            "size": 0 if is_directory else found.st_size,
            "is_directory": is_directory,
            "modified": datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds"),
        }

    def file_exists(self, path: str) -> bool:
        """Whether there is a file or directory at *path*."""
        return self._find(path) is not None

    def list_directory(self, path: str = ".", recursive: bool = False) -> dict[str, Any]:
        """``entries`` of path, kind and size, and whether the list is ``complete``."""
        parents, missed = parts_of(path), list[str]()
        with self.rooted.directory(path) as fd:
            found = self._visible(_tree.tree(fd, missed) if recursive else _tree.entries(fd, missed))
            first = list(itertools.islice(found, MOST_ENTRIES + 1))
        shown = [{"path": entry.below(parents), "kind": entry.kind, "size": entry.size} for entry in first]
        return {"entries": shown[:MOST_ENTRIES], "complete": len(first) <= MOST_ENTRIES and not missed}

    def search_files(
        self, query: str, path: str = ".", contents: bool = False, names: str | None = None
    ) -> dict[str, Any]:
        """
        ``matches`` of *query* in names, or with *contents* in lines, whatever the case.

        Also says whether the search is ``complete``, and how many files were ``skipped`` for not being
        readable text. In lines the query is plain text; in names it may have wildcards (``*.md``,
        ``src/**/test_?.py``), and so may *names*, which says what is looked at.
        """
        if not query:
            raise FileError(path, "was not searched, because the query is empty", "Say what to look for.")
        for pattern in (names or "", "" if contents else query):
            if pattern.count("/") > DEEPEST or len(pattern) > LONGEST_PATH:
                raise FileError(path, "was not searched, because the pattern is too long", "Use a shorter one.")
        search, missed = Search(query, names, parts_of(path), self.max_bytes, self.encoding), list[str]()
        with self.rooted.directory(path) as fd:
            for entry in self._visible(_tree.tree(fd, missed)):
                search.look(fd, entry, contents)
                if search.enough:
                    break
        complete = not search.enough and not missed
        return {"matches": search.matches[:MOST_MATCHES], "complete": complete, "skipped": search.skipped}

    def _visible(self, entries: Iterable[_tree.Entry]) -> Iterator[_tree.Entry]:
        return (entry for entry in entries if entry.kind == "directory" or entry.parts[-1] in self.kinds)

    def _find(self, path: str) -> os.stat_result | None:
        """What is at *path*, or None; a kind that may not be used is refused, there or not."""
        parts = parts_of(path)
        if not parts:
            with self.rooted.directory(path) as fd:
                return os.fstat(fd)
        name, linked, found = parts[-1], False, None
        try:
            with self.rooted.spot(path) as spot:
                name, linked, found = spot.name, spot.linked, spot.found
        except MissingError:
            pass  # so it is not there, which is an answer
        if found is None or not stat.S_ISDIR(found.st_mode):
            self.kinds.check(path, parts[-1])
            self.kinds.check(path, name, linked)
        return found


def _lines(path: str, text: str, start: int | None, end: int | None) -> str:
    lines = io.StringIO(text, newline="\n").readlines()
    first, last = start or 1, len(lines) if end is None else end
    if first < 1 or first > max(len(lines), 1):
        raise FileError(path, f"has {len(lines)} lines and none is number {first}", "Choose lines it has.")
    if end is not None and last < first:
        raise FileError(path, f"has no lines {first} to {last}", "Let end_line be no less than start_line.")
    return "".join(lines[first - 1 : last])
