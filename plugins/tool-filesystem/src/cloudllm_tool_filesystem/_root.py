"""The root, the places below it, and how changes wait for each other."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from ._beneath import MOST_LINKS, in_circles, leads_out, open_below
from ._names import SEE, FileError, MissingError, missing, parts_of

LOCK_SECONDS = 10.0
"""How long a change waits for another change below the same root."""


@attrs.frozen
class Spot:
    """A place that may be empty: a name in an open directory."""

    directory: int
    """The directory's descriptor."""

    name: str
    path: str
    """As the model wrote it."""

    found: os.stat_result | None
    """What was there, a link itself and not where it leads; None is nothing."""

    linked: bool = False
    """Whether a link led here."""

    @classmethod
    def of(cls, directory: int, name: str, path: str, linked: bool = False) -> Spot:
        """Look at what *name* is in *directory*."""
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            found = None
        return cls(directory, name, path, found, linked)

    def find(self) -> os.stat_result:
        """What was there. Raises: MissingError."""
        if self.found is None:
            raise missing(self.path)
        return self.found


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
        with told(path), self.opened(path, change) as top:
            fd = open_below(top, parts, create=create)
            try:
                yield fd
            finally:
                os.close(fd)

    @contextmanager
    def spot(self, path: str, *, create: bool = False, change: bool = False, follow: bool = True) -> Iterator[Spot]:
        """Where *path* is or would be; *follow* a link there. Raises: FileError for the root itself."""
        with told(path), self.opened(path, change) as top, arrived(top, path, create=create, follow=follow) as spot:
            yield spot

    @contextmanager
    def opened(self, path: str, change: bool) -> Iterator[int]:
        """The root's descriptor, locked for a *change*, which is made for *path*."""
        if change and self.read_only:
            raise FileError(path, "cannot be changed: these files are for reading only", "Leave them as they are.")
        top = self._open()
        try:
            if change:
                _lock(top, self.path.name or "/")
            yield top
        finally:
            os.close(top)

    def _open(self) -> int:
        # Links to the root were followed when it was set up. One that leads elsewhere now is somebody else's.
        top = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return open_below(top, self.path.parts[1:], create=not self.read_only, follow=False)
        except (FileError, OSError) as problem:
            why = f"it {problem.problem}" if isinstance(problem, FileError) else problem.strerror
            what = f"cannot be opened as the root: {why}"
            raise FileError(self.path.name or "/", what, "Only the user can set another root.") from None
        finally:
            os.close(top)


@contextmanager
def arrived(top: int, path: str, *, create: bool = False, follow: bool = True) -> Iterator[Spot]:
    """The place *path* below the open directory *top*."""
    spot = _arrive(top, path, create, follow)
    try:
        yield spot
    finally:
        os.close(spot.directory)


def _arrive(top: int, path: str, create: bool, follow: bool) -> Spot:
    parts = parts_of(path)
    if not parts:
        raise FileError(path, "is the root itself", "Name something below it.")
    for hops in range(MOST_LINKS + 1):
        named = path if hops else None
        if not parts or parts[-1] == "..":  # only a link says so; what it means is a directory
            return Spot.of(open_below(top, parts, named=named), ".", path, linked=True)
        fd = open_below(top, parts[:-1], create=create and not hops, named=named)
        try:
            spot = Spot.of(fd, parts[-1], path, linked=bool(hops))
            if not follow or not spot.found or not stat.S_ISLNK(spot.found.st_mode):
                _refuse_nothing(spot)
                return spot
            target = os.readlink(spot.name, dir_fd=fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if target.startswith("/"):
            raise leads_out(path)
        parts = (*parts[:-1], *(part for part in target.split("/") if part not in ("", ".")))
    raise in_circles(path)


def _refuse_nothing(spot: Spot) -> None:
    if spot.linked and spot.found is None:
        # What is written through such a link would appear where nobody looks for it.
        raise MissingError(spot.path, "is a symbolic link to nothing", SEE)


def _lock(top: int, name: str) -> None:
    """Let one change at a time happen below a root, so that parallel edits of one file do not undo each other."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(top, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                what = f"has been locked by another program for {LOCK_SECONDS:g} seconds"
                raise FileError(name, what, "Try again later.") from None
            time.sleep(0.01)
        except OSError:
            return None  # some network file systems have no locks; only the order of changes rests on them


@contextmanager
def told(path: str) -> Iterator[None]:
    """Say of *path* what the system said, without the places it speaks of."""
    try:
        yield
    except FileNotFoundError as problem:
        raise missing(path) from problem
    except PermissionError as problem:
        raise FileError(path, "may not be used: permission denied", "Choose another place, or ask.") from problem
    except OSError as problem:
        why = problem.strerror or type(problem).__name__
        raise FileError(path, f"cannot be used: {why}", SEE) from problem
