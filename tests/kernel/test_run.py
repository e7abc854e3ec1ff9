"""A run: awaitable, iterable for anyone at any time, cancellable from anywhere; it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from cloudllm_core import Hub, Orchestration, Outcome, Registry, Run, RunResult, Signal, tool
from cloudllm_core._portal import Portal
from cloudllm_core.errors import AgentFailedError, NotCompleteError, Overloaded, SetupError
from cloudllm_core.events import LLMContentDelta, RunCancelled, RunCompleted, RunStarted
from cloudllm_core.testing import Eavesdropper, ScriptedProvider, call, stage
from tests.kernel.stories import (
    InTurn,
    Story,
    Together,
    Waiting,
    alone,
    ask_ada,
    nothing_left,
    replay,
    session_of,
    tell,
)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Every test here checks that no thread outlives it."""
    with nothing_left():
        yield


def waiting_run(**options: Any) -> tuple[Orchestration, Waiting]:
    model = Waiting()
    return stage(InTurn(2), {"ada": model}, **options), model


# -- awaiting -----------------------------------------------------------------


def test_a_run_may_be_awaited_again_and_again_by_anyone() -> None:
    """Everybody gets the same result."""

    async def main() -> list[RunResult]:
        run = stage(InTurn(), {"ada": "A"}).run("Go")
        first, second = await asyncio.gather(_wait(run), _wait(run))
        return [first, second, await run]

    results = alone(main)
    assert results[0] is results[1] is results[2]
    assert "A" == results[0].answer


async def _wait(run: Run) -> RunResult:
    return await run


async def ended(check: Callable[[], bool]) -> None:
    """Let the loop go round until *check* holds."""
    for _ in range(10_000):
        if check():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to its end")


def test_a_run_goes_on_though_nobody_awaits_it() -> None:
    """Not awaiting and not iterating stalls nothing."""

    async def main() -> tuple[bool, RunResult]:
        run = stage(InTurn(3), {"ada": ["A", "B", "C"]}).run("Go")
        await ended(lambda: run.spine.over)
        return isinstance(run.records[-1].event, RunCompleted), await run

    over, result = alone(main)
    assert over
    assert "C" == result.answer


def test_a_run_that_is_thrown_away_closes_itself() -> None:
    """Losing the object harms nothing: the run ends and gives the sessions back."""

    async def main() -> Any:
        orchestration = stage(InTurn(), {"ada": "A"})
        orchestration.run("Go")
        await ended(lambda: orchestration.agents[0].session.holder is None)
        return orchestration.agents[0].session_history_len

    assert 2 == alone(main)


def test_a_failed_run_has_a_result_and_raises_nothing() -> None:
    """`await run` raises only for set-up mistakes; the error is in the result."""

    async def story(hub: Hub) -> None:
        raise ZeroDivisionError("the mode is wrong")

    result = tell(story).result

    assert ("failed", False, None) == (result.stop_reason, result.complete, result.answer)
    assert isinstance(result.error, ZeroDivisionError)


def test_require_complete_raises_what_happened_as_one_sentence() -> None:
    """It returns the result when it is complete."""
    good = tell(ask_ada).result
    assert good is good.require_complete()

    bad = tell(lambda hub: hub.ask("ada", "x"), Overloaded("busy")).result
    with pytest.raises(NotCompleteError) as caught:
        bad.require_complete()
    expected = (
        f"Run {bad.run_id} is not complete; it ended with 'failed': Agent 'ada' failed: Overloaded: The provider: busy."
    )
    assert expected == str(caught.value)

    async def half(hub: Hub) -> Outcome:
        return Outcome(complete=False, stop_reason="stalled")

    stalled = tell(half).result
    with pytest.raises(NotCompleteError, match=f"^Run {stalled.run_id} is not complete; it ended with 'stalled'$"):
        stalled.require_complete()


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(complete=True), "completed"),
        (Outcome(complete=False), "max_rounds"),
        (Outcome(complete=False, stop_reason="stalled"), "stalled"),
    ],
)
def test_the_stop_reason_is_the_modes_or_follows_from_completeness(outcome: Outcome, reason: str) -> None:
    """One of six words, in the result as in the last event."""

    async def story(hub: Hub) -> Outcome:
        return outcome

    show = tell(story)
    assert reason == show.result.stop_reason
    assert [reason] == [event.stop_reason for event in show.notebook.events(RunCompleted)]


def test_the_answer_is_the_last_thing_said_unless_the_mode_has_one() -> None:
    """A mode may answer with something of its own, also with nothing at all."""

    async def own(hub: Hub) -> Outcome:
        await hub.ask("ada", "x")
        return Outcome(complete=True, answer="")

    assert "" == tell(own).result.answer
    assert "Hello." == tell(ask_ada).result.answer


def test_a_result_as_plain_data() -> None:
    """What ``cloudllm run --json`` prints is JSON, errors as their sentences."""
    import json

    result = tell(ask_ada, Overloaded("busy")).result
    data = json.loads(json.dumps(result.to_json()))

    assert ("failed", False, "Agent 'ada' failed: Overloaded: The provider: busy.") == (
        data["stop_reason"],
        data["complete"],
        data["error"],
    )
    assert {"notebook"} == {sink["name"] for sink in data["sinks"]}


# -- iterating ----------------------------------------------------------------


def test_records_may_be_read_while_it_runs_afterwards_and_twice() -> None:
    """Whoever asks, whenever, gets all records from the first."""

    async def main() -> Any:
        run = stage(InTurn(), {"ada": "A", "bob": "B"}).run("Go")
        live = [record async for record in run]
        late = [record async for record in run]
        return live, late, run.records, await run

    live, late, records, _ = alone(main)
    assert records == live == late
    assert (RunStarted, RunCompleted) == (type(live[0].event), type(live[-1].event))


def test_two_readers_at_different_paces_both_get_everything() -> None:
    """One reader's pace is not another's."""

    async def main() -> tuple[list[int], list[int], int]:
        run = stage(InTurn(3), {"ada": ["A"] * 3, "bob": ["B"] * 3}).run("Go")

        async def read(naps: int) -> list[int]:
            numbers = []
            async for record in run:
                numbers.append(record.number)
                for _ in range(naps):
                    await asyncio.sleep(0)
            return numbers

        fast, slow = await asyncio.gather(read(0), read(3))
        return fast, slow, len(run.records)

    fast, slow, count = alone(main)
    assert list(range(1, count + 1)) == fast == slow


def test_leaving_the_loop_early_harms_nothing() -> None:
    """The run goes on and can be read again."""

    async def main() -> Any:
        run = stage(InTurn(), {"ada": "A", "bob": "B"}).run("Go")
        async for record in run:
            if record.number == 3:
                break
        result = await run
        return result, [record.number async for record in run]

    result, numbers = alone(main)
    assert result.complete
    assert list(range(1, len(numbers) + 1)) == numbers


def test_a_reader_that_is_cancelled_harms_nothing() -> None:
    """Reading is not the run."""

    async def main() -> RunResult:
        orchestration, model = waiting_run()
        run = orchestration.run("Go")

        async def read() -> None:
            async for _ in run:
                pass

        reader = asyncio.create_task(read())
        await model.asked.wait()
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        model.go.set()
        return await run

    assert alone(main).complete


# -- cancelling ---------------------------------------------------------------


def test_cancelling_before_the_start_runs_nothing() -> None:
    """No model is asked; the run is cancelled and replays."""

    async def main() -> Any:
        orchestration, model = waiting_run()
        run = orchestration.run("Go")
        run.cancel()
        return await run, model, orchestration, run.records

    result, model, orchestration, records = alone(main)
    assert [] == model.requests
    assert "cancelled" == result.stop_reason
    assert None is result.error
    assert "RunCancelled" == type(records[-1].event).__name__
    assert "cancelled" == asyncio.run(orchestration.replay(records)).stop_reason
    assert 0 == orchestration.agents[0].session_history_len


def test_cancelling_midway_keeps_what_was_said() -> None:
    """The turn under way is discarded; finished ones stay; the result says what was said and what it cost."""

    async def main() -> Any:
        orchestration, model = waiting_run()
        run = orchestration.run("Go")
        await model.asked.wait()
        model.go.set()
        while len(model.requests) < 2:
            await asyncio.sleep(0)
            model.go.clear()
        run.cancel()
        return await run, run.records, orchestration

    result, records, orchestration = alone(main)
    assert ("cancelled", "Done.", 5) == (result.stop_reason, result.answer, result.usage.total)
    assert RunCancelled(rounds=2, total_tokens=5) == records[-1].event
    assert ["Go", "Done."] == [message.text for message in orchestration.agents[0].session.messages]
    again = asyncio.run(orchestration.replay(records))
    assert ("cancelled", result.messages) == (again.stop_reason, again.messages)


def test_cancelling_twice_is_cancelling_once() -> None:
    """More often is fine; the journal replays."""

    async def main() -> Any:
        orchestration, model = waiting_run()
        run = orchestration.run("Go")
        await model.asked.wait()
        for _ in range(3):
            run.cancel()
        result = await run
        run.cancel()
        return result, run.records, orchestration

    result, records, orchestration = alone(main)
    assert "cancelled" == result.stop_reason
    assert "cancelled" == asyncio.run(orchestration.replay(records)).stop_reason


def test_cancelling_after_the_end_changes_nothing() -> None:
    """The result and the journal stay as they are."""

    async def main() -> Any:
        run = stage(InTurn(), {"ada": "A"}).run("Go")
        result = await run
        count = len(run.records)
        run.cancel()
        await asyncio.sleep(0)
        return result, await run, count, len(run.records)

    result, again, count, later = alone(main)
    assert result is again
    assert result.complete
    assert count == later


def test_a_run_may_be_cancelled_from_another_thread() -> None:
    """A signal handler or a window need not know the loop."""

    async def main() -> RunResult:
        orchestration, model = waiting_run()
        run = orchestration.run("Go")
        await model.asked.wait()
        thread = threading.Thread(target=run.cancel)
        thread.start()
        result = await run
        thread.join()
        return result

    assert "cancelled" == alone(main).stop_reason


def test_cancelling_whoever_awaits_closes_the_run_first() -> None:
    """When the CancelledError comes out, the last record is written and the session given back."""

    async def main() -> Any:
        orchestration, model = waiting_run()
        runs: list[Run] = []

        async def user() -> None:
            runs.append(orchestration.run("Go"))
            await runs[0]

        task = asyncio.create_task(user())
        await model.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return runs[0].records[-1].event, orchestration.agents[0].session.holder

    event, holder = alone(main)
    assert isinstance(event, RunCancelled)
    assert holder is None


def test_a_timeout_around_a_run_closes_it() -> None:
    """`asyncio.timeout` outside a run works as for anything else."""

    async def main() -> Run:
        run = waiting_run()[0].run("Go")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await run
        return run

    run = alone(main)
    assert isinstance(run.records[-1].event, RunCancelled)


def test_leaving_an_async_with_cancels_what_still_runs() -> None:
    """The block is left only when the run is closed; an error in it comes out."""

    async def main() -> Run:
        orchestration, model = waiting_run()
        run = orchestration.run("Go")

        async def user() -> None:
            async with run:
                await model.asked.wait()
                raise KeyError("left")

        with pytest.raises(KeyError):
            await user()
        assert run.spine.over
        return run

    assert isinstance(alone(main).records[-1].event, RunCancelled)


def test_leaving_an_async_with_after_the_end_changes_nothing() -> None:
    """A run that is over is over."""

    async def main() -> RunResult:
        async with stage(InTurn(), {"ada": "A"}).run("Go") as run:
            await run
        return await run

    assert alone(main).complete


def test_a_mode_that_keeps_the_cancellation_to_itself_is_cancelled_all_the_same() -> None:
    """Swallowing CancelledError does not make a cancelled run complete; it replays."""

    async def story(hub: Hub) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await hub.ask("ada", "x")

    async def main() -> Any:
        model = Waiting()
        orchestration = stage(Story(story), {"ada": model})
        run = orchestration.run("Go")
        await model.asked.wait()
        run.cancel()
        return await run, run.records, orchestration

    result, records, orchestration = alone(main)
    assert ("cancelled", False) == (result.stop_reason, result.complete)
    assert isinstance(records[-1].event, RunCancelled)
    assert "cancelled" == asyncio.run(orchestration.replay(records)).stop_reason


def test_effects_in_finally_are_allowed_after_a_cancellation() -> None:
    """A mode may tidy up through the hub; it is recorded and replays."""
    tidied: list[str] = []

    async def story(hub: Hub) -> None:
        try:
            await hub.ask("ada", "x")
        finally:
            tidied.append(await hub.do("tidy", lambda: "tidy", effect="write"))

    async def main() -> Any:
        model = Waiting()
        orchestration = stage(Story(story), {"ada": model})
        run = orchestration.run("Go")
        await model.asked.wait()
        run.cancel()
        return await run, run.records, orchestration

    result, records, orchestration = alone(main)
    asyncio.run(orchestration.replay(records))

    assert "cancelled" == result.stop_reason
    assert ["tidy", "tidy"] == tidied


# -- signals ------------------------------------------------------------------


def test_whoever_listens_makes_agents_stream() -> None:
    """`signals()` gives the pieces, with their place; the records are the same either way."""

    async def main() -> Any:
        orchestration = stage(InTurn(), {"ada": "One two.", "bob": "Three."})
        run = orchestration.run("Go")
        signals = [signal async for signal in run.signals()]
        return signals, await run, run.records, orchestration

    signals, result, records, orchestration = alone(main)
    assert [
        LLMContentDelta(agent="ada", lane="ada", position=1, text="One "),
        LLMContentDelta(agent="ada", lane="ada", position=1, text="two."),
        LLMContentDelta(agent="bob", lane="bob", position=1, text="Three."),
    ] == signals
    assert "Three." == result.answer
    silent = stage(InTurn(), {"ada": "One two.", "bob": "Three."})

    async def unheard() -> Any:
        run = silent.run("Go")
        await run
        return run.records

    assert [record.kind for record in asyncio.run(unheard())] == [record.kind for record in records]
    assert "Three." == asyncio.run(orchestration.replay(records)).answer


def test_a_sink_that_hears_signals_makes_agents_stream() -> None:
    """Its records are the same as those of one that does not."""
    ears = Eavesdropper()
    show = tell(ask_ada, "One two.", sinks=[ears])

    assert ["One ", "two."] == [signal.text for signal in ears.signals]  # type: ignore[attr-defined]
    assert show.notebook.titles == ears.titles


def test_nobody_listening_means_no_streaming() -> None:
    """A provider is only asked to stream when somebody wants it."""

    class Deaf(ScriptedProvider):
        async def stream(self, request: Any, emit: Any) -> Any:
            raise AssertionError("nobody listens")

    assert tell(ask_ada, Deaf("Hi.")).result.complete


def test_leaving_the_signals_early_harms_nothing_and_ends_the_streaming() -> None:
    """The next call is not streamed for nobody."""

    async def main() -> Any:
        run = stage(InTurn(2), {"ada": ["One two.", "Three four."]}).run("Go")
        seen: list[Signal] = []
        stream: AsyncIterator[Signal] = run.signals()
        async for signal in stream:
            seen.append(signal)
            break
        await stream.aclose()  # type: ignore[attr-defined] # an async generator
        assert not run.listening
        return seen, await run

    seen, result = alone(main)
    assert 1 == len(seen)
    assert result.complete


def test_signals_of_a_run_that_is_over_are_none() -> None:
    """Nothing passes by any more."""

    async def main() -> list[Signal]:
        run = stage(InTurn(), {"ada": "A"}).run("Go")
        await run
        return [signal async for signal in run.signals()]

    assert [] == alone(main)


# -- set-up -------------------------------------------------------------------


def test_a_run_needs_agents() -> None:
    """The sentence shows how to give some."""

    async def main() -> None:
        Orchestration([], InTurn(), registry=Registry.of()).run("Go")

    with pytest.raises(SetupError) as caught:
        asyncio.run(main())
    expected = "There are no agents to run. Add some: Orchestration([Agent(...), ...], mode=...)."
    assert expected == str(caught.value)


def test_a_run_needs_a_running_loop_and_says_what_to_do_without() -> None:
    """In a script one calls run_sync; nothing is borrowed meanwhile."""
    orchestration = stage(InTurn(), {"ada": "A"})

    with pytest.raises(SetupError) as caught:
        orchestration.run("Go")
    expected = "run() needs a running event loop. In a script or notebook, call run_sync() instead."
    assert expected == str(caught.value)
    assert orchestration.run_sync("Go").sessions_kept


# -- run_sync and the portal --------------------------------------------------


def test_run_sync_works_in_a_script() -> None:
    """No loop is needed."""
    assert "A" == stage(InTurn(), {"ada": "A"}).run_sync("Go").answer


def test_run_sync_works_again_and_again_on_one_loop() -> None:
    """Providers keep one connection, because it is one loop."""
    loops: list[Any] = []

    def line(request: Any) -> str:
        loops.append(asyncio.get_running_loop())
        return "A"

    orchestration = stage(InTurn(), {"ada": ScriptedProvider(line, repeat=True)})
    orchestration.run_sync("Go")
    orchestration.run_sync("Go")

    assert loops[0] is loops[1]


def test_run_sync_works_inside_a_running_loop() -> None:
    """In a notebook a loop is running already; the call blocks it and comes back."""

    async def main() -> RunResult:
        return stage(InTurn(), {"ada": "A"}).run_sync("Go")

    assert "A" == asyncio.run(main()).answer


def test_run_sync_works_from_a_thread() -> None:
    """Any thread but the portal's own."""
    results: list[RunResult] = []
    thread = threading.Thread(target=lambda: results.append(stage(InTurn(), {"ada": "A"}).run_sync("Go")))
    thread.start()
    thread.join(10)

    assert ["A"] == [result.answer for result in results]


def test_run_sync_inside_its_own_loop_is_refused() -> None:
    """It would wait for itself for ever; a tool that tries is answered with the remedy."""

    @tool(effect="read")
    async def nested() -> str:
        """Run another orchestration."""
        return str(stage(InTurn(), {"eve": "E"}).run_sync("Go").answer)

    model = ScriptedProvider(call("nested"), "Done.")
    result = stage(InTurn(), {"ada": model}, tools=[nested]).run_sync("Go")

    told = "SetupError: This code runs inside a run already, where waiting would block it. Use await instead."
    assert told == model.requests[1].messages[-1].tool_results[0].content
    assert result.complete


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Portal, threading.Event]]:
    """A portal whose caller is interrupted by Ctrl-C as soon as the event is set."""
    portal, when = Portal(), threading.Event()
    submit = asyncio.run_coroutine_threadsafe

    def submitted(coro: Any, loop: Any) -> Any:
        future = submit(coro, loop)

        def result(timeout: float | None = None) -> Any:
            assert when.wait(10)
            raise KeyboardInterrupt

        future.result = result  # type: ignore[method-assign] # a key pressed while waiting here
        return future

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", submitted)
    yield portal, when
    monkeypatch.undo()

    async def left() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}]

    assert [] == portal.call(left)
    portal._loop.call_soon_threadsafe(portal._loop.stop)
    portal._thread.join(10)
    portal._loop.close()


def test_ctrl_c_waits_until_all_is_closed_and_is_raised(interrupted: tuple[Portal, threading.Event]) -> None:
    """What was going on is cancelled and has tidied up before KeyboardInterrupt comes out."""
    portal, when = interrupted
    closed: list[bool] = []

    async def main() -> None:
        try:
            when.set()
            await asyncio.sleep(3600)
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        portal.call(main)
    assert [True] == closed


def test_ctrl_c_closes_a_run_with_its_last_record(interrupted: tuple[Portal, threading.Event]) -> None:
    """The journal of a run that a user interrupts ends with `RunCancelled`; the session is given back."""
    portal, when = interrupted
    runs: list[Run] = []
    agents: list[Any] = []

    async def main() -> RunResult:
        orchestration, model = waiting_run()
        agents.extend(orchestration.agents)
        run = orchestration.run("Go")
        runs.append(run)
        await model.asked.wait()
        asyncio.get_running_loop().call_soon(when.set)
        return await run

    with pytest.raises(KeyboardInterrupt):
        portal.call(main)

    assert isinstance(runs[0].records[-1].event, RunCancelled)
    assert [None] == [agent.session.holder for agent in agents]


# -- nothing leaks ------------------------------------------------------------


def test_failures_leave_nothing_behind() -> None:
    """Neither tasks nor held sessions, whatever went wrong."""

    async def main() -> Any:
        orchestration = stage(Together(), {"ada": Overloaded("busy"), "bob": Waiting("B")}, on_failure="stop")
        return await orchestration.run("Go"), orchestration

    result, orchestration = alone(main)
    assert isinstance(result.error, AgentFailedError)
    assert [None, None] == [agent.session.holder for agent in orchestration.agents]
    assert [[], []] == [agent.parts for agent in orchestration.agents]


def test_a_replay_neither_reaches_sinks_nor_takes_sessions() -> None:
    """It works on copies, performs nothing, and says nothing."""
    show = tell(InTurn(), {"ada": "A", "bob": "B"})
    count, before = len(show.notebook.records), session_of(show)

    result = replay(show)

    assert (count, before) == (len(show.notebook.records), session_of(show))
    assert not result.sessions_kept
    assert show.result.run_id == result.run_id


@pytest.mark.parametrize("prompt", ["", "  ", "\n"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    """A run needs something to do, an agent something to answer; nothing is borrowed."""
    orchestration = stage(InTurn(), {"ada": "A"})

    with pytest.raises(SetupError, match=r"^The prompt is empty\. Say what the agents are to do\.$"):
        orchestration.run_sync(prompt)
    with pytest.raises(SetupError, match=r"^The message is empty\. Say something\.$"):
        orchestration.agents[0].send_sync(prompt)
    assert orchestration.run_sync("Go").sessions_kept
