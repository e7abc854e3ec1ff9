"""What SQLite reports, as sentences with a remedy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from cloudllm_core.errors import StoreError

SAYS = {
    "BUSY": "is locked: another process was writing for more than {timeout:g} s. Try again, or raise `timeout`.",
    "READONLY": "cannot be written: the file, or its folder, is read-only. Make both writable.",
    "FULL": "did not write: the disk is full. Make room; what was stored before is still there.",
    "NOTADB": "is not a SQLite database. Give the file of a store, or a name that is free.",
    "CORRUPT": "is damaged ({problem}). Restore a snapshot or a copy into a new file.",
    "PERM": "may not be opened: {problem}. Give yourself the right to read and write it.",
    "IOERR": "could not be read or written ({problem}). Look after the disk; what was stored before is still there.",
    "PROTOCOL": "is locked in a way that does not end ({problem}). The file must be on a local disk, not on a network.",
}
ALIASES = {"LOCKED": "BUSY", "AUTH": "PERM"}


@contextlib.contextmanager
def told(path: str, timeout: float) -> Iterator[None]:
    """Let errors of SQLite out as `StoreError`."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as problem:
        code = getattr(problem, "sqlite_errorname", "").removeprefix("SQLITE_").partition("_")[0]
        if code == "CANTOPEN":
            raise StoreError(path, _why_not_opened(path, problem)) from problem
        says = SAYS.get(ALIASES.get(code, code), "did not do it: {problem}. What was stored before is still there.")
        raise StoreError(path, says.format(problem=problem, timeout=timeout)) from problem


def _why_not_opened(path: str, problem: Exception) -> str:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        return f"cannot be opened: there is no folder {folder}. Make it first."
    if os.path.isdir(path):
        return "cannot be opened: it is a folder. Give the name of a file in it."
    return f"cannot be opened ({problem}). Give yourself the right to read and write the file and its folder."
