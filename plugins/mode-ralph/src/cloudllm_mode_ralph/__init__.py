"""RALPH: agents work through a checklist until every task is done."""

from cloudllm_core import hookimpl

from .events import RalphIterationStarted, RalphTaskCompleted, RalphTaskRejected
from .markers import ids_in
from .mode import Ralph
from .tasks import Check, RalphTask

__all__ = [
    "Check",
    "Ralph",
    "RalphIterationStarted",
    "RalphTask",
    "RalphTaskCompleted",
    "RalphTaskRejected",
    "ids_in",
]


@hookimpl
def cloudllm_register_mode() -> type[Ralph]:
    return Ralph
