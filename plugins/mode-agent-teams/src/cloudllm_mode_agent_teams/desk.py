"""One agent at work: its turns, the tools it has for them, and the lease that is kept meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs

from cloudllm_core import Reply, Tool, tool
from cloudllm_core.errors import AgentFailedError, EffectError, LimitReachedError, StoreError

from . import texts
from .events import CompletionRefused, TaskReleased
from .pool import Claim
from .team import Seat, Team

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between looks of an agent that waits; each pause is twice the one before."""


COURTESY = 10.0
"""Seconds for which a task is left to peers whose turn has begun, and who have not claimed anything yet."""


@attrs.define(eq=False)
class Desk:
    """Where an agent works."""

    team: Team
    seat: Seat
    queue: list[object] = attrs.Factory(list)

    # -- waiting --------------------------------------------------------------

    async def has_work(self) -> bool:
        """
        Wait until there is something for this agent to do; False if there will not be.

        While peers are choosing, they go first, for a moment. Agents of this run are waited for as long as they
        work. For others, and for tasks that nobody here can do, the patience is a lease for each attempt, counted
        anew whenever somebody does or renews anything.
        """
        team, pool = self.team, self.team.pool
        patience = pool.lease * pool.attempts if team.shared else 0.0
        await team.look()
        news, stamp = team.news, team.stamp
        pause, gap, waited, quiet, unseen = FIRST_PAUSE, FIRST_PAUSE, 0.0, 0.0, 0.0
        while not (team.over() or team.stopped):
            team.resume(self.seat)
            if team.has_work(self.seat, polite=waited < COURTESY):
                return True
            if not team.moves_without(self.seat) and quiet >= patience:
                return False
            await team.hub.sleep(pause)
            waited = waited + pause if team.open_for(self.seat) else 0.0
            quiet, unseen = quiet + pause, unseen + pause
            pause = min(2 * pause, LONGEST_PAUSE)
            if team.news != news:
                pause, gap = FIRST_PAUSE, FIRST_PAUSE
            if team.news != news or unseen >= gap:
                await team.look()
                news, unseen, gap = team.news, 0.0, min(2 * gap, pool.lease / 6)
            if team.stamp != stamp:
                stamp, quiet = team.stamp, 0.0
        return False

    # -- a turn ---------------------------------------------------------------

    async def turn(self, prompt: str, reason: str) -> None:
        """One turn of the agent. It is cut short if its task is lost; a task it has when it fails is given back."""
        self.seat.busy = True
        try:
            ask = lambda: self.ask(prompt, reason)  # noqa: E731 -- one of two things that go on at once
            async with self.team.hub.each(_started, [ask, self.keep]) as ends:
                end = await anext(ends)  # leaving the block ends the other
        finally:
            self.seat.busy = False
            self.team.news += 1
        if self.seat.claim:
            self.team.hub.charge(self.seat.agent, self.seat.claim.task.id)
        if isinstance(end, Exception):
            raise end
        if end is self.seat:
            if self.seat.claim:
                self.team.lost(self.seat.claim.task.id, self.seat.worker)
            self.seat.claim = None
        elif end is None:
            await self.team.take_back(self.seat, "The agent's turn failed.")

    async def ask(self, prompt: str, reason: str) -> Reply | Exception | None:
        """The agent's part of a turn. What stops the run is given back, so that the lease is let go first."""
        team, seat = self.team, self.seat
        note = texts.note(team.listed, seat.mine, seat.abilities, team.now)
        try:
            return await team.hub.try_ask(seat.agent, prompt, note=note, tools=self.tools(), reason=reason)
        except (AgentFailedError, LimitReachedError) as stop:
            team.stopped = team.stopped or isinstance(stop, AgentFailedError)
            return stop

    async def keep(self) -> Seat:
        """Renew the lease while the turn lasts; ends when it is lost, or could not be renewed twice."""
        failed = 0
        while failed < 2:
            await self.team.hub.sleep(self.team.pool.lease / 3)
            claim = self.seat.claim
            if claim is None:
                failed = 0
                continue
            try:
                verdict = await self.team.pool.renew(claim.task.id, self.seat.worker, claim.fence)
            except (EffectError, StoreError):
                failed += 1
                continue
            if self.seat.claim is not claim or verdict.accepted:
                failed = 0
            elif (verdict.task.owner, verdict.task.fence) != (self.seat.worker, claim.fence):
                break
            else:
                failed += 1
        return self.seat

    # -- tools ----------------------------------------------------------------

    def tools(self) -> list[Tool[..., Any]]:
        """The tools of a turn: mode code, so they are composite."""

        @tool(effect="composite")
        async def list_tasks() -> str:
            """List all tasks: open ones, those in work, those that wait for others, those that are done."""
            return await self.list()

        @tool(effect="composite")
        async def claim_task(id: str | None = None) -> str:
            """Claim a task, so that it is yours and nobody else works on it. You can have one at a time.

            Args:
                id: the task's id; without one, you get the first that is open to you
            """
            async with self.in_line():
                return await self.claim(id)

        @tool(effect="composite")
        async def complete_task(id: str, result: str) -> str:
            """Say that a task you claimed is done. Call it after the work, when the acceptance criteria are met.

            Args:
                id: the task's id
                result: what came of it, for the others: where the work is, what was found out
            """
            async with self.in_line():
                return await self.complete(id, result)

        @tool(effect="composite")
        async def release_task(id: str, reason: str) -> str:
            """Give a task you claimed back, so that others can take it.

            Args:
                id: the task's id
                reason: why you do not complete it
            """
            async with self.in_line():
                return await self.release(id, reason)

        return [list_tasks, claim_task, complete_task, release_task]

    @asynccontextmanager
    async def in_line(self) -> AsyncIterator[None]:
        """Calls that the model made at once are carried out one after the other, in their order."""
        ticket = object()
        self.queue.append(ticket)
        try:
            while self.queue[0] is not ticket:
                await self.team.hub.sleep(FIRST_PAUSE)
            yield
        finally:
            self.queue.remove(ticket)

    async def list(self) -> str:
        await self.team.look()
        return texts.listing(self.team.listed, self.seat.mine, self.seat.abilities, self.team.now)

    async def claim(self, id: str | None) -> str:
        team, seat = self.team, self.seat
        if seat.mine and id in (None, seat.mine):
            return f"You hold the task {seat.mine!r}. {texts.HOW}"
        if seat.mine:
            return f"You hold the task {seat.mine!r}. Complete it or give it back before you claim {id!r}."
        await team.look()
        if id is not None and id not in team.tasks:
            return f"There is no task {id!r}. {self.open_tasks()}"
        for wanted in [id] if id is not None else [task.id for task in team.open_for(seat)]:
            if claim := await team.pool.claim(seat.worker, seat.abilities, id=wanted):
                return self.claimed(claim)
        await team.look()
        if id is None:
            return f"There is no task for you now. {self.open_tasks()}"
        stands = texts.status(team.tasks[id], team.listed, seat.mine, seat.abilities, team.now)
        return f"You cannot claim the task {id!r} now ({stands}). {self.open_tasks()}"

    def claimed(self, claim: Claim) -> str:
        team, seat, task = self.team, self.seat, claim.task
        seat.claim = claim
        if claim.taken_from:
            team.lost(task.id, claim.taken_from)
        team.changed(task)
        return f"The task is yours now.\n{texts.line(task, team.listed, task.id, seat.abilities, team.now)}"

    async def complete(self, id: str, result: str) -> str:
        team, seat = self.team, self.seat
        if await team.pool.get(id) is None:
            return self.refused(id, f"There is no task {id!r}.")
        verdict = await team.pool.complete(id, seat.worker, seat.fences.get(id, 0), result)
        if not verdict.accepted:
            return self.refused(id, verdict.reason)
        if seat.mine == id:
            seat.claim = None
        team.hub.charge(seat.agent, id)
        team.changed(verdict.task)
        done = f"You completed the task {id!r} before." if verdict.already else f"The task {id!r} is done."
        return f"{done} {texts.progress(team.listed)}."

    def refused(self, id: str, reason: str) -> str:
        self.team.hub.announce(CompletionRefused(agent=self.seat.agent, task_id=id, reason=reason))
        return f"{reason} Nothing was completed. {self.open_tasks()}"

    async def release(self, id: str, reason: str) -> str:
        team, seat = self.team, self.seat
        if await team.pool.get(id) is None:
            return f"There is no task {id!r}. {self.open_tasks()}"
        verdict = await team.pool.release(id, seat.worker, seat.fences.get(id, 0), reason)
        if not verdict.accepted:
            return f"{verdict.reason} Nothing was given back."
        if seat.mine == id:
            seat.claim = None
        team.hub.charge(seat.agent, id)
        team.hub.announce(TaskReleased(agent=seat.agent, task_id=id, reason=reason))
        team.changed(verdict.task)
        return f"You gave the task {id!r} back. {self.open_tasks()}"

    def open_tasks(self) -> str:
        """What the agent could claim, in a sentence."""
        return f"Open to you: {', '.join(task.id for task in self.team.open_for(self.seat)[:20]) or 'nothing'}."


async def _started(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()
