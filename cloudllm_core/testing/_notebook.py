"""A sink that remembers."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from .._events import Event
from .._outlets import EventSink
from .._records import Record
from .._signals import Signal

E = TypeVar("E", bound=Event)


class Notebook(EventSink):
    """Writes down every record it receives."""

    name: ClassVar[str] = "notebook"

    def __init__(self) -> None:
        self.records: list[Record] = []

    def receive(self, record: Record) -> None:
        self.records.append(record)

    def events(self, cls: type[E]) -> list[E]:
        """The events of one class, in order."""
        return [event for record in self.records if isinstance(event := record.event, cls)]

    @property
    def titles(self) -> list[str]:
        """The names of all events, in order."""
        return [type(record.event).__name__ for record in self.records]


class Eavesdropper(Notebook):
    """A notebook that listens to signals too, and so makes agents stream."""

    name: ClassVar[str] = "eavesdropper"

    def __init__(self) -> None:
        super().__init__()
        self.signals: list[Signal] = []

    def signal(self, signal: Signal) -> None:
        self.signals.append(signal)
