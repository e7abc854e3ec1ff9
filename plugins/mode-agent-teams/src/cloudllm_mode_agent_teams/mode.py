"""
Agent teams: agents claim tasks from a pool, which other processes may work from too.

All agents work at once, each for up to *max_iterations* turns: it sees the pool as it stands, claims a
task with a tool, works on it, and says with a tool that it is done. A claim is a lease, renewed while
the agent works; whoever dies loses the task to the next. Nothing is concluded from prose. The run ends
the moment every task is done or given up, or when nobody here can do anything more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from cloudllm_core import Hub, Mode, Outcome, Store

from .desk import Desk
from .items import WorkItem, as_items, id_problem, in_order
from .pool import Pool
from .team import Seat, Team


def _pool_has_a_name(_: object, __: object, id: str) -> None:
    if problem := id_problem(id, "pool"):
        raise ValueError(problem)


def _is_a_list(mode: AnthropicAgentTeams, _: object, tasks: tuple[WorkItem, ...]) -> None:
    known = () if mode.private else [id for task in tasks for id in task.after]  # a shared pool may hold them
    in_order(tasks, known)


@attrs.frozen
class AnthropicAgentTeams(Mode):
    """
    Agents claim *tasks* from the pool *pool_id* and work on them at once, for at most *max_iterations* turns each.

    The score is done / total, of all tasks in the pool.
    """

    name: ClassVar[str] = "agent-teams"
    tables: ClassVar[tuple[str, ...]] = ("tasks",)

    pool_id: str = attrs.field(validator=_pool_has_a_name)
    tasks: tuple[WorkItem, ...] = attrs.field(default=(), converter=as_items, validator=_is_a_list)
    """Put into the pool as far as they are not there; none at all joins what is there."""

    max_iterations: int = attrs.field(default=10, validator=attrs.validators.ge(1))
    store: Store | str | Mapping[str, Any] = "memory"
    """Where the pool is: a store, the name of one, or a table; ``"memory"`` is the run's own."""

    lease: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    """Seconds for which a claim holds unless it is renewed."""

    attempts: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    """How often a task is handed out before it is given up."""

    @property
    def private(self) -> bool:
        """Whether nobody but this run can work from the pool."""
        return self.store == "memory"

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        pool = Pool(self.shelf(hub), self.pool_id, self.lease, self.attempts)
        await pool.submit(self.tasks)
        team = Team.of(hub, pool, shared=not self.private)
        await team.look()
        if not team.over():
            async with hub.round():  # one: agents do not wait for each other
                try:
                    async with hub.each(lambda seat: self.work(team, seat, prompt), team.seats) as ends:
                        async for _ in ends:
                            if team.over():
                                break  # the others are told to stop
                finally:
                    await team.let_go()
        return self.outcome(team)

    def shelf(self, hub: Hub) -> Store:
        """Where the pool is."""
        if not self.private:
            return hub.store(self.store)
        from .own import OwnStore

        return OwnStore(hub)

    async def work(self, team: Team, seat: Seat, prompt: str) -> None:
        """One agent's part: turns as long as there is something to do, then what it still has goes to others."""
        desk = Desk(team, seat)
        try:
            for turn in range(1, self.max_iterations + 1):
                if not await desk.has_work():
                    return
                await desk.turn(prompt, f"{self.name}, turn {turn}")
            if not team.over():
                team.out_of_turns = True
                await team.take_back(seat, "The agent's turns are used up.")
        finally:
            seat.gone = True
            team.news += 1

    def outcome(self, team: Team) -> Outcome:
        total = len(team.tasks)
        if team.done == total:
            return Outcome(complete=True, score=1.0)
        out = team.out_of_turns and not team.over()
        return Outcome(complete=False, score=team.done / total, stop_reason="max_rounds" if out else "stalled")


AgentTeams = AnthropicAgentTeams
