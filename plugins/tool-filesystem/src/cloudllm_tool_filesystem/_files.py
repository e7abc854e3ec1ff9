"""What is done with a file once its place is known: ordinary files only, whole or not at all, within a size."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress

import attrs

from ._paths import FileError, Spot, below, kind_of

_TEMPORARY = re.compile(r"\.cloudllm-[0-9a-f]{16}\.tmp")


def check_file(spot: Spot, found: os.stat_result, *, changing: bool = False) -> None:
    """
    Let only an ordinary file through.

    Raises:
        FileError: a directory, pipe or device; or, for *changing*, a file with a second name somewhere.
    """
    if stat.S_ISDIR(found.st_mode):
        raise FileError(spot.path, "is a directory, not a file", "Use list_directory to see what is in it.")
    if not stat.S_ISREG(found.st_mode):
        raise FileError(spot.path, "is a pipe, device or socket", "Only ordinary files can be used.")
    if changing and found.st_nlink > 1:
        what = "has a second name elsewhere (a hard link), and a change would show there too"
        raise FileError(spot.path, what, "Write to a new file instead.")


def _open(spot: Spot, flags: int, *, changing: bool) -> int:
    check_file(spot, spot.find(), changing=changing)  # before opening: to open a device may already do something
    # O_NONBLOCK: what was put there since the check may be a pipe, and to open it must not wait.
    fd = os.open(spot.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=spot.directory)
    try:
        check_file(spot, os.fstat(fd), changing=changing)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_text(spot: Spot, limit: int, *, changing: bool = False) -> str:
    """
    The whole text of the file at *spot*.

    Raises:
        FileError: no ordinary file, more than *limit* bytes, or not UTF-8 text.
    """
    with open(_open(spot, os.O_RDONLY, changing=changing), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(limit + 1)
    if max(size, len(data)) > limit:
        what = f"holds {max(size, len(data)):,} bytes, more than the {limit:,} allowed"
        raise FileError(spot.path, what, "Use a smaller file, or ask for a larger max_bytes.")
    try:
        text = data.decode()
    except UnicodeDecodeError as problem:
        what = f"is not UTF-8 text (byte 0x{data[problem.start]:02x} at {problem.start:,})"
        raise FileError(spot.path, what, "It is a binary file; only text can be read.") from None
    if "\0" in text:
        what = f"is not text (byte 0x00 at {text.index(chr(0)):,})"
        raise FileError(spot.path, what, "It is a binary file; only text can be read.")
    return text


def as_bytes(path: str, text: str, limit: int) -> bytes:
    """*text* as it goes into the file *path*. Raises: FileError if it is no text, or too long."""
    try:
        data = text.encode()
    except UnicodeEncodeError as problem:
        what = f"cannot take half a character (U+{ord(text[problem.start]):04X} at {problem.start:,})"
        raise FileError(path, what, "Send whole Unicode characters.") from None
    if b"\0" in data:
        raise FileError(path, "cannot take a NUL character", "Only text can be written.")
    if len(data) > limit:
        what = f"would hold {len(data):,} bytes, more than the {limit:,} allowed"
        raise FileError(path, what, "Write less, or split it into several files.")
    return data


def replace(spot: Spot, data: bytes) -> None:
    """Put *data* at *spot* in one step: a reader sees the old file or the new one, whatever goes wrong."""
    if found := spot.look():
        check_file(spot, found, changing=True)
    temporary = f".cloudllm-{secrets.token_hex(8)}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=spot.directory)
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


def append(spot: Spot, data: bytes, limit: int) -> None:
    """Add *data* to the end of the file at *spot*, or make it; all of it or nothing."""
    if spot.look() is None:
        return replace(spot, data)
    with open(_open(spot, os.O_WRONLY | os.O_APPEND, changing=True), "ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size + len(data) > limit:
            what = f"would hold {size + len(data):,} bytes, more than the {limit:,} allowed"
            raise FileError(spot.path, what, "Begin another file.")
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
        except BaseException:
            os.ftruncate(file.fileno(), size)
            raise


@attrs.frozen
class Entry:
    """Something found in a directory, at *parts* below where the search began."""

    parts: tuple[str, ...]
    kind: str
    size: int

    def below(self, parents: tuple[str, ...] = ()) -> str:
        """The path from *parents* on, fit to be shown: a name that is not Unicode gets replacement marks."""
        return "/".join((*parents, *self.parts)).encode(errors="surrogateescape").decode(errors="replace")


def entries(fd: int, parents: tuple[str, ...] = ()) -> list[Entry]:
    """What the directory *fd* holds, by name; links are named, never followed."""
    found = []
    with os.scandir(fd) as items:
        for item in items:
            if _TEMPORARY.fullmatch(item.name):
                continue
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since the directory was read, so not in it
            kind = kind_of(status.st_mode)
            found.append(Entry((*parents, item.name), kind, status.st_size if kind == "file" else 0))
    return sorted(found, key=lambda entry: entry.parts)


def tree(fd: int, missed: list[str]) -> Iterator[Entry]:
    """Everything below the directory *fd*, each directory before what it holds; *missed* takes those not readable."""
    waiting = entries(fd)[::-1]
    while waiting:
        entry = waiting.pop()
        yield entry
        if entry.kind == "directory":
            try:
                with below(fd, entry.parts) as inner:
                    waiting.extend(entries(inner, entry.parts)[::-1])
            except (OSError, FileError):
                missed.append(entry.below())


def remove_tree(fd: int, name: str) -> None:
    """Delete the directory *name* in *fd* with all it holds; links in it go, what they point to stays."""
    with below(fd, (name,)) as inner:
        with os.scandir(inner) as items:
            found = [(item.name, item.is_dir(follow_symlinks=False)) for item in items]
        for child, is_directory in found:
            if is_directory:
                remove_tree(inner, child)
            else:
                os.unlink(child, dir_fd=inner)
    os.rmdir(name, dir_fd=fd)
