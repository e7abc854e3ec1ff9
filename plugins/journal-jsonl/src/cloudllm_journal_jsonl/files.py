"""What differs between systems: locks, and making sure that bytes are on the disk."""

from __future__ import annotations

import os
import sys

if sys.platform != "win32":
    import fcntl


def lock(fd: int) -> bool | None:
    """
    Take the lock of an open file, without waiting; closing the file gives it back.

    Returns:
        Whether it was free; None where files cannot be locked (Windows, some network drives).
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


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
