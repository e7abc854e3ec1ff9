"""What is in directories. Links are named, and never followed on the way down."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator

import attrs

from ._beneath import below, kind_of
from ._names import FileError

MOST_NAMES, DEEPEST_TREE = 100_000, 128
"""Names taken from one directory, and directories within directories; more is as good as not readable."""

MOST_SECONDS = 20.0
"""How long a tree is looked at; a call may take 30."""

_TEMPORARY = re.compile(r"\.cloudllm-[0-9a-f]{16}\.tmp")


@attrs.frozen
class Entry:
    """Something found in a directory, at *parts* below where the search began."""

    parts: tuple[str, ...]
    kind: str
    size: int

    def below(self, parents: tuple[str, ...] = ()) -> str:
        """The path from *parents* on, fit to be shown: a name that is not Unicode gets replacement marks."""
        return "/".join((*parents, *self.parts)).encode(errors="surrogateescape").decode(errors="replace")


def entries(fd: int, missed: list[str], parents: tuple[str, ...] = ()) -> list[Entry]:
    """What the directory *fd* holds, by name; *missed* takes its path if it holds more than can be told."""
    found = []
    with os.scandir(fd) as items:
        for item in itertools.islice(items, MOST_NAMES):
            if _TEMPORARY.fullmatch(item.name):
                continue
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since the directory was read, so not in it
            kind = kind_of(status.st_mode)
            found.append(Entry((*parents, item.name), kind, status.st_size if kind == "file" else 0))
        if next(items, None):
            missed.append("/".join(parents) or ".")
    return sorted(found, key=lambda entry: entry.parts)


def tree(fd: int, missed: list[str]) -> Iterator[Entry]:
    """
    Everything below the directory *fd*, each directory before what it holds.

    *missed* takes what is not readable; and, when the time is up, where that was.
    """
    until = time.monotonic() + MOST_SECONDS
    waiting = entries(fd, missed)[::-1]
    while waiting:
        entry = waiting.pop()
        yield entry
        if time.monotonic() > until:
            missed.append(entry.below())
            return
        if entry.kind == "directory":
            try:
                if len(entry.parts) >= DEEPEST_TREE:
                    raise FileError(entry.below(), f"is more than {DEEPEST_TREE} directories deep")
                with below(fd, entry.parts) as inner:
                    waiting.extend(entries(inner, missed, entry.parts)[::-1])
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
