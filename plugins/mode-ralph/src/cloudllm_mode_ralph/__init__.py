"""RALPH: agents work through a checklist until every task is done."""

from cloudllm_core import hookimpl

from .mode import Ralph, RalphIterationStarted, RalphTask, RalphTaskCompleted, ids_in

__all__ = ["Ralph", "RalphIterationStarted", "RalphTask", "RalphTaskCompleted", "ids_in"]


@hookimpl
def cloudllm_register_mode() -> type[Ralph]:
    return Ralph
