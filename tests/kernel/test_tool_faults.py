"""
Tools that misbehave: the rows F37 to F48 of the table of faults, one claim each; F39 (a tool that will not be
cancelled) and F40 (a tool that raises whatever there is) are in `test_calls` and `test_spine`.

Whatever a tool does, its call has one result, the turn goes on, the run ends and replays. `test_calls` looks at most of
these more closely; cancellation anywhere is searched in `test_replay_properties`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cloudllm_core import Message, ToolCall, ToolResult, repair_history, tool, validate_history
from cloudllm_core.events import ToolMaxIterationsReached
from cloudllm_core.testing import Show, call, stage
from tests.kernel.stories import InTurn, replay, requests, results_of, tell

FREED = threading.Event()


@pytest.fixture(autouse=True)
def free_the_threads() -> Iterator[None]:
    FREED.clear()
    yield
    FREED.set()


def turn(calls: Any, *tools: Any, **options: Any) -> Show:
    """One turn in which ada makes *calls* and then says so; it replays, and every history is legal."""
    show = tell(InTurn(), {"ada": [calls, "Done."]}, tools=tools, **options)
    assert "Done." == show.result.answer
    for request in requests(show):
        validate_history(request.messages)
    replay(show)
    return show


def test_f37_an_async_tool_that_hangs() -> None:
    """Its time is up, and that is its result."""

    @tool(timeout=0.05)
    async def hang() -> str:
        """Hang."""
        await asyncio.sleep(3600)
        return "never"

    ((said, is_error),) = results_of(turn(call("hang"), hang))
    assert ("No result within 0.05 s; the call was given up, and what it did so far stands.", True) == (said, is_error)


def test_f38_a_sync_tool_that_hangs_in_its_thread() -> None:
    """The loop goes on without it: the other call has its result, and the turn its end."""

    @tool(timeout=0.05)
    def hang() -> str:
        """Hang where nothing can be cancelled."""
        FREED.wait(60)
        return "too late"

    @tool(effect="read")
    def echo(text: str) -> str:
        """Say it again."""
        return text

    first, second = results_of(turn([call("hang"), call("echo", text="here")], hang, echo))
    assert (True, ("here", False)) == (first[0].startswith("No result within 0.05 s"), second)


def _cyclic() -> Any:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    "make",
    [lambda: "x" * 100_000_000, lambda: b"\0\xff" * 9, lambda: float("nan"), _cyclic, object, lambda: iter("abc"),
     lambda: "\ud800", lambda: asyncio.sleep(0), lambda: {1: {2, 3}}],
    ids=["huge", "bytes", "nan", "cyclic", "object", "iterator", "surrogate", "coroutine", "odd keys"],
)  # fmt: skip
def test_f41_a_tool_that_returns_what_is_no_text(make: Any) -> None:
    """It becomes text of a bearable length; what was cut is said."""

    @tool(effect="read")
    def odd() -> Any:
        """Give something odd."""
        return make()

    ((said, _),) = results_of(turn(call("odd"), odd))
    assert len(said) < 100_100
    said.encode()


def test_f42_a_tool_that_changes_its_arguments() -> None:
    """What was recorded and what the model sees stay as they were."""

    @tool
    def spoil(items: list[str], more: dict[str, int]) -> str:
        """Spoil what it was given."""
        items.clear()
        more["b"] = 2
        return "spoiled"

    show = turn(call("spoil", items=["a"], more={"a": 1}), spoil)
    (made,) = requests(show)[1].messages[1].tool_calls
    assert {"items": ["a"], "more": {"a": 1}} == made.arguments


def test_f43_one_of_many_fails_and_one_hangs() -> None:
    """The others finish, and results come in the order of the calls."""

    @tool(timeout=0.05, effect="read")
    async def step(n: int) -> int:
        """Fail at 1, hang at 2."""
        if n == 1:
            raise RuntimeError("one")
        if n == 2:
            await asyncio.sleep(3600)
        return n

    said = results_of(turn([call("step", n=n) for n in range(5)], step))
    assert [("0", False), ("RuntimeError: one", True), ("3", False), ("4", False)] == [said[n] for n in (0, 1, 3, 4)]
    assert said[2][1]


def test_f44_a_thousand_calls_in_one_reply() -> None:
    """As many as the turn may make are made, as many at once as the tool allows, and all are answered."""
    inside, most = 0, 0

    @tool(effect="read", concurrency=3)
    async def step(n: int) -> int:
        """Count who is here."""
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        return n

    show = turn([call("step", n=n) for n in range(1000)], step)
    said = results_of(show)
    assert (1000, 25, 3) == (len(said), sum(not is_error for _, is_error in said), most)
    assert [25] == [event.allowed for event in show.notebook.events(ToolMaxIterationsReached)]


@pytest.mark.parametrize("at", range(2, 14))
def test_f45_a_run_that_is_cancelled_at_any_record(at: int) -> None:
    """It ends as cancelled, its session is legal, and it replays."""

    @tool(effect="read")
    async def step() -> str:
        """Do something."""
        await asyncio.sleep(0)
        return "did"

    async def main() -> Any:

        orchestration = stage(InTurn(), {"ada": [call("step"), "Done."]}, tools=[step])
        run = orchestration.run("Begin.")
        async for record in run:
            if record.number == at:
                run.cancel()
        result = await run
        validate_history(orchestration.agents[0].session.messages)
        await orchestration.replay(run.records)
        return result

    assert asyncio.run(main()).stop_reason in ("cancelled", "completed")


def test_f46_a_history_that_was_torn_between_call_and_result() -> None:
    """It is mended when it is loaded: an open call is answered, a result without its call goes."""
    torn = [
        Message.user("Go."),
        Message.assistant("", ToolCall("a", "step")),
        Message.user("And?"),
        Message.tool([ToolResult("b", "left over")]),
        Message.assistant("Well."),
    ]
    mended, repairs = repair_history(torn)

    validate_history(mended)
    assert repairs
    assert ["a"] == [result.call_id for message in mended for result in message.tool_results]


def test_f47_the_same_call_for_ever() -> None:
    """After so many the model is asked once more, and may call nothing."""

    @tool(effect="read")
    def again() -> str:
        """Nothing new."""
        return "the same"

    show = tell(InTurn(), {"ada": [*[call("again")] * 25, "I give up."]}, tools=[again])
    replay(show)
    assert (26, "none", "I give up.") == (len(requests(show)), requests(show)[-1].tool_choice, show.result.answer)


def test_f48_a_task_that_outlives_its_tool() -> None:
    """The run does not wait for what a tool left running, and its result is what the tool gave."""
    left: list[asyncio.Task[None]] = []

    @tool(effect="read")
    async def leave() -> str:
        """Leave something running."""
        left.append(asyncio.ensure_future(asyncio.sleep(3600)))
        return "left"

    async def main() -> bool:

        orchestration = stage(InTurn(), {"ada": [call("leave"), "Done."]}, tools=[leave])
        result = await orchestration.run("Begin.")
        (task,) = left
        running = not task.done()
        task.cancel()
        return running and result.complete

    assert asyncio.run(main())
