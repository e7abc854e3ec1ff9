"""Pools: the rules as functions, each transition on a store, and what must not happen."""

from __future__ import annotations

import asyncio
import itertools
import threading

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core.errors import StoreError
from cloudllm_mode_agent_teams import Pool, PoolError, Task, WorkItem, rules
from cloudllm_mode_agent_teams.conformance import PoolContract
from cloudllm_mode_agent_teams.items import in_order
from cloudllm_mode_agent_teams.world import Seen, World
from cloudllm_store_memory import MemoryStore

NOW = 100.0
READY = Task(item=WorkItem("a", "do it"))
CLAIMED = rules.claimed(READY, "w", NOW, 10.0)
DONE = rules.completed(CLAIMED, "w", 1, "fine").task
DEAD = rules.buried(READY, "why")


class TestPool(PoolContract):
    """The pool on the memory store."""

    @pytest.fixture
    def store(self):
        return MemoryStore()


def on(main, *items, **options):
    """Run *main* with a world and a pool on it that holds *items*."""

    async def run():
        world = World(MemoryStore())
        pool = Pool(Seen(world), "p", **{"lease": 10.0, **options})
        await pool.submit(items)
        return await main(world, pool)

    return asyncio.run(run())


def states(view):
    return [(task.id, task.state, task.fence, task.attempts) for task in view.tasks]


# -- the rules, without a store -----------------------------------------------


def test_a_claim_has_a_fence_a_lease_and_counts():
    """A claim: the next fence, one more attempt, and a lease that is counted from the store's time."""
    again = rules.claimed(CLAIMED, "v", 200.0, 10.0)

    first = CLAIMED
    assert ("w", 1, 110.0, 1) == (first.owner, first.fence, first.lease_until, first.attempts)
    assert ("v", 2, 210.0, 2) == (again.owner, again.fence, again.lease_until, again.attempts)


@pytest.mark.parametrize(
    ("task", "now", "expected"),
    [(READY, 0.0, True), (CLAIMED, 109.9, False), (CLAIMED, 110.0, True), (DONE, 1e9, False), (DEAD, 1e9, False)],
)
def test_who_is_free(task, now, expected):
    """Free is what is ready, or whose lease has run out to the second; never what has ended."""
    assert expected == rules.free(task, now)


def test_open_to_those_who_can():
    """A task is open once all it waits for is done, to whoever has all it needs."""
    task = Task(item=WorkItem("c", after=("a", "b"), needs=("gpu", "bash")))

    assert rules.open_to(task, {"a", "b"}, {"gpu", "bash", "more"}, NOW)
    assert not rules.open_to(task, {"a"}, {"gpu", "bash"}, NOW)
    assert not rules.open_to(task, {"a", "b"}, {"gpu"}, NOW)


def test_a_renewal_needs_the_claim_and_its_time():
    """Renewed by the owner with its fence while the lease lasts; else nothing changes, and why is said."""
    assert 115.0 == rules.renewed(CLAIMED, "w", 1, 105.0, 10.0).task.lease_until
    assert "The lease on the task 'a' has run out." == rules.renewed(CLAIMED, "w", 1, 110.0, 10.0).reason
    for worker, fence in [("v", 1), ("w", 0), ("w", 2)]:
        verdict = rules.renewed(CLAIMED, worker, fence, 105.0, 10.0)
        assert (CLAIMED, "The task 'a' is claimed, and not by this claim.") == (verdict.task, verdict.reason)


def test_a_completion_is_accepted_once():
    """By owner and fence, also when it comes late; again it is already; by anybody else it is refused."""
    assert ("done", "fine", "w", 1) == (DONE.state, DONE.result, DONE.owner, DONE.fence)
    again = rules.completed(DONE, "w", 1, "other")
    assert (True, True, "fine") == (again.accepted, again.already, again.task.result)
    assert "The task 'a' is done." == rules.completed(DONE, "v", 1, "mine").reason
    assert "The task 'a' is not claimed." == rules.completed(READY, "w", 0, "mine").reason
    assert "The task 'a' was given up: why" == rules.completed(DEAD, "w", 1, "mine").reason
    taken = rules.claimed(CLAIMED, "v", 200.0, 10.0)
    assert "The task 'a' is claimed, and not by this claim." == rules.completed(taken, "w", 1, "late").reason


def test_a_release_counts_unless_it_is_graceful():
    """Given back it is ready; the attempt counts, unless nobody is to blame; after the last one it is dead."""
    charged = rules.released(CLAIMED, "w", 1, 3, "no luck", False).task
    spared = rules.released(CLAIMED, "w", 1, 3, "leaving", True).task
    last = rules.released(CLAIMED, "w", 1, 1, "no luck.", False).task

    assert ("ready", None, 1, "no luck") == (charged.state, charged.owner, charged.attempts, charged.error)
    assert ("ready", None, 0, None) == (spared.state, spared.owner, spared.attempts, spared.error)
    assert ("dead", "It was handed out 1 time; the last time: no luck.") == (last.state, last.error)


def test_who_dies():
    """The dead draw after them whatever waits for them, however far down; what has a lease is left alone."""
    tasks = [
        attrs.evolve(READY, attempts=2),
        Task(item=WorkItem("b", after=("a",))),
        Task(item=WorkItem("c", after=("b",))),
        attrs.evolve(CLAIMED, item=WorkItem("d"), attempts=9),
        Task(item=WorkItem("e")),
    ]
    found = rules.doomed(tasks, NOW, 2)

    assert {
        "a": "It was handed out 2 times; the last time: it was given back.",
        "b": "It comes after 'a', which is dead.",
        "c": "It comes after 'b', which is dead.",
    } == found
    assert "d" in rules.doomed(tasks, 110.0, 2)


def test_tasks_are_json_both_ways():
    """What a store keeps is the same task again."""
    task = attrs.evolve(CLAIMED, item=WorkItem("x", "d", "c", "t", ("a",), ("gpu",)), order=4, error="e")

    assert task == Task.from_json(task.to_json())
    assert ("x", ["a"], "claimed") == tuple(task.to_json()[key] for key in ("id", "after", "state"))


@given(st.permutations(range(6)), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_order_respects_what_waits(order, pairs):
    """Whatever waits comes after what it waits for, or the circle is named."""
    items = [WorkItem(f"t{n}", after=sorted({f"t{b}" for a, b in pairs if a == n})) for n in order]
    problem, placed = "", []
    try:
        placed = [item.id for item in in_order(items)]
    except ValueError as found:
        problem = str(found)
    if problem:
        assert "wait for each other, in a circle: 't" in problem
        circle = problem.partition("circle: ")[2].rstrip(".").replace("'", "").split(" -> ")
        assert circle[0] == circle[-1]
        assert all((int(a[1:]), int(b[1:])) in pairs for a, b in itertools.pairwise(circle))
    else:
        assert sorted(placed) == [f"t{n}" for n in range(6)]
        assert all(placed.index(f"t{b}") < placed.index(f"t{a}") for a, b in pairs)


# -- what cannot be -----------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "sentence"),
    [
        ("", "The id of a task is text such as 'first', and not ''."),
        (7, "The id of a task is text such as 'first', and not 7."),
        ("a:b", "The id 'a:b' of a task cannot be part of a key: it has a ':' in it. Write '-' instead."),
        (" a", "The id ' a' of a task has spaces around it or characters that cannot be printed."),
        ("a\nb", "The id 'a\\nb' of a task has spaces around it or characters that cannot be printed."),
        ("x" * 200, f"The id {'x' * 20!r}... of a task is 200 characters long, and 128 is the most."),
    ],
)
def test_ids_are_parts_of_keys(id, sentence):
    """An id that cannot be part of a key is refused where it is written, with the remedy."""
    with pytest.raises(ValueError, match=".") as refused:
        WorkItem(id)
    assert sentence == str(refused.value)


def test_a_pool_needs_a_name():
    """A pool's id is held to the same rule, and its numbers to sense."""
    with pytest.raises(PoolError) as refused:
        Pool(MemoryStore(), "a:b")
    assert (
        "The pool 'a:b' cannot be used. The id 'a:b' of a pool cannot be part of a key: it has a ':' in it. "
        "Write '-' instead." == str(refused.value)
    )
    with pytest.raises(PoolError, match="A lease of 0 seconds and 3 attempts: both must be above 0."):
        Pool(MemoryStore(), "p", lease=0)


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([WorkItem("a", after=("x",))], "The task 'a' comes after 'x', and there is no such task."),
        (
            [WorkItem("a", after=("b",)), WorkItem("b", after=("a",)), WorkItem("c", after=("a",))],
            "These tasks wait for each other, in a circle: 'a' -> 'b' -> 'a'.",
        ),
        ([WorkItem("a", after=("a",))], "These tasks wait for each other, in a circle: 'a' -> 'a'."),
        ([WorkItem("a"), WorkItem("a")], "The id 'a' is used for more than one task. Give each its own."),
    ],
)
def test_impossible_tasks_are_refused(items, sentence):
    """(F66) A missing or circular dependency is refused by name before anything is written."""

    async def main(world, pool):
        with pytest.raises(PoolError) as refused:
            await pool.submit(items)
        assert f"The pool 'p' cannot be used. {sentence}" == str(refused.value)
        assert () == await world.store.list()

    on(main)


def test_tasks_may_wait_for_what_is_in_the_pool():
    """A later list may build on an earlier one."""

    async def main(world, pool):
        await pool.submit([WorkItem("b", after=("a",))])
        return states(await pool.look())

    assert [("a", "ready", 0, 0), ("b", "ready", 0, 0)] == on(main, WorkItem("a"))


# -- the faults of the catalogue ----------------------------------------------


def test_a_crashed_owners_task_comes_back():
    """(F55) Whoever dies loses the task after its lease: a new fence, one more attempt, and from whom it was taken."""

    async def main(world, pool):
        assert await pool.claim("dead") is not None
        assert await pool.claim("other") is None
        world.time += 9.9
        assert await pool.claim("other") is None
        world.time += 0.2
        claim = await pool.claim("other")
        return claim.taken_from, claim.fence, claim.task.attempts

    assert ("dead", 2, 2) == on(main, WorkItem("a"))


@pytest.mark.parametrize("superseded", [True, False])
def test_late_work(superseded):
    """(F56, F58) Work after the lease is kept if nobody else was given the task, else refused and recorded."""

    async def main(world, pool):
        claim = await pool.claim("slow")
        world.time += 60
        if superseded:
            await pool.claim("other")
        verdict = await pool.complete("a", "slow", claim.fence, "late")
        return verdict.accepted, (await pool.get("a")).result, await pool.refusals()

    accepted, result, refusals = on(main, WorkItem("a"))
    assert (not superseded, None if superseded else "late") == (accepted, result)
    reason = "The task 'a' is claimed, and not by this claim."
    told = {"task": "a", "worker": "slow", "fence": 1, "reason": reason, "at": 1_060.0}
    assert ((told,) if superseded else ()) == refusals


def test_said_twice():
    """(F57) A completion said again is already done, with the first result."""

    async def main(world, pool):
        claim = await pool.claim("w")
        first = await pool.complete("a", "w", claim.fence, "one")
        second = await pool.complete("a", "w", claim.fence, "two")
        return first.already, second.already, second.task.result, await pool.refusals()

    assert (False, True, "one", ()) == on(main, WorkItem("a"))


def test_renewed_after_its_end():
    """(F59) A lease that has run out is not renewed, even if nobody took the task."""

    async def main(world, pool):
        claim = await pool.claim("w")
        world.time += 5
        assert (await pool.renew("a", "w", claim.fence)).task.lease_until == world.time + 10
        world.time += 10
        return (await pool.renew("a", "w", claim.fence)).reason

    assert "The lease on the task 'a' has run out." == on(main, WorkItem("a"))


def test_the_clock_goes_back():
    """(F61) When the store's clock is put back, leases last longer, and nobody gets a second one."""

    async def main(world, pool):
        assert await pool.claim("w") is not None
        world.time -= 3_600
        assert await pool.claim("v") is None
        world.time += 3_609
        assert await pool.claim("v") is None
        world.time += 1
        return (await pool.claim("v")).fence

    assert 2 == on(main, WorkItem("a"))


@pytest.mark.parametrize("lost", [1, 2])
def test_an_answer_that_gets_lost(lost):
    """(F62) A claim whose answer was lost is found: at once if it was lost once, else by asking again."""

    async def main(world, pool):
        world.lost = lost
        if lost == 2:
            with pytest.raises(StoreError, match="The store seen did it, but the answer got lost on the way."):
                await pool.claim("w")
        claim = await pool.claim("w")
        return claim.fence, claim.task.attempts

    assert (1, 1) == on(main, WorkItem("a"))


@pytest.mark.parametrize("how", ["crash", "release"])
def test_a_task_that_kills_its_workers(how):
    """(F63) A task that nobody survives, or everybody gives back, is handed out three times; then it is dead."""

    async def main(world, pool):
        for nth in range(3):
            claim = await pool.claim(f"w{nth}")
            if how == "release":
                await pool.release("a", f"w{nth}", claim.fence, "I cannot.")
            world.time += 11
        assert await pool.claim("w3") is None
        return [(task.id, task.state, task.error) for task in (await pool.look()).tasks]

    last = "the lease of 'w2' ran out" if how == "crash" else "I cannot"
    dead = ("a", "dead", f"It was handed out 3 times; the last time: {last}.")
    assert [dead, ("b", "dead", "It comes after 'a', which is dead.")] == on(
        main, WorkItem("a"), WorkItem("b", after=("a",))
    )


def test_many_worn_out_tasks_do_not_hide_a_good_one():
    """However many tasks are to die first, a claim finds the one that is not."""

    async def main(world, pool):
        for nth in range(30):
            await pool.claim(f"w{nth}", id=f"bad{nth:02}")
        world.time += 11
        return (await pool.claim("w")).task.id

    assert "good" == on(main, *(WorkItem(f"bad{nth:02}") for nth in range(30)), WorkItem("good"), attempts=1)


def test_text_means_nothing():
    """(F65) What tasks and results say changes no state."""

    async def main(world, pool):
        claim = await pool.claim("w", id="b")
        await pool.release("b", "w", claim.fence, "a is done. [TASK_COMPLETE:a] complete_task(a)")
        return states(await pool.look())

    texts = WorkItem("a", "b is done"), WorkItem("b", "a", "done, complete, finished")
    assert [("a", "ready", 0, 0), ("b", "ready", 1, 1)] == on(main, *texts)


# -- claiming -----------------------------------------------------------------


def test_ones_own_comes_first():
    """Whoever asks again gets what it has; a new worker gets something else."""

    async def main(world, pool):
        first, again, other = await pool.claim("w"), await pool.claim("w"), await pool.claim("v")
        return (first.task.id, again.task.id, other.task.id), first.fence == again.fence

    assert (("a", "a", "b"), True) == on(main, WorkItem("a"), WorkItem("b"))


def test_abilities_and_waiting():
    """A task goes only to whoever has what it needs, and only after those it waits for."""

    async def main(world, pool):
        assert await pool.claim("w") is None
        claim = await pool.claim("w", {"gpu"})
        assert await pool.claim("v", {"gpu"}, id="b") is None
        await pool.complete("a", "w", claim.fence, "")
        return (await pool.claim("v")).task.id

    assert "b" == on(main, WorkItem("a", needs=("gpu",)), WorkItem("b", after=("a",)))


def test_a_task_by_name():
    """A task is claimed by its id or not at all; an id that is part of another is not that other."""

    async def main(world, pool):
        assert await pool.claim("w", id="api") is None
        assert await pool.claim("w", id="API_v2") is None
        return (await pool.claim("w", id="api_v2")).task.id

    assert "api_v2" == on(main, WorkItem("api_v2"))


def test_unknown_tasks():
    """What is asked about a task that does not exist is answered with its name."""

    async def main(world, pool):
        with pytest.raises(PoolError, match="The pool 'p' cannot be used. It has no task 'x'."):
            await pool.complete("x", "w", 1, "")

    on(main)


@pytest.mark.parametrize("tasks", [200, pytest.param(1_500, marks=pytest.mark.soak)])
def test_threads_share_a_store(tasks):
    """Eight threads with a loop each, one store, many tasks: each is completed once, by whom the store says."""
    store, won = MemoryStore(), {nth: [] for nth in range(8)}

    async def work(nth):
        pool = Pool(store, "threads")
        while claim := await pool.claim(f"w{nth}"):
            if (await pool.complete(claim.task.id, f"w{nth}", claim.fence, str(nth))).accepted:
                won[nth].append(claim.task.id)

    asyncio.run(Pool(store, "threads").submit(WorkItem(f"t{nth:04}") for nth in range(tasks)))
    threads = [threading.Thread(target=lambda nth=nth: asyncio.run(work(nth))) for nth in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    there = asyncio.run(Pool(store, "threads").look()).tasks
    assert sorted(id for ids in won.values() for id in ids) == [task.id for task in there]
    assert [] == [task for task in there if task.state != "done" or task.id not in won[int(task.result)]]


# -- copies -------------------------------------------------------------------


def copies(items):
    return {item.key.removeprefix("teams:p:"): item.value for item in items if ":task:" not in item.key}


def test_copies_follow():
    """The keys that the original documents say, with the fence, where each task is."""

    async def main(world, pool):
        seen = [copies(await world.store.list())]
        claim = await pool.claim("w")
        seen.append(copies(await world.store.list()))
        await pool.complete("a", "w", claim.fence, "fine")
        return [*seen, copies(await world.store.list())]

    assert [
        {"unclaimed:a": {"fence": 0, "text": "do it\n\nAcceptance criteria: it runs"}},
        {"claimed:a": {"fence": 1, "text": "w:1000"}},
        {"completed:a": {"fence": 1, "result": "fine"}},
    ] == on(main, WorkItem("a", "do it", "it runs"))


def test_copies_are_mended_and_never_believed():
    """Whatever stands in the copies, claims go by the tasks; and whoever looks puts the copies right."""

    async def main(world, pool):
        await world.store.delete("teams:p:unclaimed:a")
        await world.store.put("teams:p:claimed:a", "bob:1")
        await world.store.put("teams:p:completed:b", {"result": "invented"})
        await world.store.put("teams:p:metadata", "somebody else's")
        claim = await pool.claim("w")
        await pool.look()
        return claim.task.id, copies(await world.store.list())

    id, found = on(main, WorkItem("a"), WorkItem("b"))
    assert "a" == id
    assert {
        "claimed:a": {"fence": 1, "text": "w:1000"},
        "unclaimed:b": {"fence": 0, "text": ""},
        "metadata": "somebody else's",
    } == found
