"""Tasks, as a user writes them down, and what makes a list of them one that can be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import attrs

Check: TypeAlias = Callable[[str, str], Any]
"""
Takes a task's id and the evidence for it, and judges: True, or False, or a text that says what is missing.

A function or an async one. It is called outside the mode, and a replay takes its judgement from the journal.
"""


def _is_a_check(task: RalphTask, _: object, check: Any) -> None:
    if check is not None and not callable(check) and not (isinstance(check, str) and check.strip()):
        raise TypeError(
            f"The check of task {task.id!r} is {check!r}. Give a command, such as 'python3 -m pytest -q', "
            "or, in Python, a function; or leave it out."
        )


@attrs.frozen
class RalphTask:
    """One line of the checklist."""

    id: str
    title: str
    description: str = ""
    after: tuple[str, ...] = attrs.field(default=(), converter=tuple[str, ...])
    """Ids of the tasks that must be done first."""

    check: Check | str | None = attrs.field(default=None, validator=_is_a_check)
    """
    Judges the evidence: the task is done only when it gives True, see `Check`; or a command for the mode's shell,
    which accepts by exit code 0, and has the id and the evidence as ``$TASK_ID`` and ``$EVIDENCE``.
    """


def as_tasks(tasks: Iterable[RalphTask]) -> tuple[RalphTask, ...]:
    """*tasks*, if that is what they are. Raises: TypeError."""
    found = tuple(tasks)
    for task in found:
        if not isinstance(task, RalphTask):
            raise TypeError(f"Ralph takes tasks such as RalphTask('id', 'title'), and not {task!r}.")
    return found


def can_be_done(_: object, __: object, tasks: Sequence[RalphTask]) -> None:
    """Raises: ValueError: an id that cannot be named, or not told apart, or a task that can never begin."""
    ids = [task.id for task in tasks]
    for id in ids:
        if not id or id != id.strip() or "]" in id or not id.isprintable():
            raise ValueError(f"The id {id!r} cannot stand in a marker: give one without ']' and spaces around it.")
    if repeated := sorted({id for id in ids if ids.count(id) > 1}):
        raise ValueError(f"Ralph cannot tell tasks apart: the id {repeated[0]!r} is used more than once.")
    done: set[str] = set()
    while ready := [task for task in tasks if task.id not in done and done.issuperset(task.after)]:
        done.update(task.id for task in ready)
    for task in tasks:
        if unknown := [id for id in task.after if id not in ids]:
            raise ValueError(f"The task {task.id!r} comes after {unknown[0]!r}, and there is no such task.")
        if task.id not in done:
            raise ValueError(f"The task {task.id!r} can never begin: it waits, in a circle, for itself.")
