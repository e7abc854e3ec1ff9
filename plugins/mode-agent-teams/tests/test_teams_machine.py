"""The pool as a state machine: any sequence of actions keeps the invariants, and each seeded mutant breaks one."""

from __future__ import annotations

import asyncio

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from cloudllm_mode_agent_teams import Pool, rules
from cloudllm_mode_agent_teams.machine import LEASE, TASKS, Broken, Machine, walk
from cloudllm_mode_agent_teams.rules import Verdict
from cloudllm_mode_agent_teams.world import Seen
from cloudllm_store_memory import MemoryStore

WORKERS = st.integers(0, 3)
NTH = st.integers(0, 7)


class PoolMachine(RuleBasedStateMachine):
    """Any actions, in any order; `Machine` says what must be true."""

    @initialize()
    def begin(self):
        self.machine = Machine(MemoryStore())
        self.do(self.machine.begin())

    def do(self, action):
        """Nothing here waits, so a coroutine can be stepped without a loop."""
        with pytest.raises(StopIteration):
            action.send(None)

    @rule(worker=WORKERS)
    def claim(self, worker):
        self.do(self.machine.claim(worker))

    @rule(worker=WORKERS, id=st.sampled_from([task.id for task in TASKS]))
    def claim_one(self, worker, id):
        self.do(self.machine.claim(worker, id))

    @rule(seconds=st.sampled_from([0.5, LEASE / 3, LEASE, LEASE + 1]))
    def tick(self, seconds):
        self.do(self.machine.tick(seconds))

    @rule(seconds=st.sampled_from([1.0, LEASE, 100.0]))
    def the_clock_is_put_back(self, seconds):
        self.do(self.machine.tick(-seconds))

    @rule(nth=NTH)
    def renew(self, nth):
        self.do(self.machine.renew(nth))

    @rule(nth=NTH)
    def complete(self, nth):
        self.do(self.machine.complete(nth))

    @rule(nth=NTH, thief=WORKERS)
    def complete_for_another(self, nth, thief):
        self.do(self.machine.complete(nth, thief))

    @rule(nth=NTH, graceful=st.booleans())
    def release(self, nth, graceful):
        self.do(self.machine.release(nth, graceful))

    @rule(worker=WORKERS)
    def crash_and_restart(self, worker):
        self.do(self.machine.restart(worker))

    @rule(answers=st.integers(1, 2))
    def lose(self, answers):
        self.do(self.machine.lose(answers))

    @rule(worker=WORKERS, other=WORKERS)
    def race(self, worker, other):
        self.do(self.machine.race(worker, other))

    def teardown(self):
        if hasattr(self, "machine"):
            self.do(self.machine.settle())


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(
    max_examples=300, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class TestPoolMachineForLong(PoolMachine.TestCase):
    """The same, for long."""

    pytestmark = pytest.mark.soak
    settings = settings(
        max_examples=5_000, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


# -- mutants ------------------------------------------------------------------
# Each is the pool, its rules or its store with one mistake in it.

RULES = {name: getattr(rules, name) for name in dir(rules)}


def rule_of(name):
    """A mutant of the function *name* of the rules."""

    def mark(fn):
        fn.replaces = name
        return fn

    return mark


@rule_of("not_yours")
def anybody_with_the_fence_may(task, worker, fence):
    return RULES["not_yours"](task, task.owner, fence) if task.state == "claimed" else "no"


@rule_of("not_yours")
def fences_are_not_checked(task, worker, fence):
    return None if task.state == "claimed" and task.owner == worker else "no"


@rule_of("free")
def live_leases_are_taken(task, now):
    return task.state in ("ready", "claimed")


@rule_of("free")
def expiry_is_not_looked_at(task, now):
    return task.state == "ready"


@rule_of("free")
def what_is_done_is_free(task, now):
    return task.state in ("ready", "done") or RULES["expired"](task, now)


@rule_of("claimed")
def the_fence_stays(task, worker, now, lease):
    return attrs.evolve(RULES["claimed"](task, worker, now, lease), fence=max(task.fence, 1))


@rule_of("claimed")
def attempts_are_not_counted(task, worker, now, lease):
    return attrs.evolve(RULES["claimed"](task, worker, now, lease), attempts=task.attempts)


@rule_of("released")
def a_release_is_never_charged(task, worker, fence, attempts, why, graceful):
    return RULES["released"](task, worker, fence, attempts, why, True)


@rule_of("worn_out")
def nothing_is_ever_worn_out(task, now, attempts):
    return False


@rule_of("renewed")
def a_lease_is_renewed_after_its_end(task, worker, fence, now, lease):
    reason = RULES["not_yours"](task, worker, fence)
    return Verdict(task, reason) if reason else Verdict(attrs.evolve(task, lease_until=now + lease))


@rule_of("renewed")
def renewals_add_nothing(task, worker, fence, now, lease):
    verdict = RULES["renewed"](task, worker, fence, now, lease)
    return Verdict(attrs.evolve(verdict.task, lease_until=task.lease_until), verdict.reason)


@rule_of("completed")
def late_work_is_refused(task, worker, fence, result):
    late = task.state == "ready" or task.fence != fence
    return Verdict(task, "late") if late or task.state != "claimed" else RULES["completed"](task, worker, fence, result)


@rule_of("completed")
def a_second_completion_replaces_the_first(task, worker, fence, result):
    return Verdict(attrs.evolve(task, state="done", owner=worker, fence=fence, lease_until=None, result=result))


@rule_of("open_to")
def nobody_waits(task, done, abilities, now):
    return RULES["free"](task, now) and all(need in abilities for need in task.item.needs)


@rule_of("open_to")
def anybody_can_do_anything(task, done, abilities, now):
    return RULES["free"](task, now) and all(id in done for id in task.item.after)


@rule_of("doomed")
def who_waits_for_the_dead_waits_for_ever(tasks, now, attempts):
    return {t.id: "worn out" for t in tasks if RULES["worn_out"](t, now, attempts)}


class ByTheWorkersClock(Seen):
    async def now(self):
        return self.world.time + self.skew


class ForgetsOps(Seen):
    async def compare_and_set(self, key, expected, value, op="", ttl=None):
        return await super().compare_and_set(key, expected, value, "", ttl)


class NeverCompares(Seen):
    async def compare_and_set(self, key, expected, value, op="", ttl=None):
        await super().compare_and_set(key, expected, value, op, ttl)
        return await self.world.store.put(key, value, ttl)


class SaysYesToRenewalsAndDoesNothing(Seen):
    async def compare_and_set(self, key, expected, value, op="", ttl=None):
        there = await self.get(key)
        if there is not None and there.value["state"] == value["state"] == "claimed":
            return there
        return await super().compare_and_set(key, expected, value, op, ttl)


class AnyOpWillDo(Seen):
    async def compare_and_set(self, key, expected, value, op="", ttl=None):
        return await super().compare_and_set(key, expected, value, op and "op", ttl)


class SharesOpsAmongWorkers(Pool):
    def _op(self, verb, worker, fence, version):
        return f"{verb}:{fence}:{version}"


class RenewalsShareAnOp(Pool):
    def _op(self, verb, worker, fence, version):
        return f"{verb}:{worker}:{fence}"


class AsksOnce(Pool):
    async def _set(self, task, version, op):
        await self.store.compare_and_set(self.key(task.id), version, task.to_json(), op)
        return True


class DoesNotRecordRefusals(Pool):
    async def refusals(self):
        return ()


class WritesNoCopies(Pool):
    def __init__(self, *args):
        super().__init__(*args)
        self.copies = NoCopies()


class NoCopies:
    async def follow(self, before, after):
        pass

    async def mend(self, found, tasks):
        pass


MUTANTS = [
    *(mutant for mutant in list(globals().values()) if hasattr(mutant, "replaces")),
    ByTheWorkersClock, ForgetsOps, NeverCompares, SaysYesToRenewalsAndDoesNothing, AnyOpWillDo,
    SharesOpsAmongWorkers, RenewalsShareAnOp, AsksOnce, DoesNotRecordRefusals, WritesNoCopies,
]  # fmt: skip
BUDGET = 300
"""Walks until a mutant must have been caught."""


def machine(mutant):
    if hasattr(mutant, "replaces"):
        return Machine(MemoryStore())
    return Machine(MemoryStore(), **{"make" if issubclass(mutant, Pool) else "seen": mutant})


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutants_are_caught(mutant, monkeypatch):
    """A pool with this one mistake breaks an invariant, within a few seeded walks."""
    if name := getattr(mutant, "replaces", None):
        monkeypatch.setattr(rules, name, mutant)

    async def main():
        for seed in range(BUDGET):
            await walk(machine(mutant), seed)

    with pytest.raises(Broken):
        asyncio.run(main())


@pytest.mark.parametrize("seed", range(25))
def test_seeded_walks(seed):
    """The walks that catch the mutants find nothing wrong with the pool as it is."""
    asyncio.run(walk(Machine(MemoryStore()), f"sound {seed}"))
