"""What a path may be, judged as text, and the error that says what is wrong with it."""

from __future__ import annotations

import re

import attrs

from cloudllm_core.errors import CloudLLMError

LONGEST_PATH, LONGEST_NAME, DEEPEST = 1024, 255, 64
"""Bytes of a path, bytes of a name, folders within folders: what Linux and macOS both can hold."""

SEE = "Use list_directory to see what is there."

_UNSPEAKABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, marks that reverse what a person reads, halves of characters."""

_DRIVE = re.compile("[A-Za-z]:")


def _short(path: str) -> str:
    return path if len(path) <= 120 else path[:117] + "..."


@attrs.define(eq=False)
class FileError(CloudLLMError):
    """A file operation was refused or failed; the sentence is written for the model that asked."""

    path: str = attrs.field(converter=_short)
    problem: str
    remedy: str = ""
    says = "{self.path!r} {self.problem}. {self.remedy}"


@attrs.define(eq=False)
class MissingError(FileError):
    """There is nothing of that name."""


def missing(path: str) -> MissingError:
    """That nothing is at *path*."""
    return MissingError(path, "does not exist", SEE)


def parts_of(path: str) -> tuple[str, ...]:
    """
    The components of *path* below the root; none for the root itself (``"."``).

    Raises:
        FileError: the path could mean something else than a place below the root.
    """
    if not path:
        raise FileError(path, "is an empty path", "Give one below the root, such as 'notes/plan.md'; '.' is the root.")
    if odd := _UNSPEAKABLE.search(path):
        raise FileError(path, f"holds the character U+{ord(odd[0]):04X}, which no path may", "Leave it out.")
    if "\\" in path:
        raise FileError(path, "holds a backslash", "Separate folders with '/'.")
    if path.startswith("/") or _DRIVE.match(path):
        raise FileError(path, "is an absolute path", "Give the path below the root, such as 'notes/plan.md'.")
    if len(path.encode()) > LONGEST_PATH:
        raise FileError(path, f"is longer than {LONGEST_PATH} bytes", "Use a shorter path.")
    parts = path.split("/")
    if len(parts) > DEEPEST:
        raise FileError(path, f"is more than {DEEPEST} folders deep", "Use a flatter path.")
    for part in parts:
        _judge(path, part)
    return tuple(part for part in parts if part != ".")


def _judge(path: str, part: str) -> None:
    if not part:
        tidy = "/".join(filter(None, path.split("/")))
        raise FileError(path, "has a '/' too many", f"Write {tidy!r} instead.")
    if part == "..":
        raise FileError(path, "holds '..'", "Paths begin at the root and only lead down from it.")
    if part.startswith("~"):
        raise FileError(path, "holds a name that begins with '~'", "There is no home here: paths begin at the root.")
    if len(part.encode()) > LONGEST_NAME:
        raise FileError(path, f"holds a name longer than {LONGEST_NAME} bytes", "Use a shorter name.")
