"""The sink: decides whose lines they are, and writes them."""

from __future__ import annotations

import sys
from typing import ClassVar, TextIO

import attrs

from cloudllm_core import EventSink, Record

from .lines import lines_for


@attrs.define(eq=False)
class Console(EventSink):
    """
    Writes what happens to *stream*, one record at a time.

    Lines carry a short run id once more than one run is under way. A stream that cannot show a
    character shows a question mark; a stream that is closed raises, and the kernel gives the sink up.
    """

    name: ClassVar[str] = "console"

    stream: TextIO | None = None
    """None is standard output, as it is when a line is written."""

    verbose: bool = False
    """Whether to show everything that happens, plugins' own events included."""

    _runs: set[str] = attrs.field(factory=set, init=False)

    def receive(self, record: Record) -> None:
        """Write the record's lines, if it has any."""
        self._runs.add(record.run_id)
        lines = lines_for(record, verbose=self.verbose)
        stream = self.stream or sys.stdout
        if not lines or stream is None:  # a program without a console has no standard output
            return
        prefix = f"[{record.run_id[-6:]}] " if len(self._runs) > 1 else ""
        text = "".join([f"{prefix}{line}\n" for line in lines])
        try:
            stream.write(text)
        except UnicodeEncodeError as problem:
            stream.write(text.encode(problem.encoding, "replace").decode(problem.encoding))
        stream.flush()

    def close(self) -> None:
        """Forget which runs there were: the next one is alone again."""
        self._runs.clear()
