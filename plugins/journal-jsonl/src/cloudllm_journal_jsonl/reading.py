"""
Reading a journal, and setting an unfinished last line aside.

A writer that was killed, or a disk that lost power, leaves at most one line that is not whole. It is
moved to a file of its own beside the journal, never deleted, and only when nobody writes any more.
"""

from __future__ import annotations

import json
import os
import stat

from cloudllm_core import JournalText
from cloudllm_core.errors import JournalError

from . import files


def read(target: str) -> JournalText:
    """As `Jsonl.read`."""
    fd, writable = _open(target)
    try:
        # The lock first: a line that looks unfinished may be growing under a writer's hands.
        locked = files.lock(fd)
        with open(fd, "rb", closefd=False) as file:
            lines, tail = _split(file.read())
        if not lines:
            raise JournalError(_nothing(target, tail, locked))
        torn = _set_aside(target, fd, tail, writable, locked) if tail else None
    except OSError as problem:
        raise JournalError(f"{target}: the journal cannot be read ({problem.strerror}).") from problem
    finally:
        os.close(fd)
    return JournalText(source=target, lines=lines, torn=torn)


def _open(target: str) -> tuple[int, bool]:
    """The open file, and whether it may be changed."""
    binary = getattr(os, "O_BINARY", 0)
    try:
        mode = os.stat(target).st_mode  # before opening, for a pipe would wait for its writer
        if stat.S_ISDIR(mode):
            raise JournalError(f"{target}: this is a folder. Name the journal in it.")
        if not stat.S_ISREG(mode):
            raise JournalError(f"{target}: this is not a file. Name a journal.")
        writable = bool(mode & 0o222) and os.access(target, os.W_OK)  # an administrator may write anywhere; we do not
        return os.open(target, (os.O_RDWR if writable else os.O_RDONLY) | binary), writable
    except FileNotFoundError as problem:
        raise JournalError(
            f"{target}: there is no such file. Journals are made by: cloudllm run --journal FILE"
        ) from problem
    except PermissionError as problem:
        raise JournalError(f"{target}: you may not read this file. Ask its owner, or copy it as them.") from problem
    except OSError as problem:
        raise JournalError(f"{target}: the journal cannot be opened ({problem.strerror}).") from problem


def _split(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The whole lines of *data*, and what comes after the last of them."""
    *lines, tail = data.split(b"\n")
    if not tail and lines and not _is_json(lines[-1]):
        tail = lines.pop() + b"\n"
    return tuple(lines), tail


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line.decode())  # of bytes, it would take UTF-16 as well
    except (ValueError, RecursionError):
        return False
    return True


def _nothing(target: str, tail: bytes, locked: bool | None) -> str:
    if locked is False:
        return f"{target}: there is no whole record yet; another process has the journal open. Try again later."
    if not tail:
        return f"{target}: the file is empty, so there is no run in it. Run again with another journal."
    return (
        f"{target}: there is only part of a first record ({len(tail)} bytes), so there is no run in it. "
        "Run again with another journal."
    )


def _set_aside(target: str, fd: int, tail: bytes, writable: bool, locked: bool | None) -> str:
    """Move *tail*, with which the open file ends, to a file of its own, and say so."""
    said = f"The last line is not whole ({len(tail)} bytes). It "
    if locked is False:
        return said + "was left alone, because another process has the journal open."
    if locked is None:
        return said + "was left alone, because files cannot be locked here and somebody may be writing."
    if not writable:
        return said + "was left alone, because the file is read-only."
    try:
        aside = _keep(target, tail)
        os.ftruncate(fd, os.fstat(fd).st_size - len(tail))
        files.sync(fd)
    except OSError as problem:
        return said + f"could not be moved away ({problem.strerror})."
    return said + f"was moved to {aside}."


def _keep(target: str, tail: bytes) -> str:
    """Write *tail* to a new file beside *target*; it is on the disk when this returns the file's name."""
    aside, number = f"{target}.torn", 1
    while os.path.lexists(aside):
        number += 1
        aside = f"{target}.torn-{number}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with open(fd, "wb") as file:
        file.write(tail)
        file.flush()
        files.sync(fd)
    files.sync_folder_of(aside)
    return aside
