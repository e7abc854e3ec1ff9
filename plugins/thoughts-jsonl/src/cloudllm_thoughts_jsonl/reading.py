"""
Reading a chain: each line is verified as it is taken in, and only what is new is read again.

A writer that was killed, or a disk that lost power, leaves at most one last line that is not whole. That
is no sign of tampering; any other line that is wrong is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, overload

import attrs

from cloudllm_core import Thought
from cloudllm_core.errors import SetupError

from . import files
from .canonical import NotJsonError, WrongError
from .failures import TamperedThoughtsError
from .records import Header, read_header, read_thought

BEGINNING = b'{"chain":'
"""How every chain begins."""


@attrs.define(eq=False)
class Verified:
    """What has been read of the file *source*, and found to be as it was written."""

    source: str
    header: Header | None = None
    thoughts: list[Thought] = attrs.Factory(list)
    hashes: list[str] = attrs.Factory(list)
    speaker: int | None = None
    """The last thought that says who its agent is."""

    end: int = 0
    """Bytes: where the next line begins."""

    last_line: bytes = b""
    """The line that ends there."""

    tail: bytes = b""
    """What stands after that and is no whole line."""

    def catch_up(self, fd: int) -> None:
        """Take in what the open file holds beyond. Raises: TamperedThoughtsError, SetupError."""
        known = len(self.last_line)
        data = files.read_from(fd, self.end - known)
        if data[:known] != self.last_line:
            raise self._wrong(None, f"no longer holds the {len(self.thoughts)} thoughts that were read from it")
        self.take(data[known:])

    def take(self, data: bytes) -> None:
        """Take in the lines of *data*, which follow. Raises: TamperedThoughtsError, SetupError."""
        *lines, tail = data.split(b"\n")
        if self.header is None:
            self._check_kind(lines, tail)
        for nth, line in enumerate(lines):
            try:
                self._add(line)
            except NotJsonError as problem:
                if tail or nth < len(lines) - 1:
                    raise self._wrong(self._next, str(problem)) from problem
                tail = line + b"\n"
                break
            except WrongError as problem:
                raise self._wrong(self._next, str(problem)) from problem
            self.last_line = line + b"\n"
            self.end += len(self.last_line)
        self.tail = tail

    def _check_kind(self, lines: list[bytes], tail: bytes) -> None:
        """See that this is a chain at all, perhaps a damaged one: other files are no business of ours."""
        first = lines[0] if lines else tail
        if BEGINNING.startswith(first[: len(BEGINNING)]) or not first.strip(b"\0"):
            return
        if any(b'"thought_type":' in line for line in lines[:2]):
            raise SetupError(
                f"{self.source} is a chain of the original. Make one of ours of it: cloudllm thoughts import"
            )
        if not any(b'"chain":' in line for line in lines[:2]):
            raise SetupError(f"{self.source} is not a chain of thoughts. Name a file that JsonlThoughts wrote.")

    @property
    def chain(self) -> str:
        """The chain's own number; empty before there is one."""
        return "" if self.header is None else self.header.chain

    @property
    def previous(self) -> str:
        """The hash that the next thought must name; empty before there is a header."""
        if self.header is None:
            return ""
        return self.hashes[-1] if self.hashes else self.header.hash

    @property
    def _next(self) -> int | None:
        return None if self.header is None else len(self.thoughts)

    def _add(self, line: bytes) -> None:
        if self.header is None:
            self.header = read_header(line)
            return
        thought, said = read_thought(line, self.header, self.previous, len(self.thoughts))
        if isinstance(thought.meta.get("agent"), dict):
            self.speaker = thought.index
        self.thoughts.append(thought)
        self.hashes.append(said)

    def _wrong(self, number: int | None, problem: str) -> TamperedThoughtsError:
        if number is None and not problem.startswith("no longer"):
            problem = f"the first line, its header, {problem}"
        elif number is None:
            problem = f"the file {problem}"
        return TamperedThoughtsError(self.source, number, problem)

    def check_continues(self, earlier: Verified, same_file: bool) -> None:
        """
        See that this, read anew, holds all that *earlier* did, if it is the same file or the same chain.

        Raises:
            TamperedThoughtsError: it does not.
        """
        if earlier.header is None or (not same_file and (self.header is None or earlier.chain != self.chain)):
            return  # nothing was known, or another file has taken its place, as when files are rotated
        if self.chain != earlier.chain or len(self.hashes) < len(earlier.hashes):
            raise self._wrong(None, f"no longer holds the {len(earlier.thoughts)} thoughts that were read from it")
        for number, (was, now) in enumerate(zip(earlier.hashes, self.hashes, strict=False)):
            if was != now:
                raise self._wrong(number, "is another one than when it was last read")


def read_whole(path: str, timeout: float = 10.0, *, anyway: bool = False) -> Verified:
    """
    All of the file *path*; nothing is changed.

    Args:
        timeout: seconds to wait for whoever writes.
        anyway: of a file that was tampered with, take what comes before.

    Raises:
        SetupError: there is no such file, or it is something else. TamperedThoughtsError, ThoughtsFileError.
    """
    verified = Verified(path)
    with files.opened(path, writing=False, deadline=time.monotonic() + timeout, timeout=timeout) as fd:
        if fd is None:
            raise SetupError(f"{path}: there is no such file. Chains are made by: Agent(..., thoughts='jsonl:FOLDER')")
        if os.fstat(fd).st_size == 0:
            raise SetupError(f"{path}: the file is empty, so there is no chain in it.")
        try:
            verified.catch_up(fd)
        except TamperedThoughtsError:
            if not anyway:
                raise
    return verified


def told_of_tail(path: str, tail: bytes, aside: str | None) -> str:
    """What is said about an unfinished last line."""
    said = f"{path}: the last line is not whole ({len(tail)} bytes)"
    return f"{said}; it was moved to {aside}." if aside else f"{said}; the next thought will move it away."


class View(Sequence[Thought]):
    """The thoughts that were there when it was made, without a copy: chains only grow."""

    __slots__ = ("_all", "_count")

    def __init__(self, thoughts: list[Thought]) -> None:
        self._all, self._count = thoughts, len(thoughts)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Thought: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Thought, ...]: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self._all[nth] for nth in range(*index.indices(self._count)))
        return self._all[range(self._count)[index]]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of every mutable thing

    def __repr__(self) -> str:
        return repr(list(self))
