"""What happens in a run of Ralph, beside what happens in every run."""

from __future__ import annotations

import attrs

from cloudllm_core import Event


@attrs.frozen(kw_only=True)
class RalphIterationStarted(Event):
    """A pass over all agents begins."""

    iteration: int
    max_iterations: int
    tasks_completed: int
    tasks_total: int


@attrs.frozen(kw_only=True)
class RalphTaskCompleted(Event):
    """An agent completed a task; said once for each task."""

    agent: str
    task_ids: tuple[str, ...]
    evidence: str
    tasks_completed_total: int
    tasks_total: int


@attrs.frozen(kw_only=True)
class RalphTaskRejected(Event):
    """A check did not accept an agent's evidence; the agent is told *feedback*."""

    agent: str
    task_id: str
    evidence: str
    feedback: str
