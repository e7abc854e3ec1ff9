"""
The only way in.

A path is first judged as text, then walked from the root one component at a time, each opened
relative to the one before and never through a symbolic link. Nothing is checked by name and used by
name afterwards, so a link swapped in at any moment has nothing to win.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from cloudllm_core.errors import CloudLLMError

LONGEST_PATH, LONGEST_NAME, DEEPEST = 1024, 255, 64
"""Bytes of a path, bytes of a name, folders within folders: what Linux and macOS both can hold."""

LOCK_SECONDS = 10.0
"""How long a change waits for another change below the same root."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK
_UNSPEAKABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, marks that reverse what a person reads, halves of characters."""

_DRIVE = re.compile("[A-Za-z]:")
_SEE = "Use list_directory to see what is there."
_NO_LINKS = "is a symbolic link, and links are never followed", "Use a path without links."


def _short(path: str) -> str:
    return path if len(path) <= 120 else path[:117] + "..."


@attrs.define(eq=False)
class FileError(CloudLLMError):
    """A file operation was refused or failed; the sentence is written for the model that asked."""

    path: str = attrs.field(converter=_short)
    problem: str
    remedy: str = ""
    says = "{self.path!r} {self.problem}. {self.remedy}"


@attrs.define(eq=False)
class MissingError(FileError):
    """There is nothing of that name."""


def parts_of(path: str) -> tuple[str, ...]:
    """
    The components of *path* below the root; none for the root itself (``"."``).

    Raises:
        FileError: the path could mean something else than a place below the root.
    """
    if not path:
        raise FileError(path, "is an empty path", "Give one below the root, such as 'notes/plan.md'; '.' is the root.")
    if odd := _UNSPEAKABLE.search(path):
        raise FileError(path, f"holds the character U+{ord(odd[0]):04X}, which no path may", "Leave it out.")
    if "\\" in path:
        raise FileError(path, "holds a backslash", "Separate folders with '/'.")
    if path.startswith("/") or _DRIVE.match(path):
        raise FileError(path, "is an absolute path", "Give the path below the root, such as 'notes/plan.md'.")
    if len(path.encode()) > LONGEST_PATH:
        raise FileError(path, f"is longer than {LONGEST_PATH} bytes", "Use a shorter path.")
    parts = path.split("/")
    if len(parts) > DEEPEST:
        raise FileError(path, f"is more than {DEEPEST} folders deep", "Use a flatter path.")
    for part in parts:
        _judge(path, part)
    return tuple(part for part in parts if part != ".")


def _judge(path: str, part: str) -> None:
    if not part:
        tidy = "/".join(filter(None, path.split("/")))
        raise FileError(path, "has a '/' too many", f"Write {tidy!r} instead.")
    if part == "..":
        raise FileError(path, "holds '..'", "Paths begin at the root and only lead down from it.")
    if part.startswith("~"):
        raise FileError(path, "holds a name that begins with '~'", "There is no home here: paths begin at the root.")
    if len(part.encode()) > LONGEST_NAME:
        raise FileError(path, f"holds a name longer than {LONGEST_NAME} bytes", "Use a shorter name.")


def kind_of(mode: int) -> str:
    """What a file of this *mode* is: ``file``, ``directory``, ``link``, or ``special`` (pipes, devices, sockets)."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "special"


@attrs.frozen
class Spot:
    """A place that may be empty: a name in an open directory."""

    directory: int
    """The directory's descriptor."""

    name: str
    path: str
    """As the model wrote it."""

    def look(self) -> os.stat_result | None:
        """What is there, or None. Raises: FileError for a link."""
        try:
            found = os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(found.st_mode):
            raise FileError(self.path, *_NO_LINKS)
        return found

    def find(self) -> os.stat_result:
        """What is there. Raises: MissingError, or FileError for a link."""
        if found := self.look():
            return found
        raise MissingError(self.path, "does not exist", _SEE)


@attrs.frozen
class Root:
    """The directory that everything happens below."""

    path: Path
    read_only: bool = False
    """Whether changes are refused; if not, the root is made, parents included, when it is missing."""

    @contextmanager
    def directory(self, path: str, *, create: bool = False, change: bool = False) -> Iterator[int]:
        """The descriptor of the directory *path*; *create* makes what is missing, *change* waits its turn."""
        parts = parts_of(path)
        with _told(path), self._opened(path, change) as top, below(top, parts, create) as fd:
            yield fd

    @contextmanager
    def parent(self, path: str, *, create: bool = False, change: bool = False) -> Iterator[Spot]:
        """Where *path* is or would be. Raises: FileError for the root itself."""
        parts = parts_of(path)
        if not parts:
            raise FileError(path, "is the root itself", "Name something below it.")
        with _told(path), self._opened(path, change) as top, below(top, parts[:-1], create) as fd:
            yield Spot(fd, parts[-1], path)

    @contextmanager
    def _opened(self, path: str, change: bool) -> Iterator[int]:
        if change and self.read_only:
            raise FileError(path, "cannot be changed: these files are for reading only", "Leave them as they are.")
        top = self._open()
        try:
            if change:
                _lock(top, self.path)
            yield top
        finally:
            os.close(top)

    def _open(self) -> int:
        # The root itself may be reached through links: it is the user's own word, not a model's.
        try:
            if not self.read_only and not self.path.exists():
                self.path.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as problem:
            what = f"cannot be opened as the root: {problem.strerror}"
            raise FileError(str(self.path), what, "Only the user can set another root.") from problem


@contextmanager
def below(top: int, parts: Sequence[str], create: bool = False) -> Iterator[int]:
    """The directory that *parts* lead to from the directory *top*, as a descriptor."""
    fd = os.dup(top)
    try:
        for depth, name in enumerate(parts, 1):
            inner = _enter(fd, name, "/".join(parts[:depth]), create)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _enter(fd: int, name: str, path: str, create: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise MissingError(path, "does not exist", _SEE) from None
        with suppress(FileExistsError):  # somebody else was faster; opening it says whether it is a directory
            os.mkdir(name, dir_fd=fd)
        return _enter(fd, name, path, create=False)
    except OSError as problem:
        if problem.errno in (errno.ENOTDIR, errno.ELOOP):  # which of them a link gives differs between systems
            kind = kind_of(Spot(fd, name, path).find().st_mode)
            what = "changed while it was opened" if kind == "directory" else f"is a {kind}, not a directory"
            raise FileError(path, what, _SEE) from problem
        raise


def _lock(top: int, path: Path) -> None:
    """Let one change at a time happen below a root, so that parallel edits of one file do not undo each other."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(top, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                what = f"has been locked by another program for {LOCK_SECONDS:g} seconds"
                raise FileError(str(path), what, "Try again later.") from None
            time.sleep(0.01)
        except OSError:
            return None  # some network file systems have no locks; only the order of changes rests on them


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as problem:
        raise MissingError(path, "does not exist", _SEE) from problem
    except PermissionError as problem:
        raise FileError(path, "may not be used: permission denied", "Choose another place, or ask.") from problem
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise FileError(path, f"cannot be used: {why}", _SEE) from problem
