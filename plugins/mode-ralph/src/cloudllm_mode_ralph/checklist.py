"""The checklist of one run: what is done, who is to do what, and what the models are told about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from .tasks import RalphTask

HOW = (
    "When one is finished, call complete_task with its id and your evidence "
    "(or, without tools, write [TASK_COMPLETE:id] with its id on a line of its own)."
)


@attrs.define(eq=False)
class Checklist:
    """Tasks and how they stand."""

    tasks: Sequence[RalphTask]
    done: dict[str, str] = attrs.Factory(dict)
    """Of each task that is done, who completed it, in order."""

    pointed_at: dict[str, str] = attrs.Factory(dict)
    """Of each agent that works at the same time as others, the task it is to begin with."""

    rejected: dict[str, list[str]] = attrs.Factory(dict)
    """What agents have to be told with their next note, because they said it in a reply."""

    judged: int = 0
    """How many claims have gone to a check."""

    @property
    def complete(self) -> bool:
        return len(self.done) == len(self.tasks)

    @property
    def last_by(self) -> str | None:
        """Who completed the task that was completed last."""
        return next(reversed(self.done.values()), None)

    def task(self, id: str) -> RalphTask | None:
        return next((task for task in self.tasks if task.id == id), None)

    def refusal(self, id: str) -> str | None:
        """Why *id* cannot be completed now, for the model to read; None if it can."""
        task = self.task(id)
        still = ", ".join(task.id for task in self.tasks if task.id not in self.done) or "none"
        if task is None:
            return f"There is no task {id!r}. Open tasks: {still}."
        if id in self.done:
            return f"Task {id!r} was completed before. Open tasks: {still}."
        if waits := [other for other in task.after if other not in self.done]:
            are = "is" if len(waits) == 1 else "are"
            return f"Task {id!r} comes after {', '.join(waits)}, which {are} not done yet."
        return None

    def share_out(self, agents: Sequence[str]) -> None:
        """Point each of several *agents* at a task that can be worked on now."""
        ready = [task.id for task in self.tasks if self.refusal(task.id) is None]
        self.pointed_at = shares(agents, ready, self.pointed_at) if len(agents) > 1 else {}

    def note(self, agent: str) -> str:
        """What *agent* is told with its turn: the checklist as it stands, what was not accepted, and what to do."""
        lines = "\n".join(map(self.line, self.tasks))
        rejected = "\n".join(f"- {problem}" for problem in self.rejected.get(agent, ()))
        news = f"What you said in your last answer was not accepted:\n{rejected}\n\n" if rejected else ""
        begin = "Work on the next open task."
        if task := self.task(self.pointed_at.get(agent, "")):
            begin = f"The others are at work, too, so begin with this task: {task.title} (id: {task.id})."
        return f"The checklist as it stands:\n{lines}\n\n{news}{begin} {HOW}"

    def line(self, task: RalphTask) -> str:
        return (
            f"- [{'x' if task.id in self.done else ' '}] {task.title} (id: {task.id})"
            + (f" — {task.description}" if task.description else "")
            + (f" (after: {', '.join(task.after)})" if task.after else "")
        )


def shares(agents: Sequence[str], ready: Sequence[str], before: Mapping[str, str]) -> dict[str, str]:
    """
    Which of the *ready* tasks each agent begins with: the one it had *before*, if that is open and it alone
    keeps it, else one that nobody has; where there are fewer tasks than agents, some begin with the same one.
    """
    given: dict[str, str] = {}
    for agent in agents:
        if before.get(agent) in ready and before[agent] not in given.values():
            given[agent] = before[agent]
    free = [id for id in ready if id not in given.values()]
    late = [agent for agent in agents if agent not in given]
    return given | {agent: free[n] if n < len(free) else ready[n % len(ready)] for n, agent in enumerate(late)}
