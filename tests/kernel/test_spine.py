"""The spine: strands take turns, wait for nothing but the hub, and end only when all they began has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cloudllm_core import Hub, Limits, Outcome, tool
from cloudllm_core._run import Conditions
from cloudllm_core._strands import Waitable
from cloudllm_core.errors import (
    BusyAgentError,
    ForeignAwaitError,
    ForeignTaskError,
    ModeError,
    Overloaded,
    RunOverError,
    StuckError,
)
from cloudllm_core.events import AgentFailed, EffectFinished, RunFailed
from cloudllm_core.testing import Show, VirtualLoop, call, run_virtually, stage
from tests.kernel.stories import (
    Story,
    Waiting,
    alone,
    ask_ada,
    effects,
    replay,
    requests,
    results_of,
    session_of,
    tell,
    tell_virtually,
)

HERE = __file__


class Forever(Waitable):
    """Something that never comes."""

    def __str__(self) -> str:
        return "a door that nobody opens"


def failure(show: Show) -> BaseException:
    """The error a run failed with; it was said, and the run replays to the same end."""
    result = show.result
    assert ("failed", False) == (result.stop_reason, result.complete)
    assert result.error is not None
    assert isinstance(show.records[-1].event, RunFailed)
    assert "failed" == replay(show).stop_reason
    return result.error


async def at_once(hub: Hub, *branches: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run *branches* with `each` and give what they gave, as they finished."""
    async with hub.each(lambda branch: branch(), branches) as ends:
        return [end async for end in ends]


# -- one at a time ------------------------------------------------------------


def test_branches_share_state_around_awaits_without_losing_anything() -> None:
    """Between two awaits nobody else runs: a counter that is read and written back is right."""
    counter = [0]
    inside: list[int] = []

    async def branch(hub: Hub) -> None:
        for _ in range(20):
            seen = counter[0]
            inside.append(1)
            counter[0] = seen + 1
            assert 1 == len(inside)
            inside.clear()
            await hub.do("step", lambda: None)

    async def story(hub: Hub) -> None:
        await at_once(hub, lambda: branch(hub), lambda: branch(hub), lambda: branch(hub))

    show = tell(story)
    assert show.result.complete
    assert 60 == counter[0]
    counter[0] = 0
    replay(show)
    assert 60 == counter[0]


def test_effects_run_at_once_though_strands_do_not() -> None:
    """Three sleeps of ten seconds take ten."""

    async def story(hub: Hub) -> None:
        start = hub.now()
        await at_once(hub, *[lambda: hub.sleep(10)] * 3)
        assert 10 == hub.now() - start

    assert tell_virtually(story).result.complete


def test_branches_arrive_as_they_finish() -> None:
    """Not as they were begun."""
    seen: list[Any] = []

    async def nap(hub: Hub, seconds: int) -> int:
        await hub.sleep(seconds)
        return seconds

    async def story(hub: Hub) -> None:
        async with hub.each(lambda seconds: nap(hub, seconds), [3, 1, 2]) as ends:
            seen.extend([end async for end in ends])

    show = tell_virtually(story)
    assert [1, 2, 3] == seen
    replay(show)
    assert [1, 2, 3] * 2 == seen


# -- branches -----------------------------------------------------------------


def test_a_bare_async_for_over_branches_says_what_to_write() -> None:
    """A `break` would not close an async generator, so the block is needed."""

    async def story(hub: Hub) -> None:
        async for _ in hub.ask_all(["ada"], "x"):  # type: ignore[attr-defined] # that is the mistake
            pass

    error = failure(tell(story))
    assert isinstance(error, ModeError)
    assert (
        "Branches must be closed when the loop is left: "
        "write `async with hub.ask_all(...) as replies:` around `async for reply in replies:`."
    ) == str(error)


def test_leaving_the_block_cancels_what_is_open_and_waits_for_it() -> None:
    """After the block no branch runs any more; their turns are discarded."""

    async def story(hub: Hub) -> None:
        async with hub.ask_all(hub.agents, "x") as replies:
            async for reply in replies:
                assert "ada" == reply.agent
                break
        assert {"ada"} == {reply.agent for reply in hub.transcript}
        await hub.ask("bob", "y")

    show = tell_virtually(story, {"ada": Waiting("A", 1), "bob": Waiting("B", 2), "cyn": Waiting("C", 3)})

    assert show.result.complete
    failed = show.notebook.events(AgentFailed)
    assert [("bob", "cancelled"), ("cyn", "cancelled")] == [(event.agent, event.error) for event in failed]
    assert ["ada: A\ny", "B"] == [text for _, text in session_of(show, "bob")]
    assert [] == session_of(show, "cyn")
    replay(show)


def test_a_block_without_a_loop_cancels_everything() -> None:
    """Entering and leaving at once asks nobody for long."""

    async def story(hub: Hub) -> None:
        async with hub.ask_all(hub.agents, "x"):
            pass

    show = tell_virtually(story, {"ada": Waiting("A", 1)})
    assert show.result.complete
    assert () == show.result.messages
    replay(show)


def test_an_error_in_a_branch_comes_out_of_the_loop_and_closes_the_others() -> None:
    """A bug in one branch fails the mode at the loop."""
    ended: list[str] = []

    async def wrong(hub: Hub) -> None:
        await hub.sleep(1)
        raise ZeroDivisionError("a bug")

    async def other(hub: Hub) -> None:
        try:
            await hub.sleep(100)
        finally:
            ended.append("other")

    async def story(hub: Hub) -> None:
        await at_once(hub, lambda: other(hub), lambda: wrong(hub))

    error = failure(tell_virtually(story))
    assert "a bug" == str(error)
    assert ["other"] == ended[:1]


def test_a_cancellation_while_branches_close_is_held_and_raised_after() -> None:
    """Leaving waits for all branches, also when a timeout fires meanwhile; then it is raised, once."""
    order: list[str] = []

    async def slow_to_leave(hub: Hub) -> None:
        try:
            await hub.sleep(100)
        finally:
            await hub.sleep(3)
            order.append("tidied")

    async def story(hub: Hub) -> None:
        try:
            async with hub.timeout(3):
                async with hub.each(lambda _: slow_to_leave(hub), [1]):
                    await hub.sleep(2)
                order.append("never")
        except TimeoutError:
            order.append("late")

    show = tell_virtually(story)
    assert ["tidied", "late"] == order
    assert show.result.complete
    replay(show)
    assert ["tidied", "late"] * 2 == order


def test_branches_within_branches() -> None:
    """A tree of strands closes from the leaves."""
    log: list[str] = []

    async def leaf(hub: Hub, name: str) -> str:
        try:
            await hub.sleep(50)
            return name
        finally:
            log.append(name)

    async def branch(hub: Hub, name: str) -> None:
        try:
            await at_once(hub, lambda: leaf(hub, f"{name}1"), lambda: leaf(hub, f"{name}2"))
        finally:
            log.append(name)

    async def story(hub: Hub) -> None:
        with contextlib.suppress(TimeoutError):
            async with hub.timeout(5):
                await at_once(hub, lambda: branch(hub, "a"), lambda: branch(hub, "b"))
        log.append("story")

    show = tell_virtually(story)
    assert show.result.complete
    assert {"a1", "a2", "a", "b1", "b2", "b", "story"} == set(log)
    assert log.index("a1") < log.index("a")
    assert log.index("b2") < log.index("b")
    assert "story" == log[-1]
    first = list(log)
    log.clear()
    replay(show)
    assert first == log


# -- foreign awaits -----------------------------------------------------------

FOREIGN: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
    ("sleep", lambda: asyncio.sleep(1)),
    ("sleep_zero", lambda: asyncio.sleep(0)),
    ("gather", lambda: asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))),
    ("wait_for", lambda: asyncio.wait_for(asyncio.Event().wait(), 1)),
    ("event", lambda: asyncio.Event().wait()),
    ("future", lambda: asyncio.get_running_loop().create_future()),
    ("to_thread", lambda: asyncio.to_thread(len, "x")),
    ("queue", lambda: asyncio.Queue[int]().get()),
]


@pytest.mark.parametrize(("name", "make"), FOREIGN, ids=[name for name, _ in FOREIGN])
def test_what_is_not_the_hubs_is_refused_at_its_line(name: str, make: Callable[[], Awaitable[Any]]) -> None:
    """The error names strand, file, line and function, and the verbs to use instead; the run fails, and ends."""
    line = [0]

    async def story(hub: Hub) -> None:
        line[0] = story.__code__.co_firstlineno + 2
        await make()

    async def main() -> Any:
        run = stage(Story(story), {"ada": "A"}).run("Go")
        result = await asyncio.wait_for(_wait(run), 5)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # what the mode itself began; the kernel began nothing
        return result

    error = asyncio.run(main()).error
    assert isinstance(error, ForeignAwaitError)
    assert "run" == error.strand
    assert error.where == f"{HERE}:{line[0]} in story" or "to_thread" == name
    assert str(error).startswith(f"'run' waits at {error.where} for something the hub does not know")
    for verb in ("hub.ask_all", "hub.each", "hub.sleep", "hub.timeout", "hub.do(name, function)"):
        assert verb in str(error)


async def _wait(run: Any) -> Any:
    return await run


def test_a_branch_that_awaits_something_foreign_is_named() -> None:
    """The strand in the sentence is the branch, the line is in the branch."""

    async def branch() -> None:
        await asyncio.sleep(1)

    async def story(hub: Hub) -> None:
        await at_once(hub, branch)

    error = failure(tell(story))
    assert isinstance(error, ForeignAwaitError)
    assert "run/1.1" == error.strand
    assert error.where.endswith(f":{branch.__code__.co_firstlineno + 1} in branch")


def test_a_mode_may_catch_the_error_and_go_on() -> None:
    """It is an exception at that line, like any other."""

    async def story(hub: Hub) -> None:
        with pytest.raises(ForeignAwaitError):
            await asyncio.sleep(0)
        await hub.ask("ada", "x")

    show = tell(story)
    assert show.result.complete
    replay(show)


def test_a_mode_that_insists_is_refused_each_time() -> None:
    """Catching and awaiting again does not hang the loop for ever: it is told each time."""
    told: list[str] = []

    async def story(hub: Hub) -> None:
        for _ in range(100):
            with pytest.raises(ForeignAwaitError) as caught:
                await asyncio.sleep(0)
            told.append(caught.value.strand)

    assert tell(story).result.complete
    assert ["run"] * 100 == told


@pytest.mark.parametrize("kind", ["timeout", "group", "wait"])
def test_asyncios_own_scopes_fail_the_run_cleanly(kind: str) -> None:
    """`asyncio.timeout` and `TaskGroup` need a task, which a strand is not: an error at that line, and no hanging."""

    async def story(hub: Hub) -> None:
        if kind == "timeout":
            async with asyncio.timeout(5):
                await hub.ask("ada", "x")
        elif kind == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(hub.ask("ada", "x"))  # type: ignore[arg-type] # that is the mistake
        else:
            await asyncio.wait([asyncio.ensure_future(hub.ask("ada", "x"))])

    async def main() -> Any:
        run = stage(Story(story), {"ada": "A"}).run("Go")
        result = await asyncio.wait_for(_wait(run), 5)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)
        return result

    result = asyncio.run(main())
    assert "failed" == result.stop_reason
    assert isinstance(result.error, ForeignAwaitError)
    assert f"{__file__}:" in str(result.error)
    assert () == result.messages


def test_a_task_the_hub_did_not_start_may_not_call_it() -> None:
    """`asyncio.create_task(hub.ask(...))` is refused in that task, with what to do instead."""
    told: list[BaseException] = []

    async def stray(hub: Hub) -> None:
        for verb in (
            lambda: hub.ask("ada", "x"),
            lambda: hub.do("x", len, "x"),
            lambda: hub.sleep(1),
        ):
            try:
                await verb()
            except ForeignTaskError as error:
                told.append(error)
        for instant in (hub.now, hub.random, lambda: hub.timeout(1), lambda: hub.progress(1, 2)):
            try:
                instant()
            except ForeignTaskError as error:
                told.append(error)

    async def story(hub: Hub) -> None:
        tasks.append(asyncio.create_task(stray(hub)))
        await hub.sleep(0.01)

    tasks: list[asyncio.Task[None]] = []
    assert tell(story).result.complete
    assert 7 == len(told)
    expected = "The hub was called from a task it did not start. Start branches with hub.ask_all or hub.each."
    assert {expected} == {str(error) for error in told}


def test_after_the_end_the_hub_answers_no_more() -> None:
    """Every verb raises; nothing is appended to a closed journal."""
    hubs: list[Hub] = []

    async def story(hub: Hub) -> None:
        hubs.append(hub)

    async def main() -> int:
        run = stage(Story(story), {"ada": "A"}).run("Go")
        await run
        (hub,) = hubs
        for verb in (lambda: hub.ask("ada", "x"), lambda: hub.do("x", len, "x"), lambda: hub.sleep(1)):
            with pytest.raises(RunOverError, match=r"^The run is over; its hub answers no more\. Start another run\.$"):
                await verb()
        for instant in (hub.now, hub.random, lambda: hub.timeout(1), lambda: hub.progress(1, 2)):
            with pytest.raises(RunOverError):
                instant()
        with pytest.raises(RunOverError):
            async with hub.round():
                pass
        with pytest.raises(RunOverError):
            async with hub.ask_all(["ada"], "x"):
                pass
        return len(run.records)

    assert 2 == alone(main)


def test_when_everything_waits_on_one_another_the_run_is_stuck_and_says_who() -> None:
    """Two branches that wait for each other's end: nothing could wake them, and the error names both."""

    async def door() -> None:
        await Forever()

    async def story(hub: Hub) -> None:
        await at_once(hub, door, door)

    async def main() -> Any:
        run = stage(Story(story), {"ada": "A"}).run("Go")
        return await asyncio.wait_for(_wait(run), 5)

    result = alone(main)
    assert "failed" == result.stop_reason
    assert isinstance(result.error, StuckError)
    assert (
        "The run is stuck: run waits for branches run/1.1, run/1.2; "
        "run/1.1 waits for a door that nobody opens; run/1.2 waits for a door that nobody opens. "
        "Nothing is under way that could wake any of them."
    ) == str(result.error)


# -- time ---------------------------------------------------------------------


def test_a_block_that_takes_too_long_raises_timeout_error() -> None:
    """The sentence says how long it was; one that is quick enough raises nothing."""

    async def story(hub: Hub) -> None:
        async with hub.timeout(10):
            await hub.sleep(5)
        with pytest.raises(TimeoutError, match=r"^it took longer than 2\.5 s$"):
            async with hub.timeout(2.5):
                await hub.sleep(5)
        assert 7.5 == hub.now() - start[0]

    start = [1_000_000_000.0]
    show = tell_virtually(story)
    assert show.result.complete, show.result.error
    replay(show)


@pytest.mark.parametrize(("outer", "inner", "expected"), [(5, 10, "outer"), (10, 5, "inner"), (5, 5, "outer")])
def test_of_nested_timeouts_the_one_that_fires_raises(outer: int, inner: int, expected: str) -> None:
    """The inner one is caught inside, the outer one goes through; both at once is the outer's."""
    seen: list[str] = []

    async def story(hub: Hub) -> None:
        try:
            async with hub.timeout(outer):
                try:
                    async with hub.timeout(inner):
                        await hub.sleep(60)
                except TimeoutError:
                    seen.append("inner")
                await hub.sleep(1)
        except TimeoutError:
            seen.append("outer")

    show = tell_virtually(story)
    assert show.result.complete, show.result.error
    assert expected == seen[-1]
    first = list(seen)
    seen.clear()
    replay(show)
    assert first == seen


def test_after_a_timeout_the_mode_goes_on() -> None:
    """The cancellation is spent: further asks are as before."""

    async def story(hub: Hub) -> None:
        with contextlib.suppress(TimeoutError):
            async with hub.timeout(5):
                await hub.ask("ada", "x")
        await hub.ask("bob", "x")
        with contextlib.suppress(TimeoutError):
            async with hub.timeout(5):
                await hub.ask("ada", "x")
        await hub.ask("bob", "x")

    show = tell_virtually(story, {"ada": Waiting("A", 100), "bob": Waiting("B", 100)})
    assert ["bob", "bob"] == show.speakers
    assert show.result.complete
    replay(show)


def test_a_timeout_while_a_write_is_in_flight_lets_it_finish() -> None:
    """The write is recorded whole, then the TimeoutError comes; it is not repeated."""
    written: list[str] = []

    async def slow_write() -> str:
        await asyncio.sleep(9)
        written.append("once")
        return "written"

    async def story(hub: Hub) -> None:
        with pytest.raises(TimeoutError):
            async with hub.timeout(5):
                await hub.do("write", slow_write, effect="write")
        assert 9 == hub.now() - 1_000_000_000.0

    show = tell_virtually(story)
    assert show.result.complete, show.result.error
    assert ["once"] == written
    assert [EffectFinished(name="write", outcome="ok")] == show.notebook.events(EffectFinished)
    replay(show)
    assert ["once"] == written


def test_a_second_timeout_around_a_write_is_like_the_first() -> None:
    """A spent cancellation leaves no trace: each block that took too long raises, whatever its write gave."""
    late: list[int] = []

    async def story(hub: Hub) -> None:
        for number in range(3):
            try:
                async with hub.timeout(5):
                    await hub.do("write", asyncio.sleep, 9, effect="write")
                    raise AssertionError("the write was stopped, and must not look as if it were not")
            except TimeoutError:
                late.append(number)

    show = tell_virtually(story)
    assert show.result.complete, show.result.error
    assert [0, 1, 2] == late
    replay(show)


def test_of_two_timers_that_fire_at_once_the_inner_one_is_not_heard_after_its_block() -> None:
    """Both are due before the first is admitted; leaving the outer block takes the inner one along."""
    seen: list[str] = []

    async def story(hub: Hub) -> None:
        try:
            async with hub.timeout(5), hub.timeout(5):
                await Forever()  # nothing that would have to be stopped first
        except TimeoutError:
            seen.append("late")
        await hub.sleep(1)

    def team() -> Any:
        return stage(Story(story), {"ada": "A"})

    async def main(loop: VirtualLoop) -> Any:
        orchestration = team()
        # With an order to choose, admissions wait until all that is due has gathered.
        run = orchestration.run("Go", conditions=Conditions(clock=loop.wall, choose=lambda n: 0))
        return await run, run.records

    result, records = run_virtually(main)
    assert result.complete, result.error
    assert ["late"] == seen
    assert ["start", "timeout"] == [record.body["what"] for record in records if record.kind == "input"]
    asyncio.run(team().replay(records))
    assert ["late", "late"] == seen


def test_a_timeout_around_a_read_cancels_it() -> None:
    """A read may be given up at once."""

    async def story(hub: Hub) -> None:
        with pytest.raises(TimeoutError):
            async with hub.timeout(5):
                await hub.do("read", lambda: asyncio.sleep(60))
        assert 5 == hub.now() - 1_000_000_000.0

    show = tell_virtually(story)
    assert show.result.complete, show.result.error
    assert [("do", "cancelled")] == effects(show.records)
    replay(show)


def test_a_cancellation_of_the_run_is_not_taken_for_a_timeout() -> None:
    """Inside `hub.timeout` a cancelled run is cancelled, not late."""
    seen: list[str] = []

    async def story(hub: Hub) -> None:
        try:
            async with hub.timeout(60):
                await hub.do("stop", runs[0].cancel)
                await hub.sleep(30)
        except TimeoutError:
            seen.append("late")
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    runs: list[Any] = []

    async def main() -> Any:
        runs.append(stage(Story(story), {"ada": "A"}).run("Go"))
        return await runs[0]

    assert "cancelled" == alone(main).stop_reason
    assert ["cancelled"] == seen


def test_a_timeout_that_fires_when_its_block_is_over_is_nothing() -> None:
    """Late timers are not heard and not recorded."""

    async def story(hub: Hub) -> None:
        async with hub.timeout(5):
            pass
        await hub.sleep(10)

    show = tell_virtually(story)
    assert show.result.complete
    assert ["start"] == [record.body["what"] for record in show.records if record.kind == "input"]


# -- composite tools ----------------------------------------------------------


def vote_tool(hub_seen: list[Any], body: Any) -> Any:
    @tool(effect="composite")
    async def vote(hub: Hub, choice: str) -> str:
        """Vote."""
        hub_seen.append(hub)
        return str(await body(hub, choice))

    return vote


def test_a_composite_tool_is_mode_code_in_a_lane_of_its_own() -> None:
    """It takes the hub; its effects are recorded inside; on replay it runs again and its effects do not."""
    votes: list[str] = []
    counted: list[str] = []

    async def body(hub: Hub, choice: str) -> int:
        votes.append(choice)
        number: int = await hub.do("count", lambda: counted.append(choice) or len(counted))
        return number

    hubs: list[Any] = []
    vote = vote_tool(hubs, body)
    show = tell(
        lambda hub: hub.ask("ada", "x", tools=[vote]), [[call("vote", choice="a"), call("vote", choice="b")], "Ok."]
    )

    assert [("1", False), ("2", False)] == results_of(show)
    inside = [(r.lane, r.position) for r in show.records if r.kind == "started" and r.body["name"] == "do"]
    assert [("ada/2", 1), ("ada/3", 1)] == inside
    assert ["composite"] * 2 == [
        r.body["class"] for r in show.records if r.kind == "started" and r.body["name"] == "tool"
    ]
    assert ["a", "b"] == votes == counted
    replay(show)
    assert ["a", "b", "a", "b"] == votes
    assert ["a", "b"] == counted


def test_a_composite_tool_that_fails_answers_the_model() -> None:
    """An ordinary exception of mode code is a result, as any tool's."""

    async def body(hub: Hub, choice: str) -> None:
        raise LookupError(f"no choice {choice}")

    vote = vote_tool([], body)
    show = tell(lambda hub: hub.ask("ada", "x", tools=[vote]), [call("vote", choice="z"), "Ok."])

    assert [("LookupError: no choice z", True)] == results_of(show)
    assert show.result.complete
    replay(show)


def test_a_composite_tool_that_breaks_a_rule_fails_the_run() -> None:
    """A foreign await in it is not for the model to read."""

    async def body(hub: Hub, choice: str) -> None:
        await asyncio.sleep(0)

    vote = vote_tool([], body)
    show = tell(lambda hub: hub.try_ask("ada", "x", tools=[vote]), [call("vote", choice="z"), "Ok."])

    error = failure(show)
    assert isinstance(error, ForeignAwaitError)
    assert "ada/2" == error.strand
    assert error.where.endswith(" in body")
    assert 1 == len(requests(show))


def test_a_composite_tool_that_reaches_a_limit_stops_the_run() -> None:
    """A limit is not for the model to read, either."""

    async def body(hub: Hub, choice: str) -> None:
        async with hub.round():
            raise AssertionError("one round too many")

    vote = vote_tool([], body)

    async def story(hub: Hub) -> None:
        async with hub.round():
            await hub.ask("ada", "x", tools=[vote])

    show = tell(story, [call("vote", choice="What?"), "Ok."], limits=Limits(rounds=1))

    assert "limit" == show.result.stop_reason
    assert "The run reached its limit of 1 rounds. Raise it with Limits(rounds=...)." == str(show.result.error)
    assert 1 == len(requests(show))
    replay(show)


def test_a_composite_tool_may_ask_another_agent() -> None:
    """What the other says is heard by all, as ever; asking its own agent is refused."""
    busy: list[str] = []

    async def body(hub: Hub, choice: str) -> str:
        try:
            await hub.ask("ada", "again")
        except BusyAgentError as error:
            busy.append(error.agent)
        return (await hub.ask("bob", choice)).text

    vote = vote_tool([], body)
    show = tell(
        lambda hub: hub.ask("ada", "x", tools=[vote]), {"ada": [call("vote", choice="What?"), "Ok."], "bob": "That."}
    )

    assert [("That.", False)] == results_of(show)
    assert ["ada"] == busy
    assert ["bob", "ada"] == show.speakers
    replay(show)


def test_a_composite_tool_is_cancelled_with_its_turn_and_may_tidy_up() -> None:
    """Its own effects are stopped; effects in its `finally` are performed; the turn is cancelled once."""
    log: list[str] = []

    async def body(hub: Hub, choice: str) -> None:
        try:
            await hub.sleep(60)
        finally:
            log.append(await hub.do("tidy", lambda: "tidied"))

    vote = vote_tool([], body)

    async def story(hub: Hub) -> None:
        with pytest.raises(TimeoutError):
            async with hub.timeout(5):
                await hub.ask("ada", "x", tools=[vote])

    show = tell_virtually(story, [call("vote", choice="a"), "Ok."])
    assert show.result.complete, show.result.error
    assert ["tidied"] == log
    assert [("model", "ok"), ("do", "cancelled"), ("do", "ok"), ("tool", "cancelled")] == [
        (("do" if name == "sleep" else name), outcome) for name, outcome in effects(show.records)
    ]
    replay(show)
    assert ["tidied", "tidied"] == log


def test_a_composite_tool_of_an_agent_alone_has_no_hub_to_speak_of() -> None:
    """Outside an orchestration there is no team; a composite tool that needs one answers with an error."""
    from cloudllm_core import Agent, Registry
    from cloudllm_core.testing import ScriptedProvider

    async def body(hub: Hub, choice: str) -> str:
        return ", ".join(hub.agents)

    ada = Agent(
        "ada", ScriptedProvider(call("vote", choice="a"), "Ok."), tools=[vote_tool([], body)], registry=Registry.of()
    )
    assert "Ok." == asyncio.run(ada.send("x")).text
    assert ada.session.messages[2].tool_results[0].is_error


# -- the end ------------------------------------------------------------------


def test_a_second_cancellation_does_not_interrupt_the_tidying_up() -> None:
    """A strand is told once; what it does in `finally` is done to the end."""
    tidying, finish = asyncio.Event(), asyncio.Event()
    log: list[str] = []

    async def tidy() -> str:
        tidying.set()
        await finish.wait()
        return "tidied"

    async def story(hub: Hub) -> None:
        try:
            await hub.ask("ada", "x")
        finally:
            log.append(await hub.do("tidy", tidy))

    async def main() -> Any:
        model = Waiting()
        orchestration = stage(Story(story), {"ada": model})
        run = orchestration.run("Go")
        await model.asked.wait()
        run.cancel()
        await tidying.wait()
        run.cancel()
        await asyncio.sleep(0)
        finish.set()
        return await run, run.records, orchestration

    result, records, orchestration = alone(main)
    assert "cancelled" == result.stop_reason
    assert ["tidied"] == log
    asyncio.run(orchestration.replay(records))


def test_a_branch_has_not_ended_before_what_it_began() -> None:
    """A branch that leaves branches of its own behind arrives when those have tidied up."""
    log: list[str] = []

    async def inner(hub: Hub) -> None:
        try:
            await hub.sleep(60)
        finally:
            await hub.sleep(5)
            log.append("inner")

    async def outer(hub: Hub) -> str:
        await hub.each(lambda _: inner(hub), [1]).__aenter__()
        await hub.sleep(1)
        return "outer"

    async def story(hub: Hub) -> None:
        start = hub.now()
        log.extend(await at_once(hub, lambda: outer(hub)))
        log.append(f"after {hub.now() - start:g} s")

    assert tell_virtually(story).result.complete
    assert ["inner", "outer", "after 6 s"] == log


def test_a_mode_that_returns_early_takes_its_branches_with_it() -> None:
    """A strand ends only when its children have; what they do last is recorded."""
    log: list[str] = []

    async def branch(hub: Hub) -> None:
        try:
            await hub.sleep(60)
        finally:
            log.append("branch")

    async def story(hub: Hub) -> Outcome:
        block = hub.each(lambda _: branch(hub), [1])
        await block.__aenter__()
        await hub.sleep(1)
        return Outcome(complete=True)

    show = tell_virtually(story)
    assert show.result.complete
    assert ["branch"] == log


def test_an_effect_that_nobody_waits_for_is_cancelled_with_its_strand() -> None:
    """An effect left behind by a branch that failed has its end in the journal before the strand's."""

    async def story(hub: Hub) -> None:
        async with hub.ask_all(hub.agents, "x") as replies:
            async for _ in replies:
                raise KeyError("a bug")

    show = tell_virtually(story, {"ada": Waiting("A", 1), "bob": Waiting("B", 60)})
    failure(show)
    assert [("model", "ok"), ("model", "cancelled")] == effects(show.records)


def test_a_model_that_fails_at_once_is_a_failure_of_its_turn_only() -> None:
    """The strand goes on with what comes back, whichever order."""

    async def story(hub: Hub) -> None:
        await at_once(hub, lambda: hub.try_ask("ada", "x"), lambda: hub.try_ask("bob", "x"))

    show = tell(story, {"ada": Overloaded("busy"), "bob": "B"})
    assert ["bob"] == show.speakers
    replay(show)


def test_the_shortest_turn_makes_one_effect() -> None:
    """One model call, one start, one end."""
    assert [("model", "ok")] == effects(tell(ask_ada).records)


def test_branches_never_left_end_before_the_run_says_so() -> None:
    """Whatever a mode forgets, the last record of a run is its end, and the run replays."""

    async def story(hub: Hub) -> None:
        async def branch(item: int) -> None:
            await hub.sleep(60 * item)

        await hub.each(branch, [1, 2]).__aenter__()
        await hub.sleep(1)

    show = tell_virtually(story)

    assert show.result.complete, show.result.error
    assert "RunCompleted" == show.notebook.titles[-1]
    replay(show)
