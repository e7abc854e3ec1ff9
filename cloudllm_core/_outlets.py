"""The contracts of what leaves the kernel: event sinks, journals, and words of the command line."""

from __future__ import annotations

import abc
from argparse import ArgumentParser, Namespace
from typing import ClassVar, Self

import attrs

from ._records import Record
from ._settings import Configurable
from ._signals import Signal

# -- sinks --------------------------------------------------------------------


class EventSink(Configurable, abc.ABC):
    """
    Receives what happens.

    Write a sink::                                  Offer it::

        class Bell(EventSink):                          @hookimpl
            name = "bell"                               def cloudllm_register_event_sink() -> type[Bell]:
            def receive(self, record): print("\\a")          return Bell

    *Lifecycle*: one instance, shared by all runs of an orchestration; its methods are called from
    one thread of its own, one at a time, in order. *Ownership*: read and keep records, never change
    them. A sink that raises, sleeps or blocks harms no run; what it missed is counted and said.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def receive(self, record: Record) -> None:
        """Take one record; ``record.event`` says what happened."""

    def signal(self, signal: Signal) -> None:
        """Take something that passes by. A sink that overrides this makes agents stream."""

    def close(self) -> None:
        """No run feeds this sink any more, for now."""


# -- journals and commands ----------------------------------------------------


@attrs.frozen
class JournalText:
    """A journal, read."""

    source: str
    lines: tuple[bytes, ...]
    """Whole lines, in order, without their line breaks."""

    torn: str | None = None
    """What was said about an unfinished last line, if there was one."""


class Journal(abc.ABC):
    """
    Where the lines of a run are kept.

    Write a journal::                               Offer it::

        class Tape(Journal):                            @hookimpl
            name = "tape"                               def cloudllm_register_journal() -> type[Tape]:
            ...                                             return Tape

    The kernel numbers, encodes, chains and verifies; a journal only keeps bytes in order.
    """

    name: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def create(cls, target: str) -> Self:
        """
        A new, empty journal at *target*.

        Raises:
            JournalError: something is there already, or it cannot be made.
        """

    @classmethod
    @abc.abstractmethod
    def read(cls, target: str) -> JournalText:
        """
        All whole lines at *target*; an unfinished last one is set aside and said.

        Raises:
            JournalError: there is nothing to read.
        """

    @abc.abstractmethod
    def append(self, line: bytes, durable: bool) -> None:
        """Keep *line*, which ends with a line break; if *durable*, survive a power loss before returning."""

    def close(self) -> None:
        """The run is over."""


class Command(abc.ABC):
    """
    A word after ``cloudllm`` on the command line.

    Write a command::                               Offer it::

        class Greet(Command):                           @hookimpl
            name = "greet"                              def cloudllm_register_command() -> type[Greet]:
            help = "say hello"                              return Greet
            ...
    """

    name: ClassVar[str]
    help: ClassVar[str]
    """One line for ``cloudllm --help``."""

    @abc.abstractmethod
    def configure(self, parser: ArgumentParser) -> None:
        """Add arguments."""

    @abc.abstractmethod
    def run(self, arguments: Namespace) -> int:
        """Do it, and return the exit status."""
