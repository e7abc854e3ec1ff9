"""The console sink: what happens in a run, as plain lines."""

from cloudllm_core import hookimpl

from .console import Console
from .lines import lines_for

__all__ = ["Console", "lines_for"]


@hookimpl
def cloudllm_register_event_sink() -> type[Console]:
    return Console
