"""
A pool and workers as a state machine: what may happen, and what must be true whatever does.

Each action asks the pool for something and then compares the tasks in the store with what they were:
each difference must be one of the legal steps below, taken by whoever acted. The invariants:

1. Fences of a task grow with each claim; each is given once.
2. No task is claimed while somebody's lease on it lasts.
3. A task that is done is never handed out.
4. Of each task at most one completion is accepted, by the newest fence; the same again is *already*.
5. Tasks neither come nor go, and a stored result never changes.
6. Once nothing goes wrong any more, every task ends.
7. A task is handed out at most as often as it may be, but for what was given back without blame.

What to do is chosen by whoever drives it: seeded dice (`walk`) or a property-testing tool.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import attrs

from cloudllm_core import Store
from cloudllm_core.errors import StoreError

from .items import WorkItem
from .pool import Claim, Pool
from .rules import Task
from .world import Seen, World

LEASE, ATTEMPTS = 10.0, 3
TASKS = (
    WorkItem("a", "first"),
    WorkItem("b", "second", after=("a",)),
    WorkItem("c", "for few", needs=("gpu",)),
    WorkItem("d", "alone"),
    WorkItem("e", "last", after=("b", "d")),
)
SKEWS = (0.0, 3_600.0, -3_600.0, 0.5)
"""Seconds by which the workers' own clocks are wrong."""


class Broken(AssertionError):
    """An invariant does not hold."""


def must(holds: object, claim: str) -> None:
    """Raises: Broken: *claim* does not hold."""
    if not holds:
        raise Broken(claim)


@attrs.frozen
class Hand:
    """A claim as it was given out, kept also by those who have lost it."""

    worker: int
    name: str
    id: str
    fence: int


@attrs.define(eq=False)
class Worker:
    name: str
    pool: Pool
    abilities: frozenset[str]
    life: int = 0


class Machine:
    """
    Some workers at one pool.

    Args:
        store: empty, and used by nobody else meanwhile.
        make: makes a `Pool`, or something that claims to be one.
    """

    def __init__(self, store: Store, make: Callable[..., Pool] = Pool, seen: Callable[..., Store] = Seen) -> None:
        self.world = World(store)
        self.workers = [
            Worker(f"w{nth}", make(seen(self.world, skew), "model", LEASE, ATTEMPTS), frozenset(["gpu"] if nth else []))
            for nth, skew in enumerate(SKEWS)
        ]
        self.was: dict[str, Task] = {}
        """The tasks, as they were after the last action."""

        self.hands: list[Hand] = []
        self.given: Counter[str] = Counter()
        self.spared: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()

    async def begin(self) -> None:
        await self.workers[0].pool.submit(TASKS)
        await self.workers[1].pool.submit(reversed(TASKS))  # again: nothing changes
        self.was = await self.tasks()
        must(set(self.was) == {item.id for item in TASKS}, "(5) the pool holds what was handed in")

    async def tasks(self) -> dict[str, Task]:
        """The tasks as the store has them, without any help of the pool's."""
        items = await self.world.store.list("teams:model:task:")
        return {item.key.rpartition(":")[2]: Task.from_json(item.value) for item in items}

    # -- what may happen ------------------------------------------------------

    async def tick(self, seconds: float) -> None:
        """Time passes; with seconds below 0, the store's clock is put back."""
        self.world.time += seconds

    async def lose(self, answers: int) -> None:
        """The next answers to changes get lost."""
        self.world.lost = answers

    async def restart(self, worker: int) -> None:
        """A worker dies, and comes back as somebody new. What it had, it has no more; its last words may still come."""
        self.workers[worker].life += 1
        self.workers[worker].name = f"w{worker}.{self.workers[worker].life}"

    async def claim(self, worker: int, id: str | None = None) -> None:
        who = self.workers[worker]
        own = [t.id for t in self.was.values() if t.owner == who.name and self.lasts(t)]
        try:
            claim = await who.pool.claim(who.name, who.abilities, id=id)
        except StoreError:
            await self.check(who.name)
            return
        before, steps = self.was, await self.check(who.name)
        if claim is None:
            wanted = [id] if id else [*TASKS_BY_ID]
            must(not [t for t in wanted if self.is_open(self.was[t], who)], f"{who.name} got nothing, and could have")
            must(id or not own, f"{who.name} did not get back what it has")
            return
        task = claim.task
        must(task == self.was[task.id], "a claim is what the store says")
        must(id in (None, task.id), "a claim is of the task that was asked for")
        must(id or not own or before[task.id].owner == who.name, f"{who.name} did not get back what it has")
        if ("claim", task.id) in steps:
            old = before[task.id].owner if before[task.id].state == "claimed" else None
            must(claim.taken_from == old or self.world.lost, "a claim says from whom it was taken")
            self.hand_out(worker, claim)
        else:
            must(task.owner == who.name, "(2) what is not newly claimed was one's own")

    def hand_out(self, worker: int, claim: Claim) -> None:
        hand = Hand(worker, self.workers[worker].name, claim.task.id, claim.fence)
        must(hand not in self.hands, "(1) a fence is given once")
        self.hands.append(hand)

    async def race(self, worker: int, other: int) -> None:
        """*other* claims something just before *worker*'s own claim is written."""

        async def between() -> None:
            await self.claim(other)

        self.world.between = between
        await self.claim(worker)
        self.world.between = None

    async def renew(self, nth: int) -> None:
        if hand := self.hand(nth):
            old = self.was[hand.id]
            may = self.holds(hand, old) and self.lasts(old)
            try:
                verdict = await self.workers[hand.worker].pool.renew(hand.id, hand.name, hand.fence)
            except StoreError:
                await self.check(hand.name)
                return
            steps = await self.check(hand.name)
            must(verdict.accepted == may, f"a renewal is accepted while the claim lasts, and not else: {verdict}")
            must((("renew", hand.id) in steps) <= may, "a refused renewal changes nothing")
            must(not may or self.was[hand.id].lease_until == self.world.time + LEASE, "a renewed lease is a whole one")

    async def complete(self, nth: int, thief: int | None = None) -> None:
        """Somebody says that a task is done: whoever was given that claim once, or a *thief* who never was."""
        if hand := self.hand(nth):
            name = hand.name if thief is None else self.workers[thief].name
            old, result = self.was[hand.id], f"by {name} with {hand.fence}"
            pool = self.workers[hand.worker].pool
            mine = (old.owner, old.fence) == (name, hand.fence)
            try:
                verdict = await pool.complete(hand.id, name, hand.fence, result)
            except StoreError:
                steps = await self.check(name)
                self.accepted[hand.id] += ("complete", hand.id) in steps
                return
            steps = await self.check(name)
            done = old.state == "done" and mine
            must(verdict.accepted == (mine and old.state in ("claimed", "done")), f"(4) who may complete: {verdict}")
            must(verdict.already == done, f"(4) what was accepted before is already: {verdict}")
            self.accepted[hand.id] += verdict.accepted and not verdict.already
            must(self.accepted[hand.id] <= 1, "(4) one completion of a task is accepted")
            must((("complete", hand.id) in steps) == (verdict.accepted and not done), "(4) what is accepted is stored")
            if not verdict.accepted:
                told = [(r["task"], r["worker"], r["fence"]) for r in await pool.refusals()]
                must((hand.id, name, hand.fence) in told, "a refused completion is recorded")

    async def release(self, nth: int, graceful: bool) -> None:
        if hand := self.hand(nth):
            old = self.was[hand.id]
            may = self.holds(hand, old)
            pool = self.workers[hand.worker].pool
            try:
                verdict = await pool.release(hand.id, hand.name, hand.fence, "no luck", graceful=graceful)
            except StoreError:
                steps = await self.check(hand.name)
            else:
                steps = await self.check(hand.name)
                must(verdict.accepted == may, f"who has a task may give it back, and nobody else: {verdict}")
            if ("release", hand.id) in steps:
                self.spared[hand.id] += graceful
                charged = self.was[hand.id].attempts == old.attempts
                must(charged != graceful, "(7) an attempt counts unless it was given back without blame")

    # -- what is true ---------------------------------------------------------

    def hand(self, nth: int) -> Hand | None:
        return self.hands[-1 - nth % len(self.hands)] if self.hands else None

    def holds(self, hand: Hand, task: Task) -> bool:
        return task.state == "claimed" and (task.owner, task.fence) == (hand.name, hand.fence)

    def lasts(self, task: Task) -> bool:
        return task.state == "claimed" and (task.lease_until or 0) > self.world.time

    def is_open(self, task: Task, who: Worker) -> bool:
        """Whether *who* could be given *task*."""
        return (
            (task.state == "ready" or (task.state == "claimed" and not self.lasts(task)))
            and task.attempts < ATTEMPTS
            and all(self.was[id].state == "done" for id in task.item.after)
            and set(task.item.needs) <= who.abilities
        )

    async def check(self, actor: str) -> set[tuple[str, str]]:
        """What *actor* has changed, as (step, id); everything must have been legal."""
        now, steps = await self.tasks(), set()
        must(set(now) == set(self.was), "(5) tasks neither come nor go")
        for id in sorted(now, key=lambda id: now[id].state != "dead"):  # the dead first: others die of them
            if now[id] != self.was[id]:
                steps.add((self.step(self.was[id], now[id], actor, now), id))
        self.was = now
        return steps

    def step(self, old: Task, new: Task, actor: str, all_now: dict[str, Task]) -> str:
        """The name of the step from *old* to *new*. Raises: Broken: there is no such step."""
        must((old.item, old.order) == (new.item, new.order), "(5) what a task says never changes")
        must(old.state not in ("done", "dead"), f"(3, 5) what has ended stays as it is: {old} -> {new}")
        free = old.state == "ready" or not self.lasts(old)
        own = old.state == "claimed" and old.owner == actor
        if new.state == "claimed" and new.fence != old.fence:
            must(free, f"(2) {actor} took {old.id} while the lease of {old.owner} lasts")
            must(new.owner == actor and new.fence == old.fence + 1, f"(1) a claim has the next fence: {old} -> {new}")
            must(new.attempts == old.attempts + 1, "(7) a claim is an attempt")
            must(old.attempts < ATTEMPTS, "(7) a task is handed out only so often")
            must(new.lease_until == self.world.time + LEASE, "a lease is counted from the store's time")
            must(all(all_now[id].state == "done" for id in old.item.after), "what others wait for comes first")
            who = next(w for w in self.workers if w.name == actor)
            must(set(old.item.needs) <= who.abilities, "who claims a task has what it needs")
            self.given[old.id] += 1
            must(self.given[old.id] - self.spared[old.id] <= ATTEMPTS, "(7) a task is handed out only so often")
            return "claim"
        if new.state == "claimed":
            must(own and self.lasts(old), f"a lease goes on only while it lasts: {old} -> {new}")
            must(new == attrs.evolve(old, lease_until=new.lease_until), f"a renewal changes the lease: {old} -> {new}")
            return "renew"
        if new.state == "done":
            must(own and new.fence == old.fence, f"(4) only who has a task completes it: {old} -> {new} by {actor}")
            must(new.result == f"by {actor} with {old.fence}", "(5) a result is stored as it was given")
            return "complete"
        if new.state == "ready":
            must(own and new.owner is None and new.fence == old.fence, f"who has a task gives it back: {old} -> {new}")
            return "release"
        lost = any(all_now[id].state == "dead" for id in old.item.after)
        if own and old.attempts == ATTEMPTS and not free:
            return "release"  # the last one: dead at once
        must(free and (old.attempts >= ATTEMPTS or (lost and old.state == "ready")), f"nothing to die of: {old}")
        return "release" if own and self.lasts(old) else "bury"

    async def settle(self) -> None:
        """Nothing goes wrong any more: every task ends, and the copies say what the tasks do."""
        self.world.lost, self.world.between = 0, None
        for _ in range(len(TASKS) * (ATTEMPTS + 1) + 1):
            self.world.time = 1 + max([self.world.time, *(task.lease_until or 0 for task in self.was.values())])
            for worker in range(len(self.workers)):
                before = len(self.hands)
                await self.claim(worker)
                if len(self.hands) > before:
                    await self.complete(0)
        view = await self.workers[0].pool.look()
        await self.check("")
        must(all(task.ended for task in self.was.values()), f"(6) every task ends: {self.was}")
        must({task.id: task for task in view.tasks} == self.was, "what is shown is what there is")
        shelf = await self.world.store.list("teams:model:completed:")
        copies = {item.key.rpartition(":")[2]: item.value["result"] for item in shelf}
        must(copies == {t.id: t.result for t in self.was.values() if t.state == "done"}, "copies say what tasks do")


TASKS_BY_ID = {item.id: item for item in TASKS}


async def walk(machine: Machine, seed: object, steps: int = 60) -> None:
    """
    *steps* actions drawn from *seed*, and then the end.

    Raises:
        Broken: something that must be true is not.
    """
    dice = random.Random(str(seed))  # noqa: S311 -- what broke shall break again
    workers = len(machine.workers)
    await machine.begin()
    for _ in range(steps):
        one, nth = dice.randrange(workers), min(int(dice.expovariate(0.7)), 9)
        match dice.choices(range(10), (30, 6, 12, 4, 10, 12, 4, 8, 5, 6))[0]:
            case 0:
                await machine.claim(one)
            case 1:
                await machine.claim(one, dice.choice(TASKS).id)
            case 2:
                await machine.tick(dice.choice([0.5, 3.0, LEASE, LEASE + 1]))
            case 3:
                await machine.tick(-dice.choice([1.0, LEASE, 100.0]))
            case 4:
                await machine.renew(nth)
            case 5:
                await machine.complete(nth)
            case 6:
                await machine.complete(nth, thief=one)
            case 7:
                await machine.release(nth, dice.random() < 0.3)
            case 8:
                await (machine.restart(one) if dice.random() < 0.4 else machine.lose(dice.choice([1, 1, 2])))
            case 9:
                await machine.race(one, dice.randrange(workers))
    await machine.settle()
