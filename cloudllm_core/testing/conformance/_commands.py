"""The contract of commands."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import ClassVar

import pytest

from ..._outlets import Command


class CommandContract:
    """What every command promises. Subclass it and write the fixture ``command``."""

    examples: ClassVar[Sequence[Sequence[str]]] = ()
    """Words after the command that make sense; they are parsed, not run."""

    @pytest.fixture
    def command(self) -> Command:
        """The command under test."""
        raise NotImplementedError("Write a fixture `command` that returns an instance of your command.")

    def parser(self, command: Command) -> ArgumentParser:
        parser = ArgumentParser(prog=f"cloudllm {command.name}", description=command.help)
        command.configure(parser)
        return parser

    def test_has_a_name(self, command: Command) -> None:
        """Its name is one plain lower-case word, with hyphens perhaps."""
        assert re.fullmatch(r"[a-z][a-z0-9-]*", command.name)

    def test_says_in_one_line_what_it_does(self, command: Command) -> None:
        """Its help is one line that fits beside the others."""
        assert command.help.strip() == command.help != ""
        assert 1 == len(command.help.splitlines())
        assert len(command.help) <= 100

    def test_describes_its_arguments(self, command: Command) -> None:
        """Each argument has help of its own."""
        assert [] == [action.dest for action in self.parser(command)._actions if not action.help]

    def test_helps(self, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
        """``--help`` prints how it is used, and ends well."""
        with pytest.raises(SystemExit) as ended:
            self.parser(command).parse_args(["--help"])

        assert 0 == ended.value.code
        assert f"cloudllm {command.name}" in capsys.readouterr().out

    def test_refuses_unknown_options(self, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
        """An option that nobody declared ends the program with status 2, as parsers do."""
        with pytest.raises(SystemExit) as ended:
            self.parser(command).parse_args(["--no-such-option-here"])

        assert 2 == ended.value.code
        assert capsys.readouterr().err

    def test_leaves_what_is_shared_alone(self, command: Command) -> None:
        """It declares nothing that the command line sets itself: ``registry`` and ``debug``."""
        assert {"registry", "debug"}.isdisjoint(action.dest for action in self.parser(command)._actions)

    def test_examples_parse(self, command: Command) -> None:
        """What its documentation shows can be typed; and the command can be set up again and again."""
        for words in self.examples:
            assert isinstance(self.parser(command).parse_args(list(words)), Namespace)
