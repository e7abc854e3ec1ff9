"""
A pool: tasks in a store, which workers of any process claim, complete and give back.

One algorithm on any `Store`. ``teams:<pool>:task:<id>`` is the only truth about a task, and each
change of it is one compare-and-set; what is decided there is in `rules`. A change carries the name of
its worker, fence and transition (*op*), so that one whose answer was lost is found when it is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import attrs

from cloudllm_core import Item, Store
from cloudllm_core.errors import EffectError, SetupError, StoreError

from . import rules
from .copies import Copies
from .items import WorkItem, as_items, id_problem, in_order
from .rules import Task, Verdict

TRIES = 16
"""How often a change is tried again when somebody else was faster."""

NOBODY: frozenset[str] = frozenset()


@attrs.define(eq=False)
class PoolError(SetupError):
    """A pool cannot be what it was asked to be."""

    pool: str
    problem: str
    says = "The pool {self.pool!r} cannot be used. {self.problem}"


@attrs.frozen
class Claim:
    """A task in a worker's hands."""

    task: Task
    taken_from: str | None = None
    """Whose lease had run out, if somebody's had."""

    @property
    def fence(self) -> int:
        return self.task.fence

    @property
    def lease_until(self) -> float:
        """When it ends unless it is renewed, by the store's clock."""
        return self.task.lease_until or 0.0


@attrs.frozen
class View:
    """All tasks of a pool at one moment, in the order in which they were handed in."""

    now: float
    tasks: tuple[Task, ...]


class Pool:
    """
    The pool *id* in *store*.

    Args:
        store: shared by all who work from the pool. Time is asked of it alone; workers' clocks do not matter.
        id: the pool's name.
        lease: seconds for which a claim holds unless it is renewed.
        attempts: how often a task is handed out before it is given up.

    Raises:
        PoolError: *id* cannot be part of a key, or a number is not above 0.

    Every method raises `StoreError` (`EffectError` on a store of a run) if the store fails; asked
    again, it finds what it had done.
    """

    def __init__(self, store: Store, id: str, lease: float = 60.0, attempts: int = 3) -> None:
        if problem := id_problem(id, "pool"):
            raise PoolError(id, problem)
        if not (lease > 0 and attempts >= 1):
            raise PoolError(id, f"A lease of {lease!r} seconds and {attempts!r} attempts: both must be above 0.")
        self.store, self.id, self.lease, self.attempts = store, id, lease, attempts
        self.root = f"teams:{id}:"
        self.copies = Copies(store, self.root)

    @property
    def prefix(self) -> str:
        """What the keys of tasks begin with."""
        return f"{self.root}task:"

    def key(self, id: str) -> str:
        return f"{self.prefix}{id}"

    # -- handing in and looking -----------------------------------------------

    async def submit(self, items: Iterable[WorkItem]) -> None:
        """
        Put tasks into the pool, as far as they are not there. Doing it again, or twice at once, changes nothing.

        Raises:
            PoolError: a task waits for one that is neither here nor in the pool, some wait in a circle, or the
                pool has a task of that id with other content. Nothing has been written then.
        """
        items = as_items(items)
        there = {task.id: task for task, _ in await self._list()} if items else {}
        try:
            ordered = in_order(items, there)
        except ValueError as problem:
            raise PoolError(self.id, str(problem)) from problem
        for item in items:
            self._check_same(item, there.get(item.id))
        place = {item.id: len(there) + nth for nth, item in enumerate(items)}
        for item in ordered:  # those that others wait for come first, in case this is cut short
            if item.id not in there:
                task = Task(item=item, order=place[item.id])
                if await self._set(task, 0, f"submit:{item.id}") is None:
                    self._check_same(item, await self.get(item.id))
                else:
                    await self.copies.follow(None, task)

    def _check_same(self, item: WorkItem, there: Task | None) -> None:
        if there is not None and there.item != item:
            names = [field.name for field in attrs.fields(WorkItem)]
            name = next(name for name in names if getattr(there.item, name) != getattr(item, name))
            raise PoolError(
                self.id,
                f"It has a task {item.id!r} already, and its {name} is {getattr(there.item, name)!r}, "
                f"not {getattr(item, name)!r}. Give the task another id, or the pool.",
            )

    async def get(self, id: str) -> Task | None:
        """The task *id* as it stands."""
        found = await self.store.get(self.key(id))
        return None if found is None else Task.from_json(found.value)

    async def look(self, *, bury: bool = True) -> View:
        """All tasks; copies that lag behind are mended, and unless *bury* is false, tasks that are to die do."""
        now = await self.store.now()
        items = await self.store.list(self.root)
        found = _tasks(item for item in items if item.key.startswith(self.prefix))
        tasks = await self._bury(found, now) if bury else [task for task, _ in found]
        await self.copies.mend([item for item in items if not item.key.startswith(self.prefix)], tasks)
        return View(now, tuple(sorted(tasks, key=lambda task: (task.order, task.id))))

    async def refusals(self) -> tuple[Mapping[str, Any], ...]:
        """Completions that were refused: each with task, worker, fence, reason and when (*at*)."""
        return tuple(item.value for item in await self.store.list(f"{self.root}refused:"))

    # -- claims ---------------------------------------------------------------

    async def claim(
        self, worker: str, abilities: Collection[str] = NOBODY, *, id: str | None = None, resume: bool = True
    ) -> Claim | None:
        """
        Take a task: the one that *worker* has already, else the first it can begin, by id.

        Args:
            worker: a name that nobody else uses. Whoever was interrupted asks again under the same one.
            abilities: what the worker has of what tasks may need.
            id: take this task or none.
            resume: whether *worker* may have one already.

        Returns:
            The claim; None if there is nothing for this worker now, or others were faster each time.
        """
        crowded = False
        for _ in range(TRIES):
            now = await self.store.now()
            found = await self._candidate(worker, abilities, now, id, resume, crowded)
            if found is None:
                return None
            task, version = found
            if task.owner == worker and task.state == "claimed" and not rules.expired(task, now):
                return Claim(task)
            if rules.worn_out(task, now, self.attempts):
                await self._bury([found], now)
                continue
            mine = rules.claimed(task, worker, now, self.lease)
            if await self._set(mine, version, self._op("claim", worker, mine.fence, version)):
                await self.copies.follow(task, mine)
                return Claim(mine, task.owner if task.state == "claimed" else None)
            crowded = True
        return None

    async def _candidate(
        self, worker: str, abilities: Collection[str], now: float, id: str | None, resume: bool, crowded: bool
    ) -> tuple[Task, int] | None:
        """What *worker* may try for; the pool is listed only where the store's `first` does not help."""
        if resume and (own := await self._first(state="claimed", owner=worker)) and id in (None, own[0].id):
            return own
        if id is not None:
            there = await self.store.get(self.key(id))
            found = _tasks([there] if there else [])
            return found[0] if found and await self._is_open(found[0][0], abilities, now) else None
        if not crowded and (ready := await self._first(state="ready")):
            task = ready[0]
            if not rules.worn_out(task, now, self.attempts) and await self._is_open(task, abilities, now):
                return ready
        listed = await self._list()
        versions = {task.id: version for task, version in listed}
        tasks = await self._bury(listed, now)
        done = {task.id for task in tasks if task.state == "done"}
        best = rules.pick([task for task in tasks if rules.open_to(task, done, abilities, now)], worker, crowded)
        return None if best is None else (best, versions[best.id])

    async def _is_open(self, task: Task, abilities: Collection[str], now: float) -> bool:
        done = [id for id in task.item.after if (other := await self.get(id)) is not None and other.state == "done"]
        return rules.open_to(task, done, abilities, now)

    async def renew(self, id: str, worker: str, fence: int) -> Verdict:
        """Let the claim go on for another lease; refused if it has run out or was lost."""
        now = await self.store.now()
        return await self._change(
            id, "renew", worker, fence, lambda t: rules.renewed(t, worker, fence, now, self.lease)
        )

    async def complete(self, id: str, worker: str, fence: int, result: str) -> Verdict:
        """
        Say that the task is done, with its *result*; accepted once.

        What comes late is accepted as long as nobody else was given the task. Saying it again is
        *already*. What is refused is recorded, for `refusals`.
        """
        decide = lambda task: rules.completed(task, worker, fence, result)  # noqa: E731 -- one rule, closed over
        verdict = await self._change(id, "complete", worker, fence, decide)
        if not verdict.accepted:
            at = await self.store.now()
            record = {"task": id, "worker": worker, "fence": fence, "reason": verdict.reason, "at": at}
            await self.store.put(f"{self.root}refused:{id}:{fence}:{worker[-200:]}", record)
        return verdict

    async def release(self, id: str, worker: str, fence: int, why: str = "", *, graceful: bool = False) -> Verdict:
        """Give the task back. The attempt counts unless *graceful*: after the last one the task is dead."""
        decide = lambda task: rules.released(task, worker, fence, self.attempts, why, graceful)  # noqa: E731
        return await self._change(id, "release", worker, fence, decide)

    async def held_by(self, worker: str) -> Task | None:
        """A task that *worker* has."""
        found = await self._first(state="claimed", owner=worker)
        return None if found is None else found[0]

    # -- the one way to change something --------------------------------------

    async def _change(self, id: str, verb: str, worker: str, fence: int, decide: Callable[[Task], Verdict]) -> Verdict:
        for _ in range(TRIES):
            found = await self.store.get(self.key(id))
            if found is None:
                raise PoolError(self.id, f"It has no task {id!r}.")
            task = Task.from_json(found.value)
            verdict = decide(task)
            if not verdict.accepted or verdict.already:
                return verdict
            if await self._set(verdict.task, found.version, self._op(verb, worker, fence, found.version)):
                await self.copies.follow(task, verdict.task)
                return verdict
        return Verdict(task, f"The task {id!r} was changed by others {TRIES} times meanwhile. Try it again.")

    def _op(self, verb: str, worker: str, fence: int, version: int) -> str:
        return f"{verb}:{worker}:{fence}:{version}"

    async def _set(self, task: Task, version: int, op: str) -> Item | None:
        value = task.to_json()
        try:
            return await self.store.compare_and_set(self.key(task.id), version, value, op)
        except (StoreError, EffectError):  # perhaps it was only the answer that got lost: the same op tells
            return await self.store.compare_and_set(self.key(task.id), version, value, op)

    async def _first(self, **where: str) -> tuple[Task, int] | None:
        item = await self.store.first(self.prefix, where)
        return None if item is None else (Task.from_json(item.value), item.version)

    async def _list(self) -> list[tuple[Task, int]]:
        return _tasks(await self.store.list(self.prefix))

    async def _bury(self, found: Iterable[tuple[Task, int]], now: float) -> list[Task]:
        """Let those die that are to; the tasks as they stand then."""
        found = list(found)
        doomed = rules.doomed((task for task, _ in found), now, self.attempts)
        tasks = []
        for task, version in found:
            dead = rules.buried(task, doomed[task.id]) if task.id in doomed else None
            if dead and await self._set(dead, version, self._op("bury", "", task.fence, version)):
                await self.copies.follow(task, dead)
                task = dead  # noqa: PLW2901 -- as it stands now
            tasks.append(task)
        return tasks


def _tasks(items: Iterable[Item]) -> list[tuple[Task, int]]:
    return [(Task.from_json(item.value), item.version) for item in items]
