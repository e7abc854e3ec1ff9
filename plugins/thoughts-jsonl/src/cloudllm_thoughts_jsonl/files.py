"""What a chain asks of the system: to open, lock, write and sync files."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from os import write
from typing import NamedTuple

from .failures import ThoughtsFileError

if sys.platform != "win32":
    import fcntl

LONGEST_PAUSE = 0.01
"""Seconds between two looks at a lock that another holds."""

_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}


@contextlib.contextmanager
def opened(path: str, *, writing: bool, deadline: float, timeout: float) -> Iterator[int | None]:
    """
    The file *path*, open and locked, with others who read or, if *writing*, alone; None if there is none to read.

    Args:
        deadline: until when to wait for the lock, by `time.monotonic`; *timeout* is told.

    Raises:
        ThoughtsFileError: it cannot be opened or locked.
    """
    fd = _open(path, writing)
    while fd is not None:
        try:
            _lock(fd, path, writing, deadline, timeout)
            if stamp(path).file == stamp(fd).file:
                yield fd
                return
        finally:
            _unlock(fd)  # first: a copy of the file in a forked process would hold it for ever
            os.close(fd)
        fd = _open(path, writing)  # it was replaced while we waited
    yield None


class Stamp(NamedTuple):
    """What changes when a file is another one or has been written to."""

    file: tuple[int, int]
    """Device and inode."""

    size: int
    written: int
    """Nanoseconds."""


NOWHERE = Stamp((0, 0), 0, 0)


def stamp(file: str | int) -> Stamp:
    """The stamp of *file*; `NOWHERE` if there is none."""
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return NOWHERE
    return Stamp((found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns)


def _open(path: str, writing: bool) -> int | None:
    try:
        if os.path.lexists(path):  # before opening, for a pipe would wait for its writer
            mode = os.stat(path).st_mode
            if stat.S_ISDIR(mode):
                raise ThoughtsFileError(f"{path}: this is a folder. Name one of the chains in it.")
            if not stat.S_ISREG(mode):
                raise ThoughtsFileError(f"{path}: this is not a file. Name another one.")
        binary = getattr(os, "O_BINARY", 0)
        return os.open(path, (os.O_RDWR | os.O_APPEND | os.O_CREAT if writing else os.O_RDONLY) | binary, 0o600)
    except FileNotFoundError as problem:
        if not writing:
            return None
        folder = os.path.dirname(path)
        raise ThoughtsFileError(f"{path}: the folder {folder!r} does not exist. Make it first.") from problem
    except PermissionError as problem:
        what = "write to" if writing else "read"
        raise ThoughtsFileError(f"{path}: you may not {what} this file. Ask its owner, or name another.") from problem
    except OSError as problem:
        raise ThoughtsFileError(f"{path}: the file cannot be opened ({problem.strerror}).") from problem


def _lock(fd: int, path: str, writing: bool, deadline: float, timeout: float) -> None:
    if sys.platform == "win32":
        if writing:
            raise ThoughtsFileError(_without_locks(path))
        return
    pause = LONGEST_PAUSE / 16
    while True:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return
        except BlockingIOError as problem:
            if time.monotonic() >= deadline:
                raise ThoughtsFileError(held(path, timeout, "process")) from problem
        except OSError as problem:
            if problem.errno not in _NO_LOCKS or writing:
                raise ThoughtsFileError(_without_locks(path)) from problem
            return
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _without_locks(path: str) -> str:
    return (
        f"{path}: files cannot be locked here, and two writers would spoil the chain. Keep it on a local disk of "
        "Linux or macOS."
    )


def held(path: str, timeout: float, by: str) -> str:
    """The sentence for a lock that was not given back in time."""
    return (
        f"{path}: another {by} has had the file locked for {timeout:g} seconds. Try again, or wait longer: "
        f"JsonlThoughts(..., lock_timeout={max(1.0, 3 * timeout):g})"
    )


def _unlock(fd: int) -> None:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # where files cannot be locked
            fcntl.flock(fd, fcntl.LOCK_UN)


def read_from(fd: int, start: int) -> bytes:
    """What stands in the file from *start* on."""
    with open(fd, "rb", closefd=False) as file:
        file.seek(start)
        return file.read()


def write_all(fd: int, data: bytes) -> None:
    """Write *data*, in one go unless the system takes less."""
    written = write(fd, data)
    while written < len(data):  # a signal or a nearly full disk
        more = write(fd, data[written:])
        if not more:
            raise OSError(errno.ENOSPC, "nothing more was written")
        written += more


def sync(fd: int) -> None:
    """Return when the file's bytes and length would survive a power loss."""
    if sys.platform == "darwin":  # where fsync only hands the bytes to the drive
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def sync_folder_of(path: str) -> None:
    """Return when the file's name would survive a power loss."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def new_file(path: str, data: bytes) -> None:
    """A new file *path* for this user only, on the disk when this returns. Raises: FileExistsError, OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        write_all(fd, data)
        sync(fd)
    finally:
        os.close(fd)
    sync_folder_of(path)


def set_aside(path: str, data: bytes) -> str:
    """Write *data* to a new file beside *path*, and return its name."""
    number = 1
    while True:
        aside = f"{path}.torn" if number == 1 else f"{path}.torn-{number}"
        try:
            new_file(aside, data)
        except FileExistsError:
            number += 1
            continue
        return aside


def replace(path: str, data: bytes) -> None:
    """Put *data* in the place of the file *path*, whole or not at all."""
    beside = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):  # of one who was killed here
        os.unlink(beside)
    try:
        new_file(beside, data)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    sync_folder_of(path)
