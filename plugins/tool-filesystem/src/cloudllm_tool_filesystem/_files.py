"""What is done with a file once its place is known: ordinary files only, whole or not at all, within a size."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress

from ._names import FileError
from ._root import Spot
from ._text import LONGEST_MARK, decode, encode, encoding_of, whole_characters

CHUNK = 2**20
"""Bytes read at once of a file that holds more than it says."""


def check_file(spot: Spot, found: os.stat_result, *, changing: bool = False) -> None:
    """
    Let only an ordinary file through.

    Raises:
        FileError: a directory, link, pipe or device; or, for *changing*, a file with a second name somewhere.
    """
    if stat.S_ISDIR(found.st_mode):
        raise FileError(spot.path, "is a directory, not a file", "Use list_directory to see what is in it.")
    if stat.S_ISLNK(found.st_mode):
        raise FileError(spot.path, "is a symbolic link", "Name the file it leads to.")
    if not stat.S_ISREG(found.st_mode):
        raise FileError(spot.path, "is a pipe, device or socket", "Only ordinary files can be used.")
    if changing and found.st_nlink > 1:
        what = "has a second name elsewhere (a hard link), and a change would show there too"
        raise FileError(spot.path, what, "Write to a new file instead.")


def _open(spot: Spot, flags: int, *, changing: bool = False) -> tuple[int, os.stat_result]:
    check_file(spot, spot.find(), changing=changing)  # before opening: to open a device may already do something
    # O_NONBLOCK: what was put there since the check may be a pipe, and to open it must not wait.
    fd = os.open(spot.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=spot.directory)
    try:
        found = os.fstat(fd)
        check_file(spot, found, changing=changing)
    except BaseException:
        os.close(fd)
        raise
    return fd, found


def read_text(spot: Spot, limit: int, encoding: str, *, changing: bool = False) -> tuple[str, str]:
    """
    The whole text of the file at *spot*, and its encoding: *encoding*, or what its byte order mark says.

    Raises:
        FileError: no ordinary file, more than *limit* bytes, or not text.
    """
    fd, found = _open(spot, os.O_RDONLY, changing=changing)
    try:
        data = _whole(fd, found.st_size, limit)
    finally:
        os.close(fd)
    if max(found.st_size, len(data)) > limit:
        what = f"holds {max(found.st_size, len(data)):,} bytes, more than the {limit:,} allowed"
        raise FileError(spot.path, what, "Read a part of it with offset and length, or ask for a larger max_bytes.")
    encoding = encoding_of(data[:LONGEST_MARK], encoding)
    return decode(spot.path, data, encoding, found.st_size), encoding


def _whole(fd: int, size: int, limit: int) -> bytes:
    if size > limit:
        return b""
    data = os.read(fd, size + 1)  # the one more says at once whether there is more
    if len(data) == size:
        return data
    rest = [data]
    while rest[-1] and (left := limit + 1 - sum(map(len, rest))) > 0:
        rest.append(os.read(fd, min(left, CHUNK)))
    return b"".join(rest)


def read_part(spot: Spot, offset: int, length: int, encoding: str) -> str:
    """
    The text of the characters that begin in *length* bytes from *offset* on; the file may be of any size.

    Raises:
        FileError: no ordinary file, not text, or too short.
    """
    fd, found = _open(spot, os.O_RDONLY)
    try:
        data = os.pread(fd, length + 3, offset)
    finally:
        os.close(fd)
    if not data and offset:
        what = f"holds {found.st_size:,} bytes and none is at {offset:,}"
        raise FileError(spot.path, what, "Choose a smaller offset; the first byte is at 0.")
    data = whole_characters(data, offset, length) if encoding == "utf-8" else data[:length]
    return decode(spot.path, data, encoding, found.st_size, offset)


def replace(spot: Spot, data: bytes) -> None:
    """Put *data* at *spot* in one step: a reader sees the old file or the new one, whatever goes wrong."""
    if found := spot.found:
        check_file(spot, found, changing=True)
    temporary = f".cloudllm-{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    # What replaces a file may be as private as it was, so until its mode is set it is nobody else's.
    fd = os.open(temporary, flags, 0o600 if found else 0o666, dir_fd=spot.directory)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            if found:
                os.fchmod(fd, stat.S_IMODE(found.st_mode) & 0o777)
            os.fsync(fd)
        os.replace(temporary, spot.name, src_dir_fd=spot.directory, dst_dir_fd=spot.directory)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=spot.directory)
        raise


def append(spot: Spot, text: str, limit: int, encoding: str) -> int:
    """Add *text* to the end of the file at *spot*, or make it; all of it or nothing. The bytes added."""
    if spot.found is None:
        data = encode(spot.path, text, encoding, limit)
        replace(spot, data)
        return len(data)
    fd, found = _open(spot, os.O_RDWR | os.O_APPEND, changing=True)
    try:
        data = encode(spot.path, text, encoding_of(os.pread(fd, LONGEST_MARK, 0), encoding), limit)
        if found.st_size + len(data) > limit:
            what = f"would hold {found.st_size + len(data):,} bytes, more than the {limit:,} allowed"
            raise FileError(spot.path, what, "Begin another file.")
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        except BaseException:
            os.ftruncate(fd, found.st_size)
            raise
    finally:
        os.close(fd)
    return len(data)
