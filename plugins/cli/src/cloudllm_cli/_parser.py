"""An argument parser that raises sentences instead of ending the process."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

import attrs

from cloudllm_core.errors import SetupError, near_miss


@attrs.define(eq=False)
class UsageError(SetupError):
    """The words on the command line make no sense together."""

    problem: str
    prog: str
    """The command whose help tells how it goes."""

    says = "{self.problem} See: {self.prog} --help"


class Parser(argparse.ArgumentParser):
    """As the library's, but what is wrong is raised, an unknown option gets its near miss, none is abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}.", self.prog)

    def answer(self, words: Sequence[str]) -> argparse.Namespace | None:
        """
        What *words* say; None if they asked for help or the version, which then has been printed.

        Raises:
            UsageError: they make no sense.
        """
        try:
            arguments, unknown = self._parsed(words)
        except SystemExit:  # only help and version end it; `error` raises
            return None
        if unknown := [word for word in unknown if word != "--"]:  # some versions of Python hand that back
            option = unknown[0].partition("=")[0]
            known = near_miss(option, list(self._option_string_actions)) if option.startswith("-") else ""
            what = "option" if option.startswith("-") else "argument"
            raise UsageError(f"There is no {what} {option!r} here. {known}".rstrip(), self.prog)
        return arguments

    def _parsed(self, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        greedy = {argparse.PARSER, argparse.REMAINDER} & {action.nargs for action in self._get_positional_actions()}
        if greedy:
            return self.parse_known_args(words)
        # Options may stand between arguments, which the plain way does not understand of optional ones.
        return self.parse_known_intermixed_args(words)
