"""
Files below one root.

Each tool is a method that may also be called from Python. How a path becomes an open file, and why it
cannot lead out, is told in `_beneath` and `_root`; what happens to the file, in `_files`.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs

from cloudllm_core import ToolContext, ToolDefinition

from . import _files, _tree
from ._beneath import below
from ._names import FileError, parts_of
from ._root import arrived, told
from ._text import encode
from ._tools import DEFINITIONS, SHOWS
from .reading import ReadingTools


@attrs.frozen
class FileSystem(ReadingTools):
    """
    Tools over the files below *root*, which agents cannot leave.

    A symbolic link is followed as far as it stays below, pipes and devices are not touched, a file is
    written whole or not at all. Changes below one root happen one at a time, also between processes.
    """

    name: ClassVar[str] = "filesystem"

    def tools(self) -> Sequence[ToolDefinition]:
        return [self._said(tool) for tool in DEFINITIONS if tool.effect == "read" or not self.read_only]

    def _said(self, tool: ToolDefinition) -> ToolDefinition:
        if self.foreign and tool.name in SHOWS:
            tool = attrs.evolve(tool, untrusted=True)
        if self.anywhere and tool.effect != "read":
            tool = attrs.evolve(tool, needs=(*tool.needs, "outside"))
        return tool

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        offered = [definition.name for definition in self.tools()]
        if tool not in offered:
            raise FileError(tool, "is no tool of this file system", f"There are {', '.join(offered)}.")
        return await asyncio.to_thread(getattr(self, tool), **arguments)

    def write_file(self, path: str, content: str) -> str:
        """Make the file *path* hold *content*, in one step; folders that are missing are made."""
        data = encode(path, content, self.encoding, self.max_bytes)
        with self.file(path, create=True, change=True) as spot:
            _files.replace(spot, data)
        return f"Wrote {len(data):,} bytes to {path!r}."

    def append_file(self, path: str, content: str) -> str:
        """Add *content* to the end of the file *path*, which is made if missing, with its folders."""
        encode(path, content, "utf-8", self.max_bytes)  # what is no text makes no folders
        with self.file(path, create=True, change=True) as spot:
            count = _files.append(spot, content, self.max_bytes, self.encoding)
        return f"Added {count:,} bytes to {path!r}."

    def edit_file(self, path: str, old: str, new: str) -> str:
        """Replace the passage *old*, which must occur exactly once, by *new*."""
        with self.file(path, change=True) as spot:
            text, encoding = _files.read_text(spot, self.max_bytes, self.encoding, changing=True)
            count = _count(text, old)
            if count == 0:
                what = "was not changed: the old passage does not occur in it"
                raise FileError(path, what, "Read the file and copy the passage exactly, spaces and line breaks too.")
            if count > 1:
                what = f"was not changed: the old passage occurs {count} times in it"
                raise FileError(path, what, "Give more of the text around it, so that it occurs once.")
            _files.replace(spot, encode(path, text.replace(old, new), encoding, self.max_bytes))
        return f"Changed one passage of {path!r}."

    def create_directory(self, path: str) -> str:
        """Make the directory *path* and those above it; one that exists is left as it is."""
        with self.rooted.directory(path, create=True, change=True):
            return f"The directory {path!r} exists."

    def move_file(self, path: str, new_path: str) -> str:
        """Give the file *path* the place and name *new_path*, where nothing may be yet; makes missing folders."""
        with self.file(path, change=True, follow=False) as spot:
            _files.check_file(spot, spot.find())
            self.kinds.check(new_path, "".join(parts_of(new_path)[-1:]))
            with (
                told(new_path),
                self.rooted.opened(new_path, change=False) as top,
                arrived(top, new_path, create=True, follow=False) as target,
            ):
                if target.found:
                    raise FileError(new_path, "exists already", "Choose another name, or delete that first.")
                os.rename(spot.name, target.name, src_dir_fd=spot.directory, dst_dir_fd=target.directory)
        return f"Moved {path!r} to {new_path!r}."

    def delete_file(self, path: str) -> str:
        """Delete the file *path*; of a link the link, not what it leads to."""
        with self.file(path, change=True, follow=False) as spot:
            if not stat.S_ISLNK(spot.find().st_mode):
                _files.check_file(spot, spot.find())
            os.unlink(spot.name, dir_fd=spot.directory)
        return f"Deleted {path!r}."

    def delete_directory(self, path: str) -> str:
        """Delete the directory *path* with everything in it, unless it holds a file that may not be used."""
        with self.rooted.spot(path, change=True, follow=False) as spot:
            if not stat.S_ISDIR(spot.find().st_mode):
                raise FileError(path, "is not a directory", "Use delete_file for a file.")
            with below(spot.directory, (spot.name,)) as fd:
                self._may_all_go(path, fd)
            _tree.remove_tree(spot.directory, spot.name)
        return f"Deleted {path!r} and everything in it."

    def _may_all_go(self, path: str, fd: int) -> None:
        missed = list[str]()
        for entry in _tree.tree(fd, missed):
            if entry.kind != "directory" and entry.parts[-1] not in self.kinds:
                what = f"holds {entry.below()!r}, which may not be used here"
                raise FileError(path, what, "Delete the other files one by one.")
        if missed:
            what = f"was not deleted: {missed[0]!r} in it is too large, too deep, too slow or not readable"
            raise FileError(path, what, "Delete what is in it first.")


def _count(text: str, passage: str) -> int:
    """How often *passage* occurs in *text*, overlapping ones too."""
    count, place = 0, text.find(passage)
    while passage and place >= 0:
        count, place = count + 1, text.find(passage, place + 1)
    return count
