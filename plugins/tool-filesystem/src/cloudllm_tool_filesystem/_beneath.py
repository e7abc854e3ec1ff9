"""
Opening directories beneath a directory, and never outside it.

Where the kernel has `openat2`, it does so in one step. Elsewhere, and to say which component is
wrong, the path is walked one name at a time, each opened relative to the one before and never through
a symbolic link; links are read and followed by hand, and one that leads out is refused. Nothing is
checked by name and used by name afterwards, so a link swapped in at any moment has nothing to win.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import attrs

from . import _openat2
from ._names import SEE, FileError, MissingError, missing

MOST_LINKS = 40
"""Links followed on one way; Linux takes as many."""

_LAST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK
# On the way, a directory need not be readable, only passable.
_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK


def kind_of(mode: int) -> str:
    """What a file of this *mode* is: ``file``, ``directory``, ``link``, or ``special`` (pipes, devices, sockets)."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "special"


def leads_out(path: str) -> FileError:
    """That a link on *path* leaves the root; where it leads is nobody's business."""
    return FileError(path, "leads out of the root through a symbolic link", "Use a path that stays below the root.")


def in_circles(path: str) -> FileError:
    """That *path* follows link after link."""
    return FileError(path, f"follows more than {MOST_LINKS} symbolic links", "Use a path without links.")


@contextmanager
def below(top: int, parts: Sequence[str], *, follow: bool = False) -> Iterator[int]:
    """The directory that *parts* lead to from the directory *top*, as a descriptor."""
    fd = open_below(top, parts, follow=follow)
    try:
        yield fd
    finally:
        os.close(fd)


def open_below(
    top: int, parts: Sequence[str], *, create: bool = False, follow: bool = True, named: str | None = None
) -> int:
    """
    A descriptor of the directory that *parts* lead to from *top*.

    Args:
        top: an open directory; nothing outside it is ever opened.
        parts: names, and after links were followed also ``..``.
        create: make the directories that are missing, except where a link says they are.
        follow: follow symbolic links that stay beneath *top*.
        named: what errors call the path, if not by the component that is wrong.

    Raises:
        FileError: no such directory, not one, or not beneath *top*.
    """
    if not parts:
        return os.dup(top)

    def tell(depth: int) -> str:
        return named or "/".join(parts[:depth])

    if openat2 := _openat2.opener():
        try:
            return openat2(top, os.fsencode("/".join(parts)), follow)
        except OSError as problem:
            if problem.errno == errno.EXDEV:
                raise leads_out(tell(len(parts))) from None
            # All else the walk can do, or say better.
    walk = _Walk([os.dup(top)], tell, follow)
    try:
        for depth, name in enumerate(parts, 1):
            walk.go(name, depth, create)
        return os.open(".", _LAST, dir_fd=walk.stack[-1])
    except _OutError:
        raise leads_out(tell(len(parts))) from None
    finally:
        for fd in walk.stack:
            os.close(fd)


class _OutError(Exception):
    pass


@attrs.define(eq=False)
class _Walk:
    stack: list[int]
    """Descriptors from the top to where the walk is."""

    tell: Callable[[int], str]
    follow: bool
    links: int = 0

    def go(self, name: str, depth: int, create: bool) -> None:
        """One step, over as many links as it takes; *depth* is the component it belongs to."""
        waiting, linked = [name], False
        while waiting:
            step = waiting.pop()
            if step == "..":
                self._back()
            elif step not in ("", "."):
                target = self._down(step, depth, create and not linked, linked)
                if target is not None:
                    waiting.extend(target.split("/")[::-1])
                    linked = True

    def _back(self) -> None:
        # Not to what is above now, which may have moved, but to where we came from.
        if len(self.stack) == 1:
            raise _OutError
        os.close(self.stack.pop())

    def _down(self, name: str, depth: int, create: bool, linked: bool) -> str | None:
        """Enter *name*; if it is a link, give back what it says instead."""
        try:
            self.stack.append(os.open(name, _STEP, dir_fd=self.stack[-1]))
        except FileNotFoundError:
            if create:
                with suppress(FileExistsError):  # somebody else was faster; opening it says whether it is a directory
                    os.mkdir(name, dir_fd=self.stack[-1])
                return self._down(name, depth, False, linked)
            if linked:
                raise MissingError(self.tell(depth), "is a symbolic link to nothing", SEE) from None
            raise missing(self.tell(depth)) from None
        except OSError as problem:
            if problem.errno not in (errno.ENOTDIR, errno.ELOOP):  # which of them a link gives differs
                raise
            return self._link(name, depth)
        return None

    def _link(self, name: str, depth: int) -> str:
        found = os.stat(name, dir_fd=self.stack[-1], follow_symlinks=False)
        if not (self.follow and stat.S_ISLNK(found.st_mode)):
            kind = kind_of(found.st_mode)
            what = "changed while it was opened" if kind == "directory" else f"is a {kind}, not a directory"
            raise FileError(self.tell(depth), what, SEE)
        self.links += 1
        if self.links > MOST_LINKS:
            raise in_circles(self.tell(depth))
        target = os.readlink(name, dir_fd=self.stack[-1])
        if target.startswith("/"):
            raise _OutError
        return target
