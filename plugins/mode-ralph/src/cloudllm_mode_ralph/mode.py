"""
RALPH: agents work through a checklist until every task is done.

In each iteration every agent sees the checklist as it stands now and works on an open task: one after
the other, or all at once. It says that a task is done with the tool ``complete_task(id, evidence)``, or,
without tools, by ``[TASK_COMPLETE:id]`` on a line of its own outside code. A task's check may reject
that, with feedback. The run ends the moment all tasks are done, or after *max_iterations*. Nothing is
concluded from prose.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from cloudllm_core import Hub, Mode, Outcome, Tool, ToolProtocol, tool

from .checklist import Checklist
from .events import RalphIterationStarted, RalphTaskCompleted, RalphTaskRejected
from .judging import judge
from .markers import ids_in
from .shell import fits
from .tasks import RalphTask, as_tasks, can_be_done


@attrs.frozen
class Ralph(Mode):
    """
    Lead agents through *tasks*, for at most *max_iterations* passes. The score is done / total.

    With *parallel*, the agents of an iteration work at the same time, each pointed at a task of its own.
    *shell* is where checks that are commands run: a tool protocol with a tool ``bash``, in a sandbox.
    """

    name: ClassVar[str] = "ralph"
    tables: ClassVar[tuple[str, ...]] = ("tasks",)

    tasks: tuple[RalphTask, ...] = attrs.field(converter=as_tasks, validator=can_be_done)
    max_iterations: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    parallel: bool = False
    shell: ToolProtocol | None = attrs.field(default=None, validator=fits)

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        checklist, stalled = Checklist(self.tasks), False
        for iteration in range(1, self.max_iterations + 1):
            if checklist.complete:
                break
            before = len(checklist.done)
            async with hub.round():
                self.announce_iteration(hub, checklist, iteration)
                await (self.at_once if self.parallel else self.in_turn)(hub, prompt, checklist, iteration)
            stalled = len(checklist.done) == before
        return Outcome(
            complete=checklist.complete,
            score=len(checklist.done) / len(self.tasks) if self.tasks else 1.0,
            stop_reason="completed" if checklist.complete else "stalled" if stalled else "max_rounds",
        )

    async def in_turn(self, hub: Hub, prompt: str, checklist: Checklist, iteration: int) -> None:
        """One agent after the other, until all is done."""
        for agent in hub.agents:
            if not checklist.complete:
                await self.turn(hub, agent, prompt, checklist, iteration)

    async def at_once(self, hub: Hub, prompt: str, checklist: Checklist, iteration: int) -> None:
        """All agents; when whoever completed the last task has had its say, the others are cancelled."""
        checklist.share_out(hub.agents)
        async with hub.each(lambda agent: self.turn(hub, agent, prompt, checklist, iteration), hub.agents) as ended:
            async for agent in ended:
                if checklist.complete and agent == checklist.last_by:
                    break

    async def turn(self, hub: Hub, agent: str, prompt: str, checklist: Checklist, iteration: int) -> str:
        """*agent* works; what it completes is on the checklist at once, for the others to see."""
        tools, before = [self.complete_task(hub, agent, checklist)], set(checklist.done)
        reason = f"RALPH iteration {iteration}"
        reply = await hub.try_ask(agent, prompt, note=checklist.note(agent), tools=tools, reason=reason)
        if reply is not None:  # so it has read its note
            checklist.rejected[agent] = []
            for id in ids_in(reply.text):
                if checklist.refusal(id) is None and (
                    problem := await self.complete(hub, agent, checklist, id, "said so in its reply")
                ):
                    checklist.rejected[agent].append(problem)
        if by_now := [id for id, by in checklist.done.items() if by == agent and id not in before]:
            hub.charge(agent, by_now[-1])  # its last words, too
        return agent

    def complete_task(self, hub: Hub, agent: str, checklist: Checklist) -> Tool[..., object]:
        """The tool by which *agent* completes tasks: mode code, so it is composite."""

        @tool(effect="composite")
        async def complete_task(id: str, evidence: str) -> str:
            """Say that a task of the checklist is done. Call it once for each task, after the work.

            Args:
                id: the task's id
                evidence: what shows that it is done: a file's name, a test's output
            """
            if problem := await self.complete(hub, agent, checklist, id, evidence):
                return problem
            left, total = len(self.tasks) - len(checklist.done), len(self.tasks)
            return f"Task {id!r} is done. {left} of {total} tasks are open." if left else "All tasks are done."

        return complete_task

    async def complete(self, hub: Hub, agent: str, checklist: Checklist, id: str, evidence: str) -> str | None:
        """Complete *id*, or say why not. While its check runs another agent may do so: the first accepted counts."""
        if refusal := checklist.refusal(id):
            return refusal
        feedback = await judge(hub, self.shell, checklist, agent, id, evidence)
        if feedback is not None:
            hub.announce(RalphTaskRejected(agent=agent, task_id=id, evidence=evidence, feedback=feedback))
        if refusal := checklist.refusal(id):
            return refusal
        if feedback is not None:
            return f"Task {id!r} was not accepted, and stays open: {feedback}"
        checklist.done[id] = agent
        hub.charge(agent, id)
        done, total = len(checklist.done), len(self.tasks)
        hub.announce(
            RalphTaskCompleted(
                agent=agent, task_ids=(id,), evidence=evidence, tasks_completed_total=done, tasks_total=total
            )
        )
        hub.progress(done, total)
        return None

    def announce_iteration(self, hub: Hub, checklist: Checklist, iteration: int) -> None:
        hub.announce(
            RalphIterationStarted(
                iteration=iteration,
                max_iterations=self.max_iterations,
                tasks_completed=len(checklist.done),
                tasks_total=len(self.tasks),
            )
        )

    def settings(self) -> dict[str, object]:
        """As of every mode; the shell, which has a life and secrets of its own, by its name."""
        return {**super().settings(), "shell": self.shell and self.shell.name}
