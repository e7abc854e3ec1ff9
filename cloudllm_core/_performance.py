"""One run of an orchestration: a hub is handed to the mode, and what came of it is summed up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import attrs

from ._agent import Agent
from ._calls import Member
from ._contracts import Mode, Outcome, RunStop
from ._events import LimitReached, RunCancelled, RunCompleted, RunFailed
from ._hub import RunHub
from ._messages import NO_USAGE, Usage
from ._registry import Registry
from ._run import Run, RunResult
from ._strands import foreign_use
from .errors import LimitReachedError


@attrs.define(eq=False)
class Performance:
    """One run of an orchestration: hands a hub to the mode, and sums up."""

    name: str
    mode: Mode
    agents: Mapping[str, Agent]
    members: dict[str, Member]
    seed: str
    prompt: str
    kept: bool
    """Whether the run works on the agents' own sessions."""

    stop_on_failure: bool
    registry: Registry
    hub: RunHub | None = None
    outcome: Outcome | None = None
    limit: LimitReachedError | None = None

    def take_hold(self, run: Run) -> None:
        """Borrow the sessions, and be told of tools that come and go."""
        for name, member in self.members.items():
            agent = self.agents[name]
            agent.parts.append((run, member))
            if not run.replaying:
                agent.waiting.clear()
            if self.kept:
                agent.session.holder = run
        run.spine.on_input = lambda body: self.members[body["agent"]].take_tools(body)

    def let_go(self, run: Run) -> None:
        for agent in self.agents.values():
            agent.parts = [part for part in agent.parts if part[0] is not run]
            if agent.session.holder is run:
                agent.session.holder = None

    async def story(self, run: Run) -> None:
        """The main strand: the mode's run, and one last record."""
        spine = run.spine
        self.hub = hub = RunHub(run, self.members, self.mode.name, self.seed, self.registry, self.stop_on_failure)
        try:
            try:
                self.outcome = await self._within_limits(run, hub)
            finally:  # branches that the mode entered and never left: the last record is the run's
                await spine.close(tuple(spine.here().children))
        except LimitReachedError as limit:
            self.limit = limit
            spine.note(LimitReached(limit=limit.limit, allowed=limit.allowed))
        except asyncio.CancelledError:
            spine.note(RunCancelled(rounds=hub.rounds, total_tokens=self.usage.total), durable=True)
            raise
        except Exception as problem:
            cause = foreign_use("run", problem) or problem
            error = f"{type(cause).__name__}: {cause}"
            spine.note(RunFailed(error=error, rounds=hub.rounds, total_tokens=self.usage.total), durable=True)
            if cause is not problem:
                raise cause from problem
            raise
        if spine.main is not None and spine.main.causes:  # the mode kept the cancellation to itself
            spine.note(RunCancelled(rounds=hub.rounds, total_tokens=self.usage.total), durable=True)
            raise asyncio.CancelledError
        end = RunCompleted(
            orchestration_name=self.name,
            rounds=hub.rounds,
            total_tokens=self.usage.total,
            is_complete=self.complete,
            stop_reason=self.stop_reason,
            score=self.outcome.score if self.outcome else None,
        )
        spine.note(end, durable=True)

    async def _within_limits(self, run: Run, hub: RunHub) -> Outcome:
        seconds, mode = run.ledger.limits.seconds, self.mode
        if seconds is None:
            return await mode.run(hub, self.prompt)
        timer = run.spine.timeout(seconds)
        try:
            async with timer:
                outcome = await mode.run(hub, self.prompt)
        except TimeoutError:
            if not timer.fired:
                raise
        if timer.fired:  # also when the mode kept the cancellation to itself
            raise LimitReachedError("seconds", float(seconds))
        return outcome

    @property
    def usage(self) -> Usage:
        return sum([member.usage for member in self.members.values()], NO_USAGE)

    @property
    def nobody_answered(self) -> bool:
        """Whether agents were asked and every one failed."""
        return self.hub is not None and bool(self.hub.failures) and not self.hub.said

    @property
    def complete(self) -> bool:
        return self.outcome is not None and self.outcome.complete and not self.nobody_answered

    @property
    def stop_reason(self) -> RunStop:
        if self.limit is not None:
            return "limit"
        if self.outcome is None or self.nobody_answered:
            return "failed"
        return self.outcome.stop_reason or ("completed" if self.outcome.complete else "max_rounds")

    def summary(self, run: Run) -> RunResult:
        self.let_go(run)
        hub, main = self.hub, run.spine.main
        error = main.error if main is not None else None
        cancelled = isinstance(error, asyncio.CancelledError)
        said = hub.said if hub is not None else []
        tasks = hub.tasks if hub is not None else {}
        priced = any(member.tariff is not None for member in self.members.values())
        answer = self.outcome.answer if self.outcome else None
        last_failure = hub.failures[-1] if hub is not None and hub.failures and self.stop_reason == "failed" else None
        ended = error is None and run.spine.failure is None
        return RunResult(
            run_id=run.id,
            answer=answer if answer is not None or not said else said[-1].text,
            complete=ended and self.complete,
            score=self.outcome.score if self.outcome else None,
            rounds=hub.rounds if hub is not None else 0,
            stop_reason="cancelled" if cancelled else self.stop_reason if ended else "failed",
            messages=tuple(said),
            usage=self.usage,
            usage_by_agent={name: member.usage for name, member in self.members.items()},
            cost_by_agent={name: m.account.cost for name, m in self.members.items() if m.tariff is not None},
            usage_by_task={task: account.usage for task, account in tasks.items()},
            cost_by_task={task: account.cost for task, account in tasks.items()} if priced else {},
            error=None if cancelled else (run.spine.failure or error or self.limit or last_failure),
            sessions_kept=self.kept,
        )
