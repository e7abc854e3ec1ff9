"""Journals for tests: one that keeps lines in a list, and one that fails when it is told to."""

from __future__ import annotations

from typing import ClassVar, Self

from cloudllm_core import Journal, JournalText


class Tape(Journal):
    """Keeps lines in a list, and says which had to be durable."""

    name: ClassVar[str] = "tape"

    def __init__(self, fails_at: int | None = None, problem: Exception | None = None) -> None:
        self.lines: list[bytes] = []
        self.durable: list[bool] = []
        self.closed = 0
        self.fails_at, self.problem = fails_at, problem or OSError(28, "No space left on device")

    @classmethod
    def create(cls, target: str) -> Self:
        return cls()

    @classmethod
    def read(cls, target: str) -> JournalText:
        return JournalText(target, ())

    def append(self, line: bytes, durable: bool) -> None:
        if self.fails_at is not None and len(self.lines) + 1 >= self.fails_at:
            raise self.problem
        assert line.endswith(b"\n")
        assert 1 == line.count(b"\n")
        self.lines.append(line[:-1])
        self.durable.append(durable)

    def close(self) -> None:
        self.closed += 1


class Unclosable(Tape):
    """Cannot be closed."""

    name: ClassVar[str] = "unclosable"

    def close(self) -> None:
        raise OSError("the disk went away")
