"""
Files below one root.

Each tool is a method of `FileSystem` that may also be called from Python. How a path becomes an open
file, and why it cannot lead out, is told in `_paths`; what happens to the file, in `_files`.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import attrs

from cloudllm_core import ToolContext, ToolDefinition, ToolProtocol

from . import _files
from ._paths import FileError, MissingError, Root, below, parts_of
from ._search import MOST_MATCHES, Search
from ._tools import DEFINITIONS

MOST_ENTRIES = 2_000
"""Entries of one listing; it says when there are more."""


def _absolute(root: str | os.PathLike[str]) -> Path:
    return Path(root).expanduser().absolute()


def _endings(extensions: Sequence[str] | None) -> tuple[str, ...] | None:
    if extensions is None:
        return None
    if isinstance(extensions, str) or not extensions:
        raise ValueError(f"extensions must be a list such as ['.md', '.txt'], not {extensions!r}")
    for extension in extensions:
        if not re.fullmatch(r"\.?[^./\\\s][^/\\\s]*", extension):
            raise ValueError(f"{extension!r} is no extension; write one such as '.md'")
    return tuple("." + extension.lower().removeprefix(".") for extension in extensions)


@attrs.frozen
class FileSystem(ToolProtocol):
    """
    Tools over the files below *root*, which agents cannot leave.

    No symbolic link is followed, pipes and devices are not touched, a file is written whole or not at
    all. Changes below one root happen one at a time, also between processes.
    """

    name: ClassVar[str] = "filesystem"

    root: Path = attrs.field(converter=_absolute)
    """Made on first use if missing, unless *read_only*."""

    read_only: bool = attrs.field(default=False, kw_only=True)
    """Whether only the tools that read are offered."""

    extensions: tuple[str, ...] | None = attrs.field(default=None, kw_only=True, converter=_endings)
    """Endings of the files that may be used, for every tool; None is all. Folders may be called anything."""

    max_bytes: int = attrs.field(default=10 * 2**20, kw_only=True, validator=attrs.validators.ge(1))
    """The largest file that is read, or left behind by a change."""

    def tools(self) -> Sequence[ToolDefinition]:
        return [tool for tool in DEFINITIONS if tool.effect == "read" or not self.read_only]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        offered = [definition.name for definition in self.tools()]
        if tool not in offered:
            raise FileError(tool, "is no tool of this file system", f"There are {', '.join(offered)}.")
        return await asyncio.to_thread(getattr(self, tool), **arguments)

    # -- reading --

    def read_file(self, path: str, start_line: int | None = None, end_line: int | None = None) -> str:
        """The text of *path*, or its lines from *start_line* to *end_line*, counted from 1, both included."""
        self._allow(path)
        with self._root.parent(path) as spot:
            text = _files.read_text(spot, self.max_bytes)
        if start_line is None and end_line is None:
            return text
        lines = io.StringIO(text, newline="\n").readlines()
        first, last = start_line or 1, len(lines) if end_line is None else end_line
        if first < 1 or first > max(len(lines), 1):
            raise FileError(path, f"has {len(lines)} lines and none is number {first}", "Choose lines it has.")
        if end_line is not None and last < first:
            raise FileError(path, f"has no lines {first} to {last}", "Let end_line be no less than start_line.")
        return "".join(lines[first - 1 : last])

    def file_info(self, path: str) -> dict[str, Any]:
        """Name, path, size in bytes, whether it is a directory, and when it was modified (UTC)."""
        found = self._find(path)
        if found is None:
            raise MissingError(path, "does not exist", "Use list_directory to see what is there.")
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
        with self._root.directory(path) as fd:
            found = self._visible(_files.tree(fd, missed) if recursive else _files.entries(fd))
            first = list(itertools.islice(found, MOST_ENTRIES + 1))
        shown = [{"path": entry.below(parents), "kind": entry.kind, "size": entry.size} for entry in first]
        return {"entries": shown[:MOST_ENTRIES], "complete": len(first) <= MOST_ENTRIES and not missed}

    def search_files(self, query: str, path: str = ".", contents: bool = False) -> dict[str, Any]:
        """
        ``matches`` of *query* in names, or with *contents* in lines, whatever the case.

        Also says whether the search is ``complete``, and how many files were ``skipped`` for not being
        readable text.
        """
        if not query:
            raise FileError(path, "was not searched, because the query is empty", "Say what to look for.")
        search, missed = Search(query.casefold(), parts_of(path), self.max_bytes), list[str]()
        with self._root.directory(path) as fd:
            for entry in self._visible(_files.tree(fd, missed)):
                if not contents:
                    search.name(entry)
                elif entry.kind == "file":
                    search.lines(fd, entry)
                if search.enough:
                    break
        complete = not search.enough and not missed
        return {"matches": search.matches[:MOST_MATCHES], "complete": complete, "skipped": search.skipped}

    # -- changing --

    def write_file(self, path: str, content: str) -> str:
        """Make the file *path* hold *content*, in one step; folders that are missing are made."""
        self._allow(path)
        data = _files.as_bytes(path, content, self.max_bytes)
        with self._root.parent(path, create=True, change=True) as spot:
            _files.replace(spot, data)
        return f"Wrote {len(data):,} bytes to {path!r}."

    def append_file(self, path: str, content: str) -> str:
        """Add *content* to the end of the file *path*, which is made if missing, with its folders."""
        self._allow(path)
        data = _files.as_bytes(path, content, self.max_bytes)
        with self._root.parent(path, create=True, change=True) as spot:
            _files.append(spot, data, self.max_bytes)
        return f"Added {len(data):,} bytes to {path!r}."

    def edit_file(self, path: str, old: str, new: str) -> str:
        """Replace the passage *old*, which must occur exactly once, by *new*."""
        self._allow(path)
        with self._root.parent(path, change=True) as spot:
            text = _files.read_text(spot, self.max_bytes, changing=True)
            count = _count(text, old)
            if count == 0:
                what = "was not changed: the old passage does not occur in it"
                raise FileError(path, what, "Read the file and copy the passage exactly, spaces and line breaks too.")
            if count > 1:
                what = f"was not changed: the old passage occurs {count} times in it"
                raise FileError(path, what, "Give more of the text around it, so that it occurs once.")
            _files.replace(spot, _files.as_bytes(path, text.replace(old, new), self.max_bytes))
        return f"Changed one passage of {path!r}."

    def create_directory(self, path: str) -> str:
        """Make the directory *path* and those above it; one that exists is left as it is."""
        with self._root.directory(path, create=True, change=True):
            return f"The directory {path!r} exists."

    def delete_file(self, path: str) -> str:
        """Delete the file *path*."""
        self._allow(path)
        with self._root.parent(path, change=True) as spot:
            _files.check_file(spot, spot.find())
            os.unlink(spot.name, dir_fd=spot.directory)
        return f"Deleted {path!r}."

    def delete_directory(self, path: str) -> str:
        """Delete the directory *path* with everything in it, unless it holds a file that may not be used."""
        with self._root.parent(path, change=True) as spot:
            if not stat.S_ISDIR(spot.find().st_mode):
                raise FileError(path, "is not a directory", "Use delete_file for a file.")
            with below(spot.directory, (spot.name,)) as fd:
                for entry in _files.tree(fd, []):
                    if entry.kind != "directory" and not self._allows(entry.parts[-1]):
                        what = f"holds {entry.below()!r}, which may not be used here"
                        raise FileError(path, what, "Delete the other files one by one.")
            _files.remove_tree(spot.directory, spot.name)
        return f"Deleted {path!r} and everything in it."

    # -- what all of them ask --

    @property
    def _root(self) -> Root:
        return Root(self.root, self.read_only)

    def _allows(self, name: str) -> bool:
        return self.extensions is None or name.lower().endswith(self.extensions)

    def _allow(self, path: str) -> None:
        parts = parts_of(path)
        if parts and not self._allows(parts[-1]):
            endings = ", ".join(self.extensions or ())
            raise FileError(path, "is not of a kind that may be used here", f"Names must end with: {endings}.")

    def _visible(self, entries: Iterable[_files.Entry]) -> Iterator[_files.Entry]:
        return (entry for entry in entries if entry.kind == "directory" or self._allows(entry.parts[-1]))

    def _find(self, path: str) -> os.stat_result | None:
        """What is at *path*, or None; a kind that may not be used is refused, there or not."""
        if not parts_of(path):
            with self._root.directory(path) as fd:
                return os.fstat(fd)
        try:
            with self._root.parent(path) as spot:
                found = spot.look()
        except MissingError:
            found = None
        if found is None or not stat.S_ISDIR(found.st_mode):
            self._allow(path)
        return found


def _count(text: str, passage: str) -> int:
    """How often *passage* occurs in *text*, overlapping ones too."""
    count, place = 0, text.find(passage)
    while passage and place >= 0:
        count, place = count + 1, text.find(passage, place + 1)
    return count
