"""The mode: who is asked what, in which order, what is announced, and what is left behind."""

from __future__ import annotations

import asyncio
import json

import pytest

from cloudllm_core import Agent, Orchestration, Registry
from cloudllm_core.errors import Overloaded, SettingsError, StoreError
from cloudllm_core.events import AgentFailed, AgentSelected, Progress, RoundCompleted, RoundStarted
from cloudllm_core.testing import Faults, ScriptedProvider, call, rehearse, run_virtually, simulate, stage
from cloudllm_mode_agent_teams import (
    AgentTeams,
    AnthropicAgentTeams,
    CompletionRefused,
    LeaseExpired,
    Pool,
    TaskClaimed,
    TaskCompleted,
    TaskFailed,
    TaskGivenUp,
    TaskReleased,
    WorkItem,
)
from cloudllm_mode_agent_teams.world import Seen, World
from cloudllm_store_memory import MemoryStore

PLAN = WorkItem("plan", "Make a plan", "It has a date")
PAGE = WorkItem("page", "Write the page", after=("plan",))
OURS = (
    TaskClaimed, TaskCompleted, TaskFailed, TaskReleased, TaskGivenUp, LeaseExpired, CompletionRefused, Progress,
)  # fmt: skip
PLAN_IS_OPEN = "- [open] plan: Make a plan\n  Acceptance criteria: It has a date"
HOW = (
    "Claim a task with claim_task before you work on it. When its acceptance criteria are met, call complete_task with "
    "its id and the result; if you cannot do it, give it back with release_task. Only these calls count: "
    "what you write changes nothing."
)


def diligent(request):
    """Claims whatever there is, completes it, and says so."""
    last = request.messages[-1]
    if last.role == "user":
        return call("claim_task")
    told = last.tool_results[-1].content
    if told.startswith("The task is yours now."):
        return call("complete_task", id=told.partition("] ")[2].partition(":")[0].split("\n")[0], result="It is there.")
    return "I did what I could."


def worker(line=diligent, pause=0.0):
    class Steady(ScriptedProvider):
        async def complete(self, request):
            await asyncio.sleep(pause)
            return await super().complete(request)

    return Steady(line, repeat=True)


def play(mode, script, **options):
    return run_virtually(lambda loop: rehearse(mode, script, **options))


def told(records, *kinds):
    """The events of this mode, as tuples."""
    found = [record.event for record in records if isinstance(record.event, kinds or OURS)]
    return [(type(event).__name__, *(v for k, v in event.to_json().items() if k != "event")) for event in found]


def results(show, agent):
    """What *agent* read as results of its calls, in its last request."""
    messages = show.providers[agent].requests[-1].messages
    return [result.content for message in messages for result in message.tool_results]


def in_pool(store, pool="demo"):
    """States and owners of the tasks of a pool, by id."""
    items = asyncio.run(store.list(f"teams:{pool}:task:"))
    return {item.value["id"]: (item.value["state"], item.value["owner"]) for item in items}


# -- a run, exactly -----------------------------------------------------------


def test_one_agent_two_tasks():
    """Who is asked, with which words and tools, and what is announced, from the first record to the last."""
    show = play(AgentTeams("demo", [PLAN, PAGE]), {"ada": worker()}, prompt="Build it.")

    assert (True, 1.0, "completed", 1) == (
        show.result.complete, show.result.score, show.result.stop_reason, show.result.rounds,
    )  # fmt: skip
    assert [
        ("RoundStarted", 1),
        ("AgentSelected", "ada", "agent-teams, turn 1"),
        ("TaskClaimed", "ada", "plan", 1),
        ("TaskCompleted", "ada", "plan", "It is there."),
        ("Progress", 1, 2),
        ("AgentSelected", "ada", "agent-teams, turn 2"),
        ("TaskClaimed", "ada", "page", 1),
        ("TaskCompleted", "ada", "page", "It is there."),
        ("Progress", 2, 2),
        ("RoundCompleted", 1, True),
    ] == told(show.records, *OURS, AgentSelected, RoundStarted, RoundCompleted)
    requests = show.providers["ada"].requests
    assert {("list_tasks", "claim_task", "complete_task", "release_task")} == {
        tuple(tool.name for tool in request.tools) for request in requests
    }
    first, second = (requests[nth].messages[-1].parts for nth in (0, 3))
    assert [
        "Build it.",
        "The tasks as they stand (0 of 2 tasks are done):\n- [open] plan: Make a plan\n"
        "  Acceptance criteria: It has a date\n- [waits for plan] page: Write the page\n\nYou hold no task.\n" + HOW,
    ] == [part.text for part in first]
    assert [
        "Go on.",
        "The tasks as they stand (1 of 2 tasks are done):\n- [open] page: Write the page\n\nYou hold no task.\n" + HOW,
    ] == [part.text for part in second]
    assert [
        "The task is yours now.\n- [yours] plan: Make a plan\n  Acceptance criteria: It has a date",
        "The task 'plan' is done. 1 of 2 tasks are done.",
        "The task is yours now.\n- [yours] page: Write the page",
        "The task 'page' is done. 2 of 2 tasks are done.",
    ] == results(show, "ada")


def test_agents_work_at_once():
    """Two agents with two tasks are asked together, and each has one before either is done."""
    tasks = [WorkItem("a"), WorkItem("b")]
    show = play(AgentTeams("demo", tasks), {"ada": worker(pause=1.0), "bob": worker(pause=1.1)})

    assert ["ada", "bob"] == show.asked
    assert [
        ("TaskClaimed", "ada", "a", 1),
        ("TaskClaimed", "bob", "b", 1),
        ("TaskCompleted", "ada", "a", "It is there."),
        ("Progress", 1, 2),
        ("TaskCompleted", "bob", "b", "It is there."),
        ("Progress", 2, 2),
    ] == told(show.records)


def test_nobody_is_asked_in_vain():
    """With one task open, one agent is asked; the other waits without a turn, and goes when there is something."""
    show = play(AgentTeams("demo", [PLAN, PAGE], max_iterations=1), {"ada": worker(), "bob": worker()})

    assert ["ada", "bob"] == show.asked
    assert [("TaskCompleted", "ada", "plan"), ("TaskCompleted", "bob", "page")] == [
        event[:3] for event in told(show.records, TaskCompleted)
    ]


def test_the_last_task_stops_the_others():
    """When one agent completes the last task, whoever still talks is stopped cleanly."""

    class Thinks(ScriptedProvider):
        async def complete(self, request):
            await asyncio.sleep(1_000)
            return await super().complete(request)

    tasks = [WorkItem("a"), WorkItem("b")]
    show = play(AgentTeams("demo", tasks), {"ada": worker(), "bob": Thinks("never said")})

    assert (True, ["ada", "ada"]) == (show.result.complete, show.speakers)
    assert [("bob", "cancelled")] == [(event.agent, event.error) for event in show.notebook.events(AgentFailed)]


def test_abilities_decide():
    """A task that needs a tool goes to the agent that has it, and is shown to others as not for them."""
    registry = Registry.of()

    def gpu() -> str:
        """Compute."""
        return "ok"

    ada = Agent("ada", worker(), registry=registry)
    bob = Agent("bob", worker(), tools=[gpu], metadata={"tags": ["careful"]}, registry=registry)
    tasks = [WorkItem("train", needs=("gpu", "careful")), WorkItem("write")]
    team = Orchestration([ada, bob], AgentTeams("demo", tasks), registry=registry)
    run = run_virtually(lambda loop: _records(team))

    assert [("ada", "write"), ("bob", "train")] == sorted(event[1:3] for event in told(run, TaskClaimed))
    note = ada.provider.requests[0].messages[-1].text
    assert "- [needs gpu, careful, which you do not have] train\n- [open] write" in note


async def _records(team, prompt="Begin."):
    run = team.run(prompt)
    await run
    return list(run.records)


def test_no_tasks_at_all():
    """An empty pool is complete at once: score 1, no round, nobody asked."""
    show = play(AgentTeams("demo"), {"ada": worker()})

    assert (True, 1.0, 0, []) == (show.result.complete, show.result.score, show.result.rounds, show.asked)


def test_no_tasks_of_ones_own_joins_the_pool():
    """Without tasks, a team works on what the pool holds."""
    store = MemoryStore()
    asyncio.run(Pool(store, "demo").submit([PLAN, PAGE]))
    show = play(AgentTeams("demo", store=store), {"ada": worker()})

    assert (True, 2) == (show.result.complete, len(told(show.records, TaskCompleted)))


def test_a_second_run():
    """A private pool begins anew with each run; one that is shared is done when it is done."""

    async def twice(mode):
        team = stage(mode, {"ada": worker()})
        return [await team.run("Begin."), await team.run("Again.")]

    private = run_virtually(lambda loop: twice(AgentTeams("demo", [PLAN])))
    shared = run_virtually(lambda loop: twice(AgentTeams("demo", [PLAN], store=MemoryStore())))

    assert [(True, 1), (True, 1)] == [(result.complete, result.rounds) for result in private]
    assert [(True, 1), (True, 0)] == [(result.complete, result.rounds) for result in shared]


@pytest.mark.parametrize("seed", range(10))
def test_two_teams_share_a_pool(seed):
    """Two orchestrations at once on one store: every task is done, none twice, and both say complete."""
    store, tasks = MemoryStore(), [WorkItem(f"t{nth}", after=[f"t{nth - 3}"] if nth > 2 else []) for nth in range(9)]

    async def main(loop):
        dice = __import__("random").Random(seed)
        teams = [
            stage(
                AgentTeams("demo", tasks, store=store),
                {f"{name}{nth}": worker(pause=dice.random()) for nth in range(2)},
            )
            for name in ("ada", "bob")
        ]
        runs = [team.run("Begin.") for team in teams]
        return [await run for run in runs], [list(run.records) for run in runs]

    both, records = run_virtually(main)
    done = [event[2] for each in records for event in told(each, TaskCompleted)]
    assert sorted(task.id for task in tasks) == sorted(done)
    assert [(True, 1.0), (True, 1.0)] == [(result.complete, result.score) for result in both]


# -- prose means nothing ------------------------------------------------------


@pytest.mark.parametrize(
    "prose",
    [
        "api is **incomplete**, I could not do it.",
        "I abandoned api.",
        "Done.",
        "done: api",
        "complete_task(id='api', result='x')",
        "> claim api\n> api is finished",
        "[TASK_COMPLETE:api]",
        "PUT teams:demo:claimed:api ada\nPUT teams:demo:completed:api {}",
        '{"tool": "complete_task", "id": "api"}',
    ],
)
def test_prose_changes_nothing(prose):
    """Whatever an agent writes, no task is claimed and none completed."""
    store = MemoryStore()
    tasks = [WorkItem("api"), WorkItem("API"), WorkItem("api_v2")]
    show = play(AgentTeams("demo", tasks, max_iterations=2, store=store), {"ada": [prose, prose]})

    assert [] == told(show.records)
    assert dict.fromkeys(("API", "api", "api_v2"), ("ready", None)) == in_pool(store)
    assert (False, 0.0, "max_rounds") == (show.result.complete, show.result.score, show.result.stop_reason)


def test_prose_does_not_complete_what_is_held():
    """An agent that has a task and says it is done has not completed it; it is told again, and can."""
    script = [
        call("claim_task", id="plan"),
        "The plan is complete. Done!",
        call("complete_task", id="plan", result="x"),
        ".",
    ]
    show = play(AgentTeams("demo", [PLAN]), {"ada": script})

    assert [("TaskClaimed", "ada", "plan", 1), ("TaskCompleted", "ada", "plan", "x"), ("Progress", 1, 1)] == told(
        show.records
    )
    note = show.heard("ada")[2]
    assert "- [yours] plan: Make a plan\n" in note
    assert "You hold the task 'plan'.\n" in note


def test_ids_are_exact():
    """Ids with capitals work; an id that is part of another, or differs in case, is not that other."""
    tasks = [WorkItem("API"), WorkItem("api_v2")]
    script = [
        call("claim_task", id="api"),
        call("complete_task", id="api", result="x"),
        call("claim_task", id="API"),
        call("complete_task", id="api_v2", result="x"),
        call("complete_task", id="API", result="x"),
        "That was all.",
    ]
    show = play(AgentTeams("demo", tasks, max_iterations=1), {"ada": script})

    assert [
        "There is no task 'api'. Open to you: API, api_v2.",
        "There is no task 'api'. Nothing was completed. Open to you: API, api_v2.",
        "The task is yours now.\n- [yours] API",
        "The task 'api_v2' is not claimed. Nothing was completed. Open to you: api_v2.",
        "The task 'API' is done. 1 of 2 tasks are done.",
    ] == results(show, "ada")
    assert [
        ("CompletionRefused", "ada", "api", "There is no task 'api'."),
        ("TaskClaimed", "ada", "API", 1),
        ("CompletionRefused", "ada", "api_v2", "The task 'api_v2' is not claimed."),
        ("TaskCompleted", "ada", "API", "x"),
        ("Progress", 1, 2),
    ] == told(show.records)


# -- the tools ----------------------------------------------------------------


def test_what_the_tools_say():
    """Each call that cannot be is answered with why, and what could be done instead."""
    script = [
        call("list_tasks"),
        call("claim_task", id="page"),
        call("claim_task"),
        call("claim_task"),
        call("claim_task", id="page"),
        call("release_task", id="page", reason="?"),
        call("release_task", id="nix", reason="?"),
        call("release_task", id="plan", reason="too hard"),
        call("complete_task", id="plan", result="x"),
        call("claim_task", id="plan"),
        call("complete_task", id="plan", result="x"),
        call("complete_task", id="plan", result="y"),
        "Enough.",
    ]
    show = play(AgentTeams("demo", [PLAN, PAGE], max_iterations=1), {"ada": script})

    assert [
        f"{PLAN_IS_OPEN}\n- [waits for plan] page: Write the page\n0 of 2 tasks are done",
        "You cannot claim the task 'page' now (waits for plan). Open to you: plan.",
        "The task is yours now.\n- [yours] plan: Make a plan\n  Acceptance criteria: It has a date",
        f"You hold the task 'plan'. {HOW}",
        "You hold the task 'plan'. Complete it or give it back before you claim 'page'.",
        "The task 'page' is not claimed. Nothing was given back.",
        "There is no task 'nix'. Open to you: nothing.",
        "You gave the task 'plan' back. Open to you: plan.",
        "The task 'plan' is not claimed. Nothing was completed. Open to you: plan.",
        "The task is yours now.\n- [yours] plan: Make a plan\n  Acceptance criteria: It has a date",
        "The task 'plan' is done. 1 of 2 tasks are done.",
        "You completed the task 'plan' before. 1 of 2 tasks are done.",
    ] == results(show, "ada")
    assert [
        ("TaskClaimed", "ada", "plan", 1),
        ("TaskReleased", "ada", "plan", "too hard"),
        ("CompletionRefused", "ada", "plan", "The task 'plan' is not claimed."),
        ("TaskClaimed", "ada", "plan", 2),
        ("TaskCompleted", "ada", "plan", "x"),
        ("Progress", 1, 2),
    ] == told(show.records)


def test_fences_are_not_for_models():
    """Neither tools nor texts nor results show a fence or a worker's id, and no call can bring one."""
    show = play(AgentTeams("demo", [PLAN, PAGE]), {"ada": worker()})

    for request in show.providers["ada"].requests:
        schemas = json.dumps([tool.to_json() for tool in request.tools])
        texts = json.dumps([message.to_json() for message in request.messages])
        assert "fence" not in schemas + texts
        assert show.result.run_id not in schemas + texts
    refused = play(
        AgentTeams("demo", [PLAN], max_iterations=1),
        {"ada": [call("claim_task"), call("complete_task", id="plan", result="x", fence=1), "Oh."]},
    )
    assert [] == told(refused.records, TaskCompleted)


@pytest.mark.parametrize("shared", [True, False])
def test_calls_made_at_once_are_carried_out_in_order(shared):
    """Complete and claim in one reply: first the one, then the other; two claims: one task."""
    script = [
        [call("claim_task"), call("claim_task")],
        [call("complete_task", id="a", result="x"), call("claim_task")],
        [call("complete_task", id="b", result="y"), call("list_tasks")],
        "Done.",
    ]
    store = MemoryStore() if shared else "memory"
    show = play(AgentTeams("demo", [WorkItem("a"), WorkItem("b")], store=store), {"ada": script})

    assert [
        ("TaskClaimed", "ada", "a", 1),
        ("TaskCompleted", "ada", "a", "x"),
        ("Progress", 1, 2),
        ("TaskClaimed", "ada", "b", 1),
        ("TaskCompleted", "ada", "b", "y"),
        ("Progress", 2, 2),
    ] == told(show.records)


def test_long_lists_are_cut_in_notes():
    """A note shows forty tasks; list_tasks shows all."""
    tasks = [WorkItem(f"t{nth:03}") for nth in range(100)]
    show = play(AgentTeams("demo", tasks, max_iterations=1), {"ada": [call("list_tasks"), "Many."]})

    note, listed = show.heard("ada")[0], results(show, "ada")[0]
    assert (40, True) == (note.count("- [open]"), "\n... and 60 more; list_tasks shows all.\n" in note)
    assert 100 == listed.count("- [open]")


# -- what goes wrong ----------------------------------------------------------


@pytest.mark.parametrize("failing", range(1, 7))
def test_an_agent_that_fails(failing):
    """Whichever call of its fails, what the agent has goes to the others, and all is done in the end."""
    calls = []

    def say(request):
        calls.append(request)
        return Overloaded("down", "scripted") if len(calls) == failing else diligent(request)

    store = MemoryStore()
    tasks = [WorkItem("a"), WorkItem("b"), WorkItem("c")]
    show = play(AgentTeams("demo", tasks, store=store), {"ada": worker(say, 0.3), "bob": worker(pause=1.0)})

    held = failing % 3 == 2  # it had claimed, and not completed
    assert (True, ["a", "b", "c"]) == (show.result.complete, sorted(e[2] for e in told(show.records, TaskCompleted)))
    assert [("TaskFailed", "ada", "The agent's turn failed.")] * held == [
        (event[0], event[1], event[3]) for event in told(show.records, TaskFailed)
    ]
    assert {"done"} == {state for state, _ in in_pool(store).values()}


def test_a_task_that_nobody_can_do_dies():
    """After its attempts a task is given up, what waits for it too, and the run says stalled."""
    script = {
        "ada": worker(
            lambda request: (
                call("claim_task", id="plan") if request.messages[-1].role == "user" else Overloaded("down", "scripted")
            )
        )
    }
    show = play(AgentTeams("demo", [PLAN, PAGE, WorkItem("z")], attempts=2, max_iterations=3), script)

    died = "It was handed out 2 times; the last time: The agent's turn failed."
    assert [("TaskGivenUp", "plan", died), ("TaskGivenUp", "page", "It comes after 'plan', which is dead.")] == told(
        show.records, TaskGivenUp
    )
    assert 2 == len(told(show.records, TaskFailed))


def test_turns_used_up():
    """An agent whose turns are used up gives back what it has, for those who still have some."""
    idle = ScriptedProvider(call("claim_task"), "Hm.", "Hm.")
    show = play(AgentTeams("demo", [PLAN], max_iterations=2), {"ada": idle, "bob": worker()})

    assert [
        ("TaskClaimed", "ada", "plan", 1),
        ("TaskFailed", "ada", "plan", "The agent's turns are used up."),
        ("TaskClaimed", "bob", "plan", 2),
        ("TaskCompleted", "bob", "plan", "It is there."),
        ("Progress", 1, 1),
    ] == told(show.records)


def test_a_limit_gives_back_what_is_held():
    """When the run may make no more calls, it ends by the limit, and nothing stays claimed."""
    store = MemoryStore()
    team = {"ada": worker(pause=1.0), "bob": worker(pause=1.1)}
    tasks = [WorkItem("a"), WorkItem("b")]
    show = play(AgentTeams("demo", tasks, store=store), team, limits={"calls": 2})

    assert "limit" == show.result.stop_reason
    assert [("TaskReleased", "ada", "a", "The run ended."), ("TaskReleased", "bob", "b", "The run ended.")] == told(
        show.records, TaskReleased
    )
    assert {"a": ("ready", None), "b": ("ready", None)} == in_pool(store)


def shared_team(store, say=diligent):
    tasks = [WorkItem("a"), WorkItem("b", after=["a"]), WorkItem("c")]
    return lambda: stage(AgentTeams("demo", tasks, store=store), {"ada": worker(say, 0.1), "bob": worker(say, 0.2)})


def test_cancelled_anywhere():
    """Whenever a run is cancelled: nothing stays claimed, what was done stays done, and no attempt is lost."""
    whole = simulate(shared_team(MemoryStore()), seed=1)
    assert whole.result.complete
    for number in range(1, len(whole.records) + 1):
        store = MemoryStore()
        run = simulate(shared_team(store), seed=1, faults=Faults(cancel_at=number))

        assert () == run.left
        states = in_pool(store)
        assert {"ready", "done"} >= {state for state, _ in states.values()}, number
        items = asyncio.run(store.list("teams:demo:task:"))
        assert all(item.value["attempts"] == (item.value["state"] == "done") for item in items), number
        done = sorted(event[2] for event in told(run.records, TaskCompleted))
        assert done == sorted(id for id, (state, _) in states.items() if state == "done"), number


@pytest.mark.parametrize("seed", range(8))
def test_replays_without_the_store(seed):
    """A run on a shared store is re-enacted to identical records by a team whose store is empty and never asked."""

    class Untouched(MemoryStore):
        async def list(self, prefix=""):
            raise AssertionError("A replay asked the store.")

        get = put = compare_and_set = first = now = list

    faults = Faults(provider=0.2 * (seed % 2), cancel_at=seed * 9 + 20 if seed % 3 == 2 else None)
    run = simulate(shared_team(MemoryStore()), seed=seed, faults=faults)

    async def again():
        return await shared_team(Untouched())().replay(run.records)

    result = asyncio.run(again())
    assert (run.result.stop_reason, run.result.score) == (result.stop_reason, result.score)
    assert [reply.text for reply in run.result.messages] == [reply.text for reply in result.messages]


# -- leases -------------------------------------------------------------------


def with_clock(main):
    """Run *main* with a store that goes by virtual time."""
    return run_virtually(lambda loop: main(MemoryStore(clock=loop.wall)))


def test_a_lease_is_kept_while_the_agent_works():
    """A turn of many leases' length keeps its task: nobody else is given it, and it is completed."""

    async def main(store):
        slow = stage(AgentTeams("demo", [PLAN], store=store, lease=30), {"ada": worker(pause=500.0)})
        run = slow.run("Begin.")
        await asyncio.sleep(900)
        assert await Pool(store, "demo").claim("thief", id="plan") is None
        await run
        return list(run.records)

    assert [
        ("TaskClaimed", "ada", "plan", 1),
        ("TaskCompleted", "ada", "plan", "It is there."),
        ("Progress", 1, 1),
    ] == (told(with_clock(main)))


@pytest.mark.parametrize("stolen", [True, False])
def test_a_lost_lease_ends_the_turn(stolen):
    """A turn whose task was given to another, or cannot be kept any more, is stopped, and cannot complete it."""

    class Broken(MemoryStore):
        broken = 0

        async def get(self, key):
            if self.broken:
                self.broken -= 1
                raise StoreError("memory", "is down.")
            return await super().get(key)

    async def main(loop):
        store = Broken(clock=loop.wall)

        def late(request):
            return (
                call("claim_task") if len(provider.requests) == 1 else call("complete_task", id="plan", result="late")
            )

        class Slow(ScriptedProvider):
            async def complete(self, request):
                await asyncio.sleep(1_000 if self.requests else 1)
                return await super().complete(request)

        provider = Slow(late, repeat=True)
        team = stage(AgentTeams("demo", [PLAN], store=store, lease=30, max_iterations=1), {"ada": provider})
        run = team.run("Begin.")
        await asyncio.sleep(5)
        if stolen:
            item = await store.get("teams:demo:task:plan")
            await store.put(item.key, {**item.value, "owner": "thief", "fence": 2, "lease_until": 1e12})
        else:
            store.broken = 2  # two renewals
        return await run, list(run.records), (await store.get("teams:demo:task:plan")).value

    result, records, task = run_virtually(main)
    assert [("AgentFailed", "ada", "cancelled")] == [event[:3] for event in told(records, AgentFailed)]
    assert [("LeaseExpired", "plan", f"{result.run_id}/ada")] == told(records, LeaseExpired)
    assert [] == told(records, TaskCompleted)
    expected = ("claimed", "thief") if stolen else ("ready", None)
    assert expected == (task["state"], task["owner"])


def test_a_dead_workers_task_is_taken_over():
    """What a worker that died had is waited for, taken when its lease is over, and done."""

    async def main(store):
        pool = Pool(store, "demo", lease=60)
        await pool.submit([PLAN])
        await pool.claim("dead/ada")
        team = stage(AgentTeams("demo", store=store), {"ada": worker(), "bob": worker()})
        began = await store.now()
        run = team.run("Begin.")
        result = await run
        return result, list(run.records), await store.now() - began

    result, records, took = with_clock(main)
    assert result.complete
    assert 60 <= took < 75
    assert [("LeaseExpired", "plan", "dead/ada"), ("TaskClaimed", "ada", "plan", 2)] == told(records)[:2]
    assert 1 == len(told(records, AgentSelected)), "waiting takes no turns"


@pytest.mark.parametrize("alive", [True, False])
def test_others_are_waited_for_as_long_as_they_live(alive):
    """Who renews its lease elsewhere is waited for; when nothing moves for a lease per attempt, that is all."""

    async def main(store):
        pool = Pool(store, "demo", lease=1_000)
        await pool.submit([PLAN])
        claim = await pool.claim("other/eve")
        team = stage(AgentTeams("demo", store=store, lease=20, attempts=2), {"ada": worker()})
        run = team.run("Begin.")
        for _ in range(10 if alive else 0):
            await asyncio.sleep(30)
            await pool.renew("plan", "other/eve", claim.fence)
        if alive:
            await pool.complete("plan", "other/eve", claim.fence, "by eve")
        result = await run
        return result.complete, result.stop_reason, result.rounds, told(run.records), await store.now() - 1e9

    complete, stop, rounds, events, took = with_clock(main)
    assert ((True, "completed") if alive else (False, "stalled")) == (complete, stop)
    assert [("Progress", 1, 1)] * alive == events
    assert 1 == rounds
    assert (300 <= took < 310) if alive else (40 <= took < 45)


def test_nothing_here_can_be_done():
    """Tasks that nobody has the abilities for: a private pool is stalled at once, without a turn."""
    show = play(AgentTeams("demo", [WorkItem("a", needs=("gpu",))]), {"ada": worker(), "bob": worker()})

    assert (False, 0.0, "stalled", []) == (
        show.result.complete, show.result.score, show.result.stop_reason, show.asked,
    )  # fmt: skip


def test_a_store_that_is_down():
    """A store that fails for good ends the run with its own sentence; one that fails once does not."""

    async def main(loop, lost):
        world = World(MemoryStore(clock=loop.wall))
        team = stage(AgentTeams("demo", [PLAN], store=Seen(world)), {"ada": worker()})
        world.lost = lost
        return await team.run("Begin.")

    once = run_virtually(lambda loop: main(loop, 1))
    always = run_virtually(lambda loop: main(loop, 10**6))
    assert (True, "completed") == (once.complete, once.stop_reason)
    assert (False, "failed") == (always.complete, always.stop_reason)
    assert "The store seen did it, but the answer got lost on the way." in str(always.error)


# -- settings -----------------------------------------------------------------


def test_from_a_team_file():
    """The mode is built from plain data, tasks from their table."""
    mode = AgentTeams.from_settings(
        {"pool_id": "demo", "tasks": [{"id": "a", "title": "A"}, {"id": "b", "after": ["a"]}], "lease": 5}
    )

    assert AgentTeams("demo", [WorkItem("a", title="A"), WorkItem("b", after=("a",))], lease=5.0) == mode
    assert ("tasks",) == mode.tables
    assert AnthropicAgentTeams is AgentTeams


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "agent-teams: found no 'pool_id', expected 'pool_id', which 'agent-teams' needs."),
        ({"pool_id": "a:b"}, "The id 'a:b' of a pool cannot be part of a key: it has a ':' in it. Write '-' instead."),
        ({"pool_id": "p", "tasks": [{"id": "a"}, {"id": "a"}]}, "The id 'a' is used for more than one task."),
        (
            {"pool_id": "p", "tasks": [{"id": "a", "after": ["x"]}]},
            "The task 'a' comes after 'x', and there is no such",
        ),
        ({"pool_id": "p", "tasks": [{"id": "a", "afer": ["x"]}]}, "Did you mean 'after'?"),
        ({"pool_id": "p", "max_iterations": 0}, "max_iterations"),
        ({"pool_id": "p", "lease": 0}, "lease"),
    ],
)
def test_wrong_settings(settings, sentence):
    """What is wrong is said where it is written."""
    with pytest.raises(SettingsError) as refused:
        AgentTeams.from_settings(settings)
    assert sentence in str(refused.value)


def test_a_shared_pool_may_hold_what_tasks_wait_for():
    """Only the store knows whether a task exists: a shared one is asked, and nothing is done if not."""
    store = MemoryStore()
    mode = AgentTeams("demo", [WorkItem("b", after=("a",))], store=store)
    show = play(mode, {"ada": worker()})

    assert "failed" == show.result.stop_reason
    assert (
        "The pool 'demo' cannot be used. The task 'b' comes after 'a', and there is no such task."
        == str(show.result.error)
    )  # fmt: skip
    assert {} == in_pool(store)


def test_wrong_things_for_tasks():
    """What is no task is refused with what would be one."""
    with pytest.raises(TypeError, match="A pool takes tasks such as WorkItem\\('id', 'what to do'\\), and not 'a'."):
        AgentTeams("demo", ["a"])
    with pytest.raises(TypeError, match="A task takes lists of texts, such as \\['a'\\], and not the text 'a'."):
        WorkItem("b", after="a")
