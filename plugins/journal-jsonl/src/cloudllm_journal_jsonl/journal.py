"""
A run as a file: one record a line.

Writing: the file is made anew and locked, each line goes out in one write, and what a failed write
left behind is cut off again, so that the file always ends with the last record that was accepted.
Reading: see `reading`.
"""

from __future__ import annotations

import os
import stat
from os import write
from typing import ClassVar, Self

import attrs

from cloudllm_core import Journal, JournalText
from cloudllm_core.errors import JournalError

from . import files
from .reading import read


@attrs.define(eq=False)
class Jsonl(Journal):
    """A journal in the file *path*, open for writing; made by `create`."""

    name: ClassVar[str] = "jsonl"

    path: str
    _fd: int | None
    _size: int = 0
    _process: int = attrs.field(factory=os.getpid, init=False)
    _broken: str = ""

    @classmethod
    def create(cls, target: str) -> Self:
        """
        Make the file *target*, for this user only, and lock it while it is open.

        Raises:
            JournalError: there is something already, or the file cannot be made.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            fd = os.open(target, flags, 0o600)
        except OSError as problem:
            raise JournalError(_why_not(target, problem)) from problem
        try:
            if files.lock(fd) is False:
                raise JournalError(f"{target}: another process opened the new journal at once. Choose another name.")
            files.sync_folder_of(target)
        except BaseException as problem:
            os.close(fd)
            os.unlink(target)
            if isinstance(problem, OSError):
                raise JournalError(_why_not(target, problem)) from problem
            raise
        return cls(target, fd)

    @classmethod
    def read(cls, target: str) -> JournalText:
        """
        All whole lines of the file *target*; an unfinished last one is moved to ``<target>.torn``.

        Raises:
            JournalError: there is nothing to read.
        """
        return read(target)

    def append(self, line: bytes, durable: bool) -> None:
        """
        Write *line*; if *durable*, it is on the disk when this returns.

        A line that could not be written whole leaves nothing behind, and another may be tried.

        Raises:
            JournalError: the line is not in the file.
        """
        fd = self._writable()
        try:
            _write_all(fd, line)
            if durable:
                self._sync(fd)
            self._size += len(line)
        except BaseException as problem:  # an interrupt, too, must not leave half a line
            self._cut_back(fd)
            if isinstance(problem, OSError):
                raise JournalError(_not_written(self.path, problem)) from problem
            raise

    def close(self) -> None:
        """Close the file, which also gives the lock back."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _writable(self) -> int:
        if self._fd is None:
            raise JournalError(f"{self.path}: this journal is closed. A new run needs a new journal.")
        if self._broken:
            raise JournalError(self._broken)
        if self._process != os.getpid():
            raise JournalError(
                f"{self.path}: this journal belongs to process {self._process}, from which this one was forked. "
                "Start runs after forking."
            )
        return self._fd

    def _sync(self, fd: int) -> None:
        try:
            files.sync(fd)
            gone = not os.fstat(fd).st_nlink
        except OSError:
            # What the system failed to write once it may forget, and say later that all is well.
            self._broken = (
                f"{self.path}: an earlier record did not reach the disk, so no other is taken. Check the disk."
            )
            raise
        if gone:
            raise JournalError(
                f"{self.path}: the file was deleted while the run writes it. Leave it until the run ends."
            )

    def _cut_back(self, fd: int) -> None:
        try:
            os.ftruncate(fd, self._size)
        except OSError as problem:
            self._broken = (
                f"{self.path}: part of a record is left at the end and cannot be removed ({problem.strerror}), "
                "so no other is taken. Reading the file sets that part aside."
            )


def _write_all(fd: int, line: bytes) -> None:
    written = write(fd, line)
    while written < len(line):  # a signal or a nearly full disk
        more = write(fd, line[written:])
        if not more:
            raise OSError(0, "nothing more was written")
        written += more


def _not_written(path: str, problem: OSError) -> str:
    return (
        f"{path}: a record could not be written ({problem.strerror}). "
        "All records before it are whole. Make room or check the disk, then run again."
    )


def _why_not(target: str, problem: OSError) -> str:
    folder = os.path.dirname(target) or "."
    match problem:
        case FileExistsError():
            what = "a folder" if _is_folder(target) else "something"
            return f"{target}: there is {what} already, and a journal is never written over. Choose another name."
        case FileNotFoundError():
            return f"{target}: the folder {folder!r} does not exist. Make it first, or choose another one."
        case NotADirectoryError():
            return f"{target}: {folder!r} is not a folder. Choose another one."
        case PermissionError():
            return f"{target}: you may not write to the folder {folder!r}. Choose another one."
        case _:
            return f"{target}: the journal cannot be made ({problem.strerror}). Choose another place."


def _is_folder(target: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(target).st_mode)
    except OSError:  # a link to nowhere
        return False
