"""What the agents of one run know together about their pool: plain state, for one branch runs at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from cloudllm_core import Hub

from .events import LeaseExpired, TaskClaimed, TaskCompleted, TaskFailed, TaskGivenUp, TaskReleased
from .pool import Claim, Pool
from .rules import Task, expired, open_to


@attrs.define(eq=False)
class Seat:
    """An agent's place in the team."""

    agent: str
    worker: str
    """Its name in the pool; no other run has the same."""

    abilities: frozenset[str]
    claim: Claim | None = None
    fences: dict[str, int] = attrs.Factory(dict)
    """Of each task it was ever given, the last fence; never shown to a model."""

    busy: bool = False
    """Whether it has a turn."""

    gone: bool = False
    """Whether it will not have another."""

    @property
    def mine(self) -> str | None:
        """The id of the task it holds."""
        return self.claim.task.id if self.claim else None


@attrs.define(eq=False)
class Team:
    """The agents of one run at their pool."""

    hub: Hub
    pool: Pool
    shared: bool
    """Whether others may work from the pool too."""

    seats: list[Seat]
    now: float = 0.0
    """The store's time at the last look."""

    tasks: dict[str, Task] = attrs.Factory(dict)
    looked: bool = False
    news: int = 0
    """Grows whenever an agent of this run changed something."""

    out_of_turns: bool = False
    stopped: bool = False
    """A failure ends the run: nobody begins another turn."""

    @classmethod
    def of(cls, hub: Hub, pool: Pool, shared: bool) -> Team:
        seats = [Seat(agent, f"{hub.run_id}/{agent}", hub.abilities(agent)) for agent in hub.agents]
        return cls(hub, pool, shared, seats)

    # -- the pool as it stands ------------------------------------------------

    @property
    def listed(self) -> Sequence[Task]:
        return tuple(self.tasks.values())

    @property
    def done(self) -> int:
        return sum(task.state == "done" for task in self.tasks.values())

    def over(self) -> bool:
        """Whether every task has ended."""
        return all(task.ended for task in self.tasks.values())

    @property
    def stamp(self) -> tuple[tuple[str, str, int, float | None], ...]:
        """While this stays the same, nobody has done anything, not even renewed a lease."""
        return tuple((task.id, task.state, task.fence, task.lease_until) for task in self.tasks.values())

    async def look(self) -> None:
        """Learn how the pool stands now."""
        view = await self.pool.look()
        self.now = view.now
        if not self.looked:
            self.tasks = {task.id: task for task in view.tasks}
            self.looked = True
        self._learn(view.tasks)

    def changed(self, task: Task) -> None:
        """An agent of this run changed *task*."""
        self.news += 1
        self._learn([task])

    def _learn(self, tasks: Iterable[Task]) -> None:
        """Take *tasks* as they stand now, and say what is new: also what was done just before a cancellation."""
        done = self.done
        for task in tasks:
            before = self.tasks.get(task.id, task)
            self.tasks[task.id] = task
            seat = next((seat for seat in self.seats if seat.worker == task.owner), None)
            if seat and task.fence > seat.fences.get(task.id, 0):
                seat.fences[task.id] = task.fence
                self.hub.announce(TaskClaimed(agent=seat.agent, task_id=task.id, attempt=task.attempts))
            if seat and task.state == "done" and before.state != "done":
                self.hub.announce(TaskCompleted(agent=seat.agent, task_id=task.id, result=task.result or ""))
            if task.state == "dead" and before.state != "dead":
                self.hub.announce(TaskGivenUp(task_id=task.id, error=task.error or ""))
        if self.done != done:
            self.hub.progress(self.done, len(self.tasks))

    def lost(self, task_id: str, owner: str) -> None:
        self.news += 1
        self.hub.announce(LeaseExpired(task_id=task_id, owner=owner))

    def resume(self, seat: Seat) -> None:
        """Let *seat* have what it has by the pool's word, which alone counts."""
        own = (task for task in self.listed if task.state == "claimed" and task.owner == seat.worker)
        seat.claim = next((Claim(task) for task in own if not expired(task, self.now)), None)

    # -- who has something to do ----------------------------------------------

    def open_for(self, seat: Seat) -> list[Task]:
        """What *seat*'s agent could claim."""
        done = {task.id for task in self.tasks.values() if task.state == "done"}
        return [task for task in self.tasks.values() if open_to(task, done, seat.abilities, self.now)]

    def has_work(self, seat: Seat, polite: bool = True) -> bool:
        """Whether *seat* has a task, or could claim one; if *polite*, one that peers, choosing just now, will leave."""
        if seat.claim:
            return True
        open = self.open_for(seat)
        choosing = [peer for peer in self.seats if peer.busy and peer is not seat and not peer.claim]
        rivals = sum(any(set(task.item.needs) <= peer.abilities for task in open) for peer in choosing)
        return len(open) > (rivals if polite else 0)

    def moves_without(self, seat: Seat) -> bool:
        """Whether a peer of this run is at work or about to be, so that waiting for it will end."""
        peers = [peer for peer in self.seats if peer is not seat and not peer.gone]
        return any(peer.busy or peer.claim or self.open_for(peer) for peer in peers)

    # -- the end --------------------------------------------------------------

    async def let_go(self) -> None:
        """Give back, without blame, whatever this run's agents hold. A cancellation on the way does not stop it."""
        whole = False
        try:
            await self._let_go()
            whole = True
        finally:
            if not whole:  # a strand is told to stop once, so this goes to the end
                await self._let_go()

    async def take_back(self, seat: Seat, why: str, graceful: bool = False) -> None:
        """Give back whatever *seat*'s agent holds, whether it knows of it or not."""
        seat.claim = None
        while task := await self.pool.held_by(seat.worker):
            self.changed(task)
            verdict = await self.pool.release(task.id, seat.worker, task.fence, why, graceful=graceful)
            if not verdict.accepted:
                continue  # its lease ran out just now, and somebody was given it
            if graceful:
                self.hub.announce(TaskReleased(agent=seat.agent, task_id=task.id, reason=why))
            else:
                self.hub.announce(TaskFailed(agent=seat.agent, task_id=task.id, error=why))
            self.changed(verdict.task)

    async def _let_go(self) -> None:
        for seat in self.seats:
            await self.take_back(seat, "The run ended.", graceful=True)
        await self.look()
