"""
RALPH: agents work through a checklist until every task is done.

In each iteration every agent sees the checklist as it stands now and works on an open task. It
says that a task is done with the tool ``complete_task(id, evidence)``, or, without tools, by
``[TASK_COMPLETE:id]`` on a line of its own outside code. The run ends the moment all tasks are done,
or after *max_iterations*. Nothing is concluded from prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import attrs

from cloudllm_core import Event, Hub, Mode, Outcome, Tool, tool

MARKER = re.compile(r" {0,3}\[TASK_COMPLETE:([^\]]*)\]\s*")
"""A line that says a task is done; with four spaces before it, it is code."""

FENCE = re.compile(r"\s*(`{3,}(?!.*`)|~{3,})(.*)")
"""A line that begins or ends a block of code."""


@attrs.frozen
class RalphTask:
    """One line of the checklist."""

    id: str
    title: str
    description: str = ""
    after: tuple[str, ...] = attrs.field(default=(), converter=tuple[str, ...])
    """Ids of the tasks that must be done first."""


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


def _as_checklist(tasks: Iterable[RalphTask]) -> tuple[RalphTask, ...]:
    checklist = tuple(tasks)
    for task in checklist:
        if not isinstance(task, RalphTask):
            raise TypeError(f"Ralph takes tasks such as RalphTask('id', 'title'), and not {task!r}.")
    return checklist


def _is_a_checklist(_: object, __: object, tasks: Sequence[RalphTask]) -> None:
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


@attrs.frozen
class Ralph(Mode):
    """Lead agents through *tasks*, for at most *max_iterations* passes. The score is done / total."""

    name: ClassVar[str] = "ralph"
    tables: ClassVar[tuple[str, ...]] = ("tasks",)

    tasks: tuple[RalphTask, ...] = attrs.field(converter=_as_checklist, validator=_is_a_checklist)
    max_iterations: int = attrs.field(default=5, validator=attrs.validators.ge(1))

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        done: dict[str, str] = {}
        stalled = False
        for iteration in range(1, self.max_iterations + 1):
            if len(done) == len(self.tasks):
                break
            before = len(done)
            async with hub.round():
                hub.announce(self.iteration_started(iteration, done))
                for agent in hub.agents:
                    if len(done) < len(self.tasks):
                        await self.turn(hub, agent, prompt, done, iteration)
            stalled = len(done) == before
        complete = len(done) == len(self.tasks)
        return Outcome(
            complete=complete,
            score=len(done) / len(self.tasks) if self.tasks else 1.0,
            stop_reason="completed" if complete else "stalled" if stalled else "max_rounds",
        )

    async def turn(self, hub: Hub, agent: str, prompt: str, done: dict[str, str], iteration: int) -> None:
        """One agent works; what it completes is in *done* at once, for the next to see."""
        complete_task = self.complete_task(hub, agent, done)
        reply = await hub.try_ask(
            agent,
            prompt,
            note=self.checklist(done),
            tools=[complete_task],
            reason=f"RALPH iteration {iteration}",
        )
        for id in ids_in(reply.text) if reply else ():
            if self.refusal(id, done) is None:
                self.complete(hub, agent, done, id, "said so in its reply")

    def complete_task(self, hub: Hub, agent: str, done: dict[str, str]) -> Tool[..., object]:
        """The tool by which *agent* completes tasks: mode code, so it is composite."""

        @tool(effect="composite")
        async def complete_task(id: str, evidence: str) -> str:
            """Say that a task of the checklist is done. Call it once for each task, after the work.

            Args:
                id: the task's id
                evidence: what shows that it is done: a file's name, a test's output
            """
            if refusal := self.refusal(id, done):
                return refusal
            self.complete(hub, agent, done, id, evidence)
            left = len(self.tasks) - len(done)
            return (
                f"Task {id!r} is done. {left} of {len(self.tasks)} tasks are open." if left else "All tasks are done."
            )

        return complete_task

    def refusal(self, id: str, done: Mapping[str, str]) -> str | None:
        """Why *id* cannot be completed now, for the model to read; None if it can."""
        task = next((task for task in self.tasks if task.id == id), None)
        if task is None:
            return f"There is no task {id!r}. Open tasks: {', '.join(self.open_ids(done)) or 'none'}."
        if id in done:
            return f"Task {id!r} was completed before. Open tasks: {', '.join(self.open_ids(done)) or 'none'}."
        if waits := [other for other in task.after if other not in done]:
            are = "is" if len(waits) == 1 else "are"
            return f"Task {id!r} comes after {', '.join(waits)}, which {are} not done yet."
        return None

    def open_ids(self, done: Mapping[str, str]) -> list[str]:
        return [task.id for task in self.tasks if task.id not in done]

    def complete(self, hub: Hub, agent: str, done: dict[str, str], id: str, evidence: str) -> None:
        done[id] = evidence
        hub.announce(
            RalphTaskCompleted(
                agent=agent,
                task_ids=(id,),
                evidence=evidence,
                tasks_completed_total=len(done),
                tasks_total=len(self.tasks),
            )
        )
        hub.progress(len(done), len(self.tasks))

    def iteration_started(self, iteration: int, done: Mapping[str, str]) -> RalphIterationStarted:
        return RalphIterationStarted(
            iteration=iteration,
            max_iterations=self.max_iterations,
            tasks_completed=len(done),
            tasks_total=len(self.tasks),
        )

    def checklist(self, done: Mapping[str, str]) -> str:
        """The checklist as it stands, and what to do about it."""
        lines = "\n".join(
            f"- [{'x' if task.id in done else ' '}] {task.title} (id: {task.id})"
            + (f" — {task.description}" if task.description else "")
            + (f" (after: {', '.join(task.after)})" if task.after else "")
            for task in self.tasks
        )
        return (
            f"The checklist as it stands:\n{lines}\n\n"
            "Work on the next open task. When one is finished, call complete_task with its id and your evidence "
            "(or, without tools, write [TASK_COMPLETE:id] with its id on a line of its own)."
        )


def ids_in(text: str) -> list[str]:
    """The ids that markers in *text* name, in order, each once; code blocks and quotes do not count."""
    ids: dict[str, None] = {}
    fence = ""
    for line in text.splitlines():
        mark = FENCE.fullmatch(line)
        if mark and not fence:
            fence = mark[1]
        elif mark:
            fence = "" if mark[1].startswith(fence) and not mark[2].strip() else fence
        elif not fence and (found := MARKER.fullmatch(line)):
            ids[found[1].strip()] = None
    return list(ids)
