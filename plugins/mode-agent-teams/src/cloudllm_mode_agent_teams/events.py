"""What happens to the tasks of a pool, as the run of one team sees it."""

from __future__ import annotations

import attrs

from cloudllm_core import Event


@attrs.frozen(kw_only=True)
class TaskClaimed(Event):
    """An agent has a task now."""

    agent: str
    task_id: str
    attempt: int
    """How often the task has been handed out, this time included."""


@attrs.frozen(kw_only=True)
class TaskCompleted(Event):
    """A completion was accepted; said once for each task."""

    agent: str
    task_id: str
    result: str


@attrs.frozen(kw_only=True)
class TaskFailed(Event):
    """An agent's turn failed, or its turns were used up, while it had a task; the attempt counts."""

    agent: str
    task_id: str
    error: str


@attrs.frozen(kw_only=True)
class TaskReleased(Event):
    """An agent gave a task back, or the run did as it ended."""

    agent: str
    task_id: str
    reason: str


@attrs.frozen(kw_only=True)
class TaskGivenUp(Event):
    """A task is dead: nobody will be given it again."""

    task_id: str
    error: str


@attrs.frozen(kw_only=True)
class LeaseExpired(Event):
    """A worker did not renew its claim in time, and lost the task."""

    task_id: str
    owner: str


@attrs.frozen(kw_only=True)
class CompletionRefused(Event):
    """An agent said that a task is done, and the pool did not accept it."""

    agent: str
    task_id: str
    reason: str
