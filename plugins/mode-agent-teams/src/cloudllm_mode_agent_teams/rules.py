"""
The rules of a pool, as functions of tasks: no store, no clock, no waiting.

``ready -> claimed -> done``, and back to ``ready`` by a release, or by a lease that ran out; ``dead``
once a task was handed out as often as it may be. Each claim has a *fence*, greater than the one before:
whoever holds an older one has lost the task. Times are those of the store, in seconds since 1970.

The order of checks follows Kleppmann, "How to do distributed locking" (2016): a lease alone is no
protection against a worker that slept through its end; the fence is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias
from zlib import crc32

import attrs

from .items import WorkItem

State: TypeAlias = Literal["ready", "claimed", "done", "dead"]
ENDED = ("done", "dead")


@attrs.frozen(kw_only=True)
class Task:
    """A task of a pool, as the store holds it."""

    item: WorkItem
    order: int = 0
    """Its place among the tasks, as they were handed in."""

    state: State = "ready"
    owner: str | None = None
    """The worker that has it; of a done task, the one that did it."""

    fence: int = 0
    lease_until: float | None = None
    claimed_at: float | None = None
    attempts: int = 0
    """How often it was handed out, but for what was given back without blame."""

    result: str | None = None
    error: str | None = None
    """Why it was given back last, or why it is dead."""

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        own = attrs.asdict(self, recurse=False, filter=lambda field, _: field.name != "item")
        about = attrs.asdict(self.item)
        return {**about, "after": [*self.item.after], "needs": [*self.item.needs], **own}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Task:
        about = {field.name: body[field.name] for field in attrs.fields(WorkItem)}
        return cls(item=WorkItem(**about), **{key: value for key, value in body.items() if key not in about})


@attrs.frozen
class Verdict:
    """What became of a request: the task as it stands now, and why nothing changed if nothing did."""

    task: Task
    reason: str = ""
    """Why it was refused; empty if it was not."""

    already: bool = False
    """Whether it had been accepted before."""

    @property
    def accepted(self) -> bool:
        return not self.reason


# -- who may have what --------------------------------------------------------


def expired(task: Task, now: float) -> bool:
    """Whether it is claimed and its lease has run out."""
    return task.state == "claimed" and (task.lease_until or 0.0) <= now


def free(task: Task, now: float) -> bool:
    """Whether nobody has it."""
    return task.state == "ready" or expired(task, now)


def worn_out(task: Task, now: float, attempts: int) -> bool:
    """Whether it was handed out *attempts* times and nobody has it: it shall not harm another worker."""
    return free(task, now) and task.attempts >= attempts


def open_to(task: Task, done: Container[str], abilities: Container[str], now: float) -> bool:
    """Whether a worker with these *abilities* may begin it."""
    return (
        free(task, now)
        and all(id in done for id in task.item.after)
        and all(need in abilities for need in task.item.needs)
    )


def pick(open: Sequence[Task], worker: str, crowded: bool) -> Task | None:
    """The task that *worker* shall try: the first, or, where many workers try at once, one that others may not."""
    if not open:
        return None
    return open[crc32(worker.encode()) % len(open)] if crowded else open[0]


def doomed(tasks: Iterable[Task], now: float, attempts: int) -> dict[str, str]:
    """Ids of the tasks that are to die, and why: handed out too often, or waiting for a dead one."""
    tasks = tuple(tasks)
    dead = {task.id for task in tasks if task.state == "dead"}
    found: dict[str, str] = {}
    for task in tasks:
        if worn_out(task, now, attempts):
            found[task.id] = buried_because(task, now)
    while more := {
        task.id: f"It comes after {lost!r}, which is dead."
        for task in tasks
        if task.id not in found
        and task.state == "ready"
        and (lost := next((id for id in task.item.after if id in dead or id in found), None))
    }:
        found.update(more)
    return found


def buried_because(task: Task, now: float) -> str:
    times = f"It was handed out {task.attempts} time{'' if task.attempts == 1 else 's'}"
    last = f"the lease of {task.owner!r} ran out" if expired(task, now) else task.error or "it was given back"
    return f"{times}; the last time: {last.rstrip('.')}."


# -- what changes -------------------------------------------------------------


def claimed(task: Task, worker: str, now: float, lease: float) -> Task:
    """Handed out: a new fence, one more attempt."""
    return attrs.evolve(
        task,
        state="claimed",
        owner=worker,
        fence=task.fence + 1,
        lease_until=now + lease,
        claimed_at=now,
        attempts=task.attempts + 1,
    )


def buried(task: Task, why: str) -> Task:
    """Dead: nobody will be given it again."""
    return attrs.evolve(task, state="dead", owner=None, lease_until=None, claimed_at=None, error=why)


def renewed(task: Task, worker: str, fence: int, now: float, lease: float) -> Verdict:
    """The lease goes on, if it still lasts."""
    if reason := not_yours(task, worker, fence):
        return Verdict(task, reason)
    if expired(task, now):
        return Verdict(task, f"The lease on the task {task.id!r} has run out.")
    return Verdict(attrs.evolve(task, lease_until=now + lease))


def completed(task: Task, worker: str, fence: int, result: str) -> Verdict:
    """Done, once. Work that comes late is accepted as long as nobody else was given the task."""
    if task.state == "done" and (task.owner, task.fence) == (worker, fence):
        return Verdict(task, already=True)
    if reason := not_yours(task, worker, fence):
        return Verdict(task, reason)
    return Verdict(attrs.evolve(task, state="done", lease_until=None, result=result, error=None))


def released(task: Task, worker: str, fence: int, attempts: int, why: str, graceful: bool) -> Verdict:
    """Given back. The attempt counts, unless *graceful*; a task that had its last one is dead at once."""
    if reason := not_yours(task, worker, fence):
        return Verdict(task, reason)
    given = attrs.evolve(
        task,
        state="ready",
        owner=None,
        lease_until=None,
        claimed_at=None,
        attempts=task.attempts - graceful,
        error=task.error if graceful else why,
    )
    return Verdict(buried(given, buried_because(given, 0.0)) if given.attempts >= attempts else given)


def not_yours(task: Task, worker: str, fence: int) -> str | None:
    """Why *worker* has no say in *task*; None if it has."""
    if task.state == "done":
        return f"The task {task.id!r} is done."
    if task.state == "dead":
        return f"The task {task.id!r} was given up: {task.error}"
    if task.state == "ready":
        return f"The task {task.id!r} is not claimed."
    if (task.owner, task.fence) != (worker, fence):
        return f"The task {task.id!r} is claimed, and not by this claim."
    return None
