"""
The kernel's own way to stay beneath a directory.

``openat2(2)``, Linux 5.6 and later: with ``RESOLVE_BENEATH`` the kernel itself refuses every path that
leaves the directory it began at, by ``..``, by an absolute link or by a rename in the middle of the
walk; with ``RESOLVE_NO_MAGICLINKS`` it follows none of the links that ``/proc`` makes up.
"""

from __future__ import annotations

import functools
import os
import struct
import sys
from collections.abc import Callable
from typing import TypeAlias

NUMBER = 437
"""The system call's number on x86_64 and aarch64."""

MACHINES = ("x86_64", "aarch64")
NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x02, 0x04, 0x08
FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)

Opener: TypeAlias = Callable[[int, bytes, bool], int]
"""From a directory's descriptor, a path, and whether to follow links beneath: a descriptor. Raises: OSError."""


@functools.cache
def opener() -> Opener | None:
    """The system call, or None where it cannot be had: another system, an old kernel, a container that forbids it."""
    if sys.platform != "linux" or os.uname().machine not in MACHINES or struct.calcsize("P") != 8:
        return None
    here = os.open("/", FLAGS)
    try:
        found = _opener()
        os.close(found(here, b".", True))
    except (OSError, AttributeError, ImportError):
        return None
    finally:
        os.close(here)
    return found


def _opener() -> Opener:
    import ctypes  # takes its time, and not every Python has it

    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    # struct open_how: flags, mode, resolve.
    following = struct.pack("QQQ", FLAGS, 0, BENEATH | NO_MAGICLINKS)
    straight = struct.pack("QQQ", FLAGS, 0, BENEATH | NO_MAGICLINKS | NO_SYMLINKS)

    def openat2(top: int, path: bytes, follow: bool) -> int:
        how = following if follow else straight
        fd: int = call(NUMBER, top, path, how, len(how))
        if fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return fd

    return openat2
