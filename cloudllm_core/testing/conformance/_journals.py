"""The contract of journals."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from ..._journal import encode, load_records
from ..._outlets import Journal
from ...errors import JournalError
from .._rehearse import stage
from ._chance import dice_of, odd_json
from ._sinks import SCRIPT, Both, look, lose

LINES = (
    b'[1,"a"]\n',
    '["\u00e9\u4e2d\U0001f600\u2028\u0085\\n"]\n'.encode(),
    b"[]\n",
    b'["' + b"x" * 1_000_000 + b'"]\n',
    b"[5]\n",
)
"""Whole lines of JSON, as the kernel writes them: one with characters that break other lines, one of a megabyte."""


class JournalContract:
    """
    What every journal promises. Subclass it and write the fixture ``journal``: your class.

    If a target is not a file, write the fixture ``target`` as well, and override `tear`.
    """

    @pytest.fixture
    def journal(self) -> type[Journal]:
        """The class under test."""
        raise NotImplementedError("Write a fixture `journal` that returns your journal's class.")

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:
        """A place where no journal is yet."""
        return str(tmp_path / "run.journal")

    def tear(self, target: str, piece: bytes) -> None:
        """Leave an unfinished last line at *target*, as a crash while writing does."""
        with Path(target).open("ab") as file:
            file.write(piece)

    def test_has_a_name(self, journal: type[Journal]) -> None:
        """Its name is a plain lower-case word."""
        assert re.fullmatch(r"[a-z][a-z0-9-]*", journal.name)

    def test_reads_what_was_appended(self, journal: type[Journal], target: str) -> None:
        """Lines come back byte for byte and in order, without their line breaks, however they were kept."""
        kept = journal.create(target)
        for nth, line in enumerate(LINES):
            kept.append(line, durable=nth % 2 == 0)
        kept.close()

        assert without_breaks(LINES) == journal.read(target).lines
        assert journal.read(target).torn is None

    @pytest.mark.parametrize("seed", range(10))
    def test_keeps_any_line(self, journal: type[Journal], target: str, seed: int) -> None:
        """Whatever JSON the kernel writes is kept."""
        dice = dice_of(f"lines {seed}")
        lines = [f"{encode(odd_json(dice))}\n".encode() for _ in range(dice.randrange(1, 30))]
        fill(journal, target, lines)

        assert without_breaks(lines) == journal.read(target).lines

    def test_can_be_read_while_it_is_written(self, journal: type[Journal], target: str) -> None:
        """A line is there for others as soon as `append` has returned."""
        kept = journal.create(target)
        for nth in range(1, len(LINES) + 1):
            kept.append(LINES[nth - 1], durable=False)
            assert without_breaks(LINES[:nth]) == journal.read(target).lines
        kept.close()

    def test_never_overwrites(self, journal: type[Journal], target: str) -> None:
        """Where a journal is, open or closed, empty or not, no other can be made, and it stays as it was."""
        kept = journal.create(target)
        with pytest.raises(JournalError) as refused:
            journal.create(target)
        assert target in str(refused.value)
        kept.append(LINES[0], durable=True)
        kept.close()
        with pytest.raises(JournalError):
            journal.create(target)

        assert without_breaks(LINES[:1]) == journal.read(target).lines

    def test_says_that_there_is_nothing_to_read(self, journal: type[Journal], target: str) -> None:
        """Reading where nothing is raises, and names the place."""
        with pytest.raises(JournalError) as refused:
            journal.read(target)

        assert target in str(refused.value)

    def test_sets_an_unfinished_line_aside(self, journal: type[Journal], target: str) -> None:
        """Wherever a crash cut the last line, the whole ones before it are read, and what was left of it is said."""
        fill(journal, target, LINES[:2])
        piece = b'[3,"b"]'
        for nth in range(len(piece)):
            self.tear(target, piece[nth : nth + 1])
            read = journal.read(target)

            assert without_breaks(LINES[:2]) == read.lines
            assert read.torn

    @pytest.mark.parametrize("piece", [b"", b"[1,"])
    def test_invents_no_first_line(self, journal: type[Journal], target: str, piece: bytes) -> None:
        """Of a journal that never got its first line whole, no line is read; saying that nothing is there will do."""
        fill(journal, target, [])
        self.tear(target, piece)
        try:
            lines = journal.read(target).lines
        except JournalError as refused:
            lines = () if target in str(refused) else (b"an error that does not name the place",)

        assert () == lines

    def test_can_be_closed_twice(self, journal: type[Journal], target: str) -> None:
        """Closing again does no harm."""
        kept = journal.create(target)
        kept.append(LINES[0], durable=False)
        kept.close()
        kept.close()

        assert without_breaks(LINES[:1]) == journal.read(target).lines

    def test_keeps_a_run(self, journal: type[Journal], target: str) -> None:
        """A run's records are read back, verified, and replayed."""
        kept = journal.create(target)

        async def main() -> tuple[list[str], bool]:
            run = stage(Both(), SCRIPT, tools=[look, lose]).run("Begin.", journal=kept)
            result = await run
            read = journal.read(target)
            records = load_records(read.lines, read.source)
            again = await stage(Both(), SCRIPT, tools=[look, lose]).replay(records)
            assert [record.text for record in run.records] == [record.text for record in records]
            return [reply.text for reply in result.messages], result.messages == again.messages

        assert (["It is blue."], True) == asyncio.run(main())


def fill(journal: type[Journal], target: str, lines: Sequence[bytes]) -> None:
    kept = journal.create(target)
    for line in lines:
        kept.append(line, durable=False)
    kept.close()


def without_breaks(lines: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(line.removesuffix(b"\n") for line in lines)
