"""A person or a function allows calls, and whatever is not a yes is a no; and dry runs, and allow lists."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest

from cloudllm_core import Functions, Hub, tool
from cloudllm_core.testing import call, rehearse, run_virtually, stage
from cloudllm_tool_wrappers import Approved, Decided, DeniedError, DryRun, Only


def results_of(show: Any) -> list[str]:
    messages = show.providers["ada"].requests[-1].messages
    return [result.content for message in messages for result in message.tool_results]


# -- a person -----------------------------------------------------------------


def test_a_person_is_asked_before_each_call(workshop: Any, once: Any) -> None:
    """The run's approver is asked about the named tools, with arguments; what it refuses is not done."""
    inner, asked = workshop(), []

    def approver(agent: str, name: str, arguments: Any) -> Any:
        asked.append((agent, name, dict(arguments)))
        return arguments["word"] == "oak" or "elm is rare"

    calls = [call("look", word="x"), call("build", word="oak"), call("build", word="elm")]
    script = {"ada": [calls, "Done."]}
    show = asyncio.run(rehearse(once(), script, tools=[Approved(inner, ["build"])], approver=approver))

    assert [("ada", "build", {"word": "oak"}), ("ada", "build", {"word": "elm"})] == asked
    assert [("look", {"word": "x"}), ("build", {"word": "oak"})] == inner.calls
    assert "The call was not approved: elm is rare. Do not try it again." == results_of(show)[2]


def test_all_tools_are_meant_if_none_is_named(workshop: Any) -> None:
    """Approved(inner) asks about everything, also about what is read."""
    assert all(one.approve for one in Approved(workshop()).tools())


# -- a function ---------------------------------------------------------------


def raising(*_: Any) -> bool:
    raise OSError("the rule book is gone")


async def later(*_: Any) -> bool:
    await asyncio.sleep(0)
    return True


async def never(*_: Any) -> bool:
    await asyncio.Event().wait()
    return True


@pytest.mark.parametrize(
    ("decide", "reason"),
    [
        (lambda *_: False, "the answer was False"),
        (lambda *_: None, "the answer was None"),
        (lambda *_: 1, "the answer was 1"),
        (lambda *_: "", "the answer was ''"),
        (lambda *_: [True], "the answer was [True]"),
        (lambda *_: "not on Sundays", "not on Sundays"),
        (raising, "deciding about it failed (OSError: the rule book is gone)"),
        (lambda: True, "deciding about it failed (TypeError: "),
        (never, "nobody decided about it within 5 s"),
        (lambda *_: sys.exit(), "deciding about it failed (RuntimeError: it raised SystemExit("),
    ],
)
def test_whatever_is_not_true_is_a_refusal(workshop: Any, context: Any, decide: Any, reason: str) -> None:
    """Other answers, errors and silence: the call is not made, and the model reads why."""
    inner = workshop()
    protocol = Decided(inner, decide, seconds=5)

    async def main(loop: Any) -> None:
        await protocol.call("build", {"word": "oak"}, context())

    run = asyncio.run if decide is not never else None
    with pytest.raises(DeniedError) as refused:
        run(main(None)) if run else run_virtually(main)
    assert str(refused.value).startswith(f"The call of 'build' was not made: {reason}")
    assert str(refused.value).endswith("Do not try it again.")
    assert [] == inner.calls


def test_a_blocked_function_is_not_waited_for(workshop: Any, context: Any) -> None:
    """A plain function that hangs is given up when its time is over; the event loop goes on meanwhile."""
    inner, gate = workshop(), threading.Event()
    protocol = Decided(inner, lambda *_: gate.wait(), seconds=0.05)

    try:
        with pytest.raises(DeniedError, match=r"nobody decided about it within 0\.05 s"):
            asyncio.run(protocol.call("build", {"word": "oak"}, context()))
    finally:
        gate.set()
    assert [] == inner.calls


@pytest.mark.parametrize("decide", [lambda *_: True, later], ids=["plain", "async"])
def test_true_lets_a_call_through(workshop: Any, context: Any, decide: Any) -> None:
    """Then it is made once, as it was."""
    inner = workshop()

    asyncio.run(Decided(inner, decide).call("build", {"word": "oak"}, context()))

    assert [("build", {"word": "oak"})] == inner.calls


def test_a_decider_cannot_change_what_is_done(workshop: Any, context: Any) -> None:
    """It gets a copy of the arguments: what was allowed is what is done."""
    inner, given = workshop(), {"word": "oak"}

    def decide(name: str, arguments: Any, about: Any) -> bool:
        arguments["word"] = "bomb"
        return name == "build" and about.agent == "ada"

    asyncio.run(Decided(inner, decide).call("build", given, context()))

    assert [("build", {"word": "oak"})] == inner.calls


def test_only_named_tools_are_decided_about(workshop: Any, context: Any) -> None:
    """The others are left as they are."""
    protocol = Decided(workshop(), lambda *_: False, ["build"])

    asyncio.run(protocol.call("look", {"word": "oak"}, context()))
    with pytest.raises(DeniedError):
        asyncio.run(protocol.call("build", {"word": "oak"}, context()))


def test_a_cancelled_call_is_not_made(workshop: Any, context: Any) -> None:
    """Whoever gives up while it is decided about has not asked for it."""
    inner = workshop()

    async def main() -> None:
        task = asyncio.ensure_future(Decided(inner, never).call("build", {"word": "oak"}, context()))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    assert [] == inner.calls


def test_composite_tools_are_decided_about_by_the_journal(once: Any) -> None:
    """A replay decides as the run did, and asks nobody."""
    asked, led = [], []

    @tool(effect="composite")
    async def lead(hub: Hub, word: str) -> str:
        """Lead."""
        led.append(word)
        return word

    def decide(name: str, arguments: Any, about: Any) -> bool:
        asked.append(arguments["word"])
        return bool(arguments["word"] == "oak")

    script = {"ada": [[call("lead", word="oak"), call("lead", word="elm")], "Done."]}
    tools = [Decided(Functions([lead]), decide)]
    show = asyncio.run(rehearse(once(), script, tools=tools))
    assert "oak" == results_of(show)[0]
    assert "DeniedError: The call of 'lead' was not made: the answer was False." in results_of(show)[1]

    asyncio.run(stage(once(), script, tools=tools).replay(show.records))
    assert ["elm", "oak"] == sorted(asked)
    assert ["oak", "oak"] == led


# -- dry runs and allow lists -------------------------------------------------


def test_a_dry_run_tells_what_it_would_have_done(workshop: Any, context: Any) -> None:
    """The answer names the tool and its arguments; a long one is cut."""
    protocol = DryRun(workshop())

    told = asyncio.run(protocol.call("build", {"word": "\u00e9"}, context()))
    long = asyncio.run(protocol.call("build", {"word": "x" * 5_000}, context()))

    expected = "This is a dry run: build was not called and nothing has changed. It would have been given "
    assert expected + '{"word": "\u00e9"}' == told
    assert len(long) < 2_200
    assert long.endswith("...")


def test_what_is_not_named_cannot_be_called(workshop: Any, context: Any) -> None:
    """Only what is named is offered, and a call of another does not arrive."""
    inner = workshop()
    protocol = Only(inner, ["look", "weigh"])

    assert ["look", "weigh"] == [one.name for one in protocol.tools()]
    with pytest.raises(LookupError) as refused:
        asyncio.run(protocol.call("build", {}, context()))
    assert "There is no tool 'build' in only-workshop (look, weigh)." == str(refused.value)
    with pytest.raises(LookupError, match=r"Did you mean 'look'\?"):
        asyncio.run(protocol.call("lock", {}, context()))
    assert [] == inner.calls
