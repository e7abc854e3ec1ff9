"""What agents are told about the pool. Fences, leases and worker ids are not for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .rules import Task, free

MOST = 40
"""Tasks that a note shows; the rest is there for the asking."""

HOW = (
    "Claim a task with claim_task before you work on it. When its acceptance criteria are met, call complete_task with "
    "its id and the result; if you cannot do it, give it back with release_task. Only these calls count: "
    "what you write changes nothing."
)


def note(tasks: Sequence[Task], mine: str | None, abilities: Collection[str], now: float) -> str:
    """The pool as it stands, and what to do about it."""
    left = [task for task in tasks if not task.ended]
    left.sort(key=lambda task: task.id != mine)  # one's own first; the others stay in order
    shown = [line(task, tasks, mine, abilities, now) for task in left[:MOST]]
    if len(left) > MOST:
        shown.append(f"... and {len(left) - MOST} more; list_tasks shows all.")
    hold = f"You hold the task {mine!r}." if mine else "You hold no task."
    return "\n".join([f"The tasks as they stand ({progress(tasks)}):", *shown, "", hold, HOW])


def listing(tasks: Sequence[Task], mine: str | None, abilities: Collection[str], now: float) -> str:
    """Every task, ended ones too."""
    return "\n".join([*(line(task, tasks, mine, abilities, now) for task in tasks), progress(tasks)])


def progress(tasks: Sequence[Task]) -> str:
    return f"{sum(task.state == 'done' for task in tasks)} of {len(tasks)} tasks are done"


def line(task: Task, tasks: Sequence[Task], mine: str | None, abilities: Collection[str], now: float) -> str:
    """One task, and whether it can be claimed."""
    about = ". ".join(text.rstrip(".") for text in (task.item.title, task.item.description) if text)
    text = f"- [{status(task, tasks, mine, abilities, now)}] {task.id}" + (f": {about}" if about else "")
    if task.item.acceptance_criteria and not task.ended:
        text += f"\n  Acceptance criteria: {task.item.acceptance_criteria}"
    return text


def status(task: Task, tasks: Sequence[Task], mine: str | None, abilities: Collection[str], now: float) -> str:
    if task.id == mine:
        return "yours"
    if task.ended:
        return "done" if task.state == "done" else "given up"
    if not free(task, now):
        return "in work"
    done = {other.id for other in tasks if other.state == "done"}
    if waits := [id for id in task.item.after if id not in done]:
        return f"waits for {', '.join(waits)}"
    if lacks := [need for need in task.item.needs if need not in abilities]:
        return f"needs {', '.join(lacks)}, which you do not have"
    return "open"
