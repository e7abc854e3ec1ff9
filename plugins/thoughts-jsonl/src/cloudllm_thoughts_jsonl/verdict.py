"""Judging a file of thoughts, of ours or the original's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from cloudllm_core import Thought
from cloudllm_core.errors import SetupError

from .failures import TamperedThoughtsError
from .heads import CutThoughtsError, Head
from .keys import public_key
from .original import is_original, read_original
from .reading import read_whole, told_of_tail

Status: TypeAlias = Literal["sound", "tampered", "truncated", "unanchored"]


@attrs.frozen
class Verdict:
    """What is to be said about a file of thoughts."""

    status: Status
    """
    ``sound``: it is the chain that the head was taken of, perhaps with more at its end. ``tampered``: it is
    not as it was written. ``truncated``: its end is missing. ``unanchored``: it fits together, and nobody
    noted elsewhere what it was.
    """

    said: str
    """A sentence about it."""

    thoughts: int = 0
    """How many can be believed."""

    number: int | None = None
    """Which thought was tampered with, if that can be told."""

    torn: str | None = None
    """What is to be said about an unfinished last line."""


def verify(path: str | Path, head: Head | None = None, key: str | None = None, timeout: float = 10.0) -> Verdict:
    """
    Judge the file *path*; nothing is changed.

    Args:
        head: what was noted elsewhere about the chain.
        key: the public key that must have signed *head*, or the file it is in.
        timeout: seconds to wait for whoever writes.

    Raises:
        SetupError: there is nothing to judge, or the head is not signed by *key*.
        ThoughtsFileError: the file cannot be read.
    """
    path = os.fspath(path)
    if key is not None:
        if head is None:
            raise SetupError("A key is for the signature of a head. Give the head as well.")
        head.check_signature(public_key(key))
    if of_the_original(path):
        if head is not None:
            raise SetupError(f"{path} is a chain of the original, which has no heads. Import it first.")
        return _original(path)
    try:
        verified = read_whole(path, timeout)
        count = len(verified.thoughts)
        torn = told_of_tail(path, verified.tail, None) if verified.tail else None
        if head is None:
            said = f"{path}: {_thoughts(count)} fit together. Whether some are missing or all were rewritten, "
            return Verdict("unanchored", said + "only a head that was kept elsewhere can tell.", count, torn=torn)
        head.check(verified)
    except TamperedThoughtsError as problem:
        status: Status = "truncated" if isinstance(problem, CutThoughtsError) else "tampered"
        return Verdict(status, str(problem), len(read_whole(path, timeout, anyway=True).thoughts), problem.number)
    more = f", and {_thoughts(count - head.size)} since" if count > head.size else ""
    signed = "" if key or not head.signatures else " The signature was not checked: give the key."
    return Verdict("sound", f"{path}: {_thoughts(head.size)} as the head says{more}.{signed}", count, torn=torn)


def _original(path: str) -> Verdict:
    data = Path(path).read_bytes()
    try:
        count = len(read_original(path, data))
    except TamperedThoughtsError as problem:
        return Verdict("tampered", str(problem), len(read_original(path, data, anyway=True)), problem.number)
    said = f"{path}: {_thoughts(count)} of the original fit together, by its own rule. "
    return Verdict("unanchored", said + "That rule cannot tell whether some are missing or all were rewritten.", count)


def of_the_original(path: str) -> bool:
    """Whether the file *path* looks like a chain of the original."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return is_original(file.read(1_000_000))
    except PermissionError:  # said by whoever reads it
        return False


def believed(path: str, timeout: float = 10.0) -> tuple[Thought, ...]:
    """The thoughts of the file *path*, of ours or the original's, before the first that is not as it was written."""
    if of_the_original(path):
        return tuple(each.thought for each in read_original(path, Path(path).read_bytes(), anyway=True))
    return tuple(read_whole(path, timeout, anyway=True).thoughts)


def _thoughts(count: int) -> str:
    return "1 thought" if count == 1 else f"{count} thoughts"
