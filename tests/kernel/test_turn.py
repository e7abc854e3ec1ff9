"""A turn is a transaction: kept whole, discarded whole, or closed with a note; its cost counts either way."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from cloudllm_core import (
    Agent,
    Completion,
    ContextStrategy,
    ContextView,
    Cut,
    Hub,
    Limits,
    Message,
    Private,
    Registry,
    Reply,
    Request,
    Text,
    Usage,
    tool,
    validate_history,
)
from cloudllm_core.errors import AgentFailedError, LimitReachedError, Overloaded
from cloudllm_core.events import AgentFailed, ContextCompacted, RunCancelled, SendCompleted, SendStarted
from cloudllm_core.testing import ScriptedProvider, call, stage
from tests.kernel.stories import Story, alone, ask_ada, replay, requests, session_of, tell, tell_virtually

COST = Usage(input=10, output=5)


def says(text: str, *calls: Any) -> Completion:
    """An answer that costs 15 tokens."""
    return Completion(Message.assistant(text, *calls), "end", COST)


def charge_tool(charged: list[int], **options: Any) -> Any:
    @tool(effect="write", **options)
    async def charge(amount: int) -> str:
        """Charge the card."""
        charged.append(amount)
        return f"charged {amount}"

    return charge


def registered(name: str, provider: Any, **options: Any) -> Agent:
    return Agent(name, provider, registry=Registry.of(), **options)


# -- discarded ----------------------------------------------------------------


def test_a_failed_turn_leaves_the_session_as_it_was() -> None:
    """Messages and digest are those of before; the agent can go on."""
    ada = registered("ada", ScriptedProvider("One.", Overloaded("too busy"), "Three."))
    asyncio.run(ada.send("first"))
    before, digest = ada.session.messages, ada.session.said.digest

    with pytest.raises(AgentFailedError, match="Agent 'ada' failed: Overloaded: The provider: too busy."):
        asyncio.run(ada.send("second"))

    assert before == ada.session.messages
    assert digest == ada.session.said.digest
    assert "Three." == asyncio.run(ada.send("third")).text
    assert ["first", "One.", "third", "Three."] == [message.text for message in ada.session.messages]


def test_a_turn_that_only_read_is_discarded_with_its_calls() -> None:
    """Reading can be repeated, so nothing of it is kept when the turn fails."""

    @tool(effect="read")
    async def look() -> str:
        """Look."""
        return "seen"

    @tool(effect="idempotent")
    async def touch() -> str:
        """Touch."""
        return "touched"

    script = [[call("look"), call("touch")], Overloaded("too busy")]
    show = tell(lambda hub: hub.try_ask("ada", "x"), script, tools=[look, touch])

    assert [] == session_of(show)
    assert [False] == [event.kept for event in show.notebook.events(AgentFailed)]
    replay(show)


def test_a_cancelled_turn_leaves_the_session_as_it_was() -> None:
    """Cancelling between two model calls discards the turn."""
    reached = asyncio.Event()

    class Hanging(ScriptedProvider):
        name: ClassVar[str] = "hanging"

        async def complete(self, request: Request) -> Completion:
            completion = await super().complete(request)
            if len(self.requests) > 1:
                reached.set()
                await asyncio.Event().wait()
            return completion

    async def main() -> Any:
        orchestration = stage(Story(ask_ada), {"ada": Hanging(says("hm", call("nothing")), says("never"))})
        orchestration.agents[0].receive_message("before")
        digest = orchestration.agents[0].session.said.digest
        run = orchestration.run("Go")
        await reached.wait()
        run.cancel()
        return orchestration.agents[0], digest, await run, run.records

    ada, digest, result, records = alone(main)

    assert digest == ada.session.said.digest
    assert ["before"] == [message.text for message in ada.session.messages]
    assert {"ada": COST} == result.usage_by_agent
    assert [AgentFailed(agent="ada", error="cancelled", tokens_used=15)] == [
        record.event for record in records if isinstance(record.event, AgentFailed)
    ]


def test_the_cost_of_a_failed_turn_counts() -> None:
    """What was paid before the failure is in the result and in the event."""
    script = [says("thinking", call("nothing")), says("still", call("nothing")), Overloaded("too busy")]
    show = tell(lambda hub: hub.try_ask("ada", "x"), script)

    assert {"ada": COST + COST} == show.result.usage_by_agent
    assert COST + COST == show.result.usage
    assert [30] == [event.tokens_used for event in show.notebook.events(AgentFailed)]


# -- closed -------------------------------------------------------------------


def test_a_turn_in_which_something_was_written_is_closed_and_says_why() -> None:
    """The completed call keeps its result, a note says that the turn broke off and why, and the next turn works."""
    charged: list[int] = []
    provider = ScriptedProvider([call("charge", amount=5)], Overloaded("too busy"), "Now it works.")
    show = tell(lambda hub: hub.try_ask("ada", "Charge 5."), provider, tools=[charge_tool(charged)])
    ada = show.orchestration.agents[0]

    why = "Overloaded: The provider: too busy"
    note = f"This turn broke off: {why}. What it had completed stands; do not repeat it."
    messages = ada.session.messages
    assert ["user", "assistant", "tool", "assistant"] == [message.role for message in messages]
    assert ["charged 5"] == [result.content for result in messages[2].tool_results]
    assert note == messages[3].text
    assert [True] == [event.kept for event in show.notebook.events(AgentFailed)]
    replay(show)

    assert "Now it works." == asyncio.run(ada.send("Go on.")).text
    assert [5] == charged
    validate_history(requests(show)[-1].messages)
    assert note in [message.text for message in requests(show)[-1].messages]


def test_a_write_that_raised_may_have_happened() -> None:
    """A write that failed on the way may have had its effect, so the turn is closed too."""

    @tool(effect="write")
    async def half() -> str:
        """Half-write."""
        raise ConnectionError("lost in the middle")

    show = tell(lambda hub: hub.try_ask("ada", "x"), [call("half"), Overloaded("too busy")], tools=[half])

    assert [True] == [event.kept for event in show.notebook.events(AgentFailed)]
    assert 4 == len(session_of(show))


def test_a_write_that_cancelled_itself_may_have_happened() -> None:
    """However a write ends, it had begun."""

    @tool(effect="write")
    async def odd() -> str:
        """Cancel itself."""
        raise asyncio.CancelledError

    show = tell(lambda hub: hub.try_ask("ada", "x"), [call("odd"), Overloaded("too busy")], tools=[odd])

    assert [True] == [event.kept for event in show.notebook.events(AgentFailed)]
    replay(show)


def test_a_write_that_was_refused_has_not_happened() -> None:
    """Wrong arguments are no reason to keep a failed turn."""
    charged: list[int] = []
    script = [call("charge", amount="five"), Overloaded("too busy")]
    show = tell(lambda hub: hub.try_ask("ada", "x"), script, tools=[charge_tool(charged)])

    assert [] == charged
    assert [] == session_of(show)
    assert [False] == [event.kept for event in show.notebook.events(AgentFailed)]


def test_a_write_in_flight_at_cancellation_finishes_and_is_recorded() -> None:
    """The card is charged once: the write ends, its result is kept, open calls are answered, the next turn knows."""
    charging, finish = asyncio.Event(), asyncio.Event()
    charged: list[int] = []

    @tool(effect="write")
    async def charge(amount: int) -> str:
        """Charge the card."""
        charging.set()
        await finish.wait()
        charged.append(amount)
        return f"charged {amount}"

    @tool(effect="read")
    async def watch() -> str:
        """Never come back."""
        await asyncio.Event().wait()
        return "never"

    async def main() -> Any:
        script = [[call("charge", amount=5), call("watch")], "I see that it was charged."]
        orchestration = stage(Story(ask_ada), {"ada": script}, tools=[charge, watch])
        run = orchestration.run("Charge 5.")
        await charging.wait()
        run.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not run._future.done()
        finish.set()
        result = await run
        ada = orchestration.agents[0]
        closed = ada.session.messages
        again = await ada.send("Was it charged?")
        return orchestration, run.records, result, closed, again, ada

    orchestration, records, result, closed, again, ada = alone(main)

    assert [5] == charged
    assert "cancelled" == result.stop_reason
    assert ["charged 5", "not completed: cancelled"] == [one.content for one in closed[2].tool_results]
    assert [False, True] == [one.is_error for one in closed[2].tool_results]
    assert "This turn broke off: cancelled. What it had completed stands; do not repeat it." == closed[3].text
    assert "I see that it was charged." == again.text
    validate_history(ada.session.messages)
    outcomes = [record.body["outcome"] for record in records if record.kind == "finished"]
    assert sorted(["ok", "cancelled", "ok"]) == sorted(outcomes)
    assert "cancelled" == asyncio.run(orchestration.replay(records)).stop_reason


def test_a_write_before_a_cancelled_model_call_closes_the_turn() -> None:
    """The write is over, the model is thinking: a cancellation keeps what was written."""
    charged: list[int] = []

    def line(request: Request) -> Any:
        return call("charge", amount=1)

    class ThenHang(ScriptedProvider):
        name: ClassVar[str] = "then-hang"

        async def complete(self, request: Request) -> Completion:
            if self.requests:
                await asyncio.sleep(3600)
            return await super().complete(request)

    async def story(hub: Hub) -> None:
        with pytest.raises(TimeoutError):
            async with hub.timeout(9):
                await hub.ask("ada", "Charge.")

    show = tell_virtually(story, ThenHang(line), tools=[charge_tool(charged)])

    assert [1] == charged
    assert ["user", "assistant", "tool", "assistant"] == [role for role, _ in session_of(show)]
    replay(show)


def test_a_limit_after_a_write_closes_the_turn() -> None:
    """A run that may make no more model calls ends; what was written is kept with a note."""
    charged: list[int] = []
    show = tell(ask_ada, [call("charge", amount=1), "never"], tools=[charge_tool(charged)], limits=Limits(calls=1))

    assert "limit" == show.result.stop_reason
    text = session_of(show)[-1][1]
    assert text.startswith("This turn broke off: The run reached its limit of 1 calls.")


def test_the_cost_of_a_closed_turn_counts() -> None:
    """What a broken-off turn has cost is counted once."""
    charged: list[int] = []
    script = [says("", *[ScriptedProvider()._with_id(call("charge", amount=1))]), Overloaded("too busy")]
    show = tell(lambda hub: hub.try_ask("ada", "x"), script, tools=[charge_tool(charged)])

    assert {"ada": COST} == show.result.usage_by_agent
    assert [15] == [event.tokens_used for event in show.notebook.events(AgentFailed)]


def test_what_a_closed_turn_heard_is_not_heard_again() -> None:
    """The prompt and the news stay in the closed turn, so the next one begins with the news since."""
    charged: list[int] = []

    async def story(hub: Hub) -> None:
        await hub.ask("bob", "Task.")
        await hub.try_ask("ada", "Task.")
        await hub.ask("bob", "Task.")
        await hub.ask("ada", "Task.")

    ada = ScriptedProvider([call("charge", amount=1)], Overloaded("too busy"), "Fine.")
    show = tell(story, {"ada": ada, "bob": ["B1", "B2"]}, tools=[charge_tool(charged)])

    assert ["bob: B1\nTask.", "bob: B1\nTask.", "bob: B2"] == show.heard("ada")


def test_what_a_discarded_turn_heard_is_heard_again() -> None:
    """The cursor moves only when the turn is kept."""

    async def story(hub: Hub) -> None:
        await hub.ask("bob", "Task.")
        await hub.try_ask("ada", "Task.")
        await hub.ask("bob", "Task.")
        await hub.ask("ada", "Task.")

    ada = ScriptedProvider(Overloaded("too busy"), "Fine.")
    show = tell(story, {"ada": ada, "bob": ["B1", "B2"]})

    assert ["bob: B1\nTask.", "bob: B1\n\nbob: B2\nTask."] == show.heard("ada")


# -- notes, usage and events --------------------------------------------------


def test_a_note_goes_with_its_turn_and_is_not_kept() -> None:
    """All model calls of the turn carry the note; the session does not."""

    async def story(hub: Hub) -> None:
        await hub.ask("ada", "Task.", note="Only today.")

    show = tell(story, [call("nothing"), "Done."])

    assert ["Task.\nOnly today."] * 2 == show.heard("ada")
    assert ("user", "Task.") == session_of(show)[0]
    assert [("Task.", "Only today.")] == [(e.message, e.note) for e in show.notebook.events(SendStarted)]


def test_usage_that_a_provider_does_not_say_is_unknown_not_zero() -> None:
    """`tokens_used` is None when one completion of the turn did not say."""
    show = tell(ask_ada, Completion(Message.assistant("Hi."), usage=None))

    assert [None] == [event.tokens_used for event in show.notebook.events(SendCompleted)]
    assert 0 == show.result.usage.total


def test_a_reply_says_what_its_turn_cost() -> None:
    """All model calls of a turn together."""
    show = tell(ask_ada, [says("", ScriptedProvider()._with_id(call("nothing"))), says("Done.")])

    assert (Reply("ada", "Done.", COST + COST, 1),) == show.result.messages


# -- strategies ---------------------------------------------------------------


class Foreign(ContextStrategy):
    """Chooses a cut that it was not offered."""

    name: ClassVar[str] = "foreign"

    def choose(self, view: ContextView) -> Cut | None:
        return Cut(index=1, turns_kept=1, tokens_after=1)


class Newest(ContextStrategy):
    """Keeps as little as it may."""

    name: ClassVar[str] = "newest"

    def choose(self, view: ContextView) -> Cut | None:
        return view.cuts[-1] if view.cuts else None


class Breaks(ContextStrategy):
    """Raises."""

    name: ClassVar[str] = "breaks"

    def choose(self, view: ContextView) -> Cut | None:
        raise ZeroDivisionError("no load")


def test_a_strategy_that_returns_a_foreign_cut_fails_the_turn_clearly() -> None:
    """The error names the strategy and the cut."""
    ada = registered("ada", ScriptedProvider("One."), strategy=Foreign())

    with pytest.raises(AgentFailedError) as caught:
        asyncio.run(ada.send("x"))

    cut = "Cut(index=1, turns_kept=1, tokens_after=1)"
    expected = f"Agent 'ada' failed: The strategy 'foreign' chose a cut that was not offered: {cut}."
    assert expected == str(caught.value)
    assert 0 == ada.session_history_len


def test_a_strategy_that_raises_fails_the_turn_and_nothing_else() -> None:
    """The error of the strategy is told; the session is as it was."""
    ada = registered("ada", ScriptedProvider("One."), strategy=Breaks())

    with pytest.raises(AgentFailedError, match="ZeroDivisionError: no load"):
        asyncio.run(ada.send("x"))
    assert 0 == ada.session_history_len


def test_a_cut_lets_old_turns_go_and_is_announced() -> None:
    """A strategy is asked before each model call; what it lets go is gone from request and session."""
    ada = registered("ada", ScriptedProvider("One.", "Two.", "Three."), strategy=Newest())
    asyncio.run(ada.send("first"))
    asyncio.run(ada.send("second"))
    asyncio.run(ada.send("third"))

    assert ["third", "Three."] == [message.text for message in ada.session.messages]
    assert [1, 1, 1] == [len(request.messages) for request in ada.provider.requests]  # type: ignore[attr-defined]


def test_a_compaction_is_an_event_with_both_sizes() -> None:
    """`ContextCompacted` names the strategy, the cut and the estimates before and after; it replays."""

    async def story(hub: Hub) -> None:
        await hub.ask("ada", "x" * 400)
        await hub.ask("ada", "y" * 400)

    async def main() -> Any:
        orchestration = stage(Story(story), {"ada": ["One.", "Two."]})
        orchestration.agents[0].strategy = Newest()
        run = orchestration.run("Go")
        await run
        return orchestration, run.records

    orchestration, records = asyncio.run(main())

    (event,) = [record.event for record in records if isinstance(record.event, ContextCompacted)]
    assert ("ada", "newest", 2) == (event.agent, event.strategy, event.kept_from)
    assert event.tokens_before > event.tokens_after
    assert ["y" * 400, "Two."] == [message.text for message in orchestration.agents[0].session.messages]
    asyncio.run(orchestration.replay(records))


def test_a_session_that_outgrows_its_budget_names_the_package_to_install() -> None:
    """Without a strategy the turn fails before anything is sent."""
    provider = ScriptedProvider("never")
    ada = registered("ada", provider, max_tokens=50)

    with pytest.raises(AgentFailedError) as caught:
        asyncio.run(ada.send("x" * 400))

    assert (
        "Agent 'ada' failed: The session of 'ada' needs about 104 tokens and its budget is 50. "
        "Install one with: pip install cloudllm-context-trim, and give the agent strategy='trim'."
    ) == str(caught.value)
    assert [] == provider.requests


def test_a_strategy_that_cannot_make_room_is_named() -> None:
    """A turn that is too long by itself cannot be helped, and says so."""
    ada = registered("ada", ScriptedProvider("never"), max_tokens=50, strategy=Newest())

    with pytest.raises(AgentFailedError) as caught:
        asyncio.run(ada.send("x" * 400))

    assert str(caught.value).endswith(
        "needs about 104 tokens and its budget is 50. "
        "The strategy 'newest' could not make room; this turn alone may be too long."
    )


def test_a_failed_turn_takes_back_its_cut() -> None:
    """A strategy's cut belongs to the turn: when the turn fails, the session is whole again."""
    ada = registered("ada", ScriptedProvider("One.", Overloaded("busy")), strategy=Newest())
    asyncio.run(ada.send("first"))
    before = ada.session.said.digest

    with pytest.raises(AgentFailedError):
        asyncio.run(ada.send("second"))

    assert before == ada.session.said.digest
    assert 2 == ada.session_history_len


def test_the_limit_of_an_agent_that_is_sent_to_is_raised() -> None:
    """Outside an orchestration an agent's own limits count."""
    ada = registered("ada", ScriptedProvider(call("nothing"), "never"), limits=Limits(calls=1))

    with pytest.raises(LimitReachedError, match="limit of 1 calls"):
        asyncio.run(ada.send("x"))
    assert 0 == ada.session_history_len


def test_a_cancelled_run_says_what_it_cost() -> None:
    """`RunCancelled` counts what was paid."""

    async def story(hub: Hub) -> None:
        await hub.ask("ada", "x")
        await hub.do("stop", run_of[0].cancel)
        await hub.sleep(60)

    run_of: list[Any] = []

    async def main() -> Any:
        orchestration = stage(Story(story), {"ada": says("Hi.")})
        run_of.append(orchestration.run("Go"))
        return await run_of[0], run_of[0].records

    result, records = alone(main)

    assert ("cancelled", 15) == (result.stop_reason, result.usage.total)
    assert RunCancelled(rounds=0, total_tokens=15) == records[-1].event


# -- an answer that pauses ----------------------------------------------------


def pauses(*parts: Any) -> Completion:
    return Completion(Message("assistant", parts), "pause", COST)


def test_a_paused_answer_goes_on_where_it_was() -> None:
    """A provider that pauses is asked to go on, with what it has said so far; the whole is one message."""
    trace = Private("scripted", "scripted", {"search": "tides"})
    provider = ScriptedProvider(pauses(trace), pauses(Text("High water")), says("is at noon."))
    ada = registered("ada", provider)
    reply = asyncio.run(ada.send("When?"))

    assert "High water\nis at noon." == reply.text
    assert 45 == reply.usage.total
    assert [("user",), ("user", "assistant"), ("user", "assistant")] == [
        tuple(message.role for message in request.messages) for request in provider.requests
    ]
    assert (trace,) == provider.requests[1].messages[-1].parts
    assert (trace, Text("High water"), Text("is at noon.")) == ada.session.messages[-1].parts
    validate_history(ada.session.messages)


def test_a_paused_answer_may_end_in_calls() -> None:
    """What was said before the pause stays with the calls, and their results follow."""

    def look() -> str:
        """Look."""
        return "blue"

    provider = ScriptedProvider(pauses(Text("Let me see.")), call("look"), "It is blue.")
    ada = registered("ada", provider, tools=[look])

    assert "It is blue." == asyncio.run(ada.send("Which colour?")).text
    assert ["user", "assistant", "tool", "assistant"] == [message.role for message in ada.session.messages]
    assert "Let me see." == ada.session.messages[1].text


def test_an_answer_that_pauses_for_ever_is_taken_as_it_is() -> None:
    """After ten pauses in a row the turn ends with what there is."""
    provider = ScriptedProvider(pauses(Text("Hm.")), repeat=True)

    assert "\n".join(["Hm."] * 11) == asyncio.run(registered("ada", provider).send("Well?")).text
    assert 11 == len(provider.requests)


def test_an_empty_pause_is_an_empty_answer() -> None:
    """There is nothing to go on from."""
    provider = ScriptedProvider(pauses(), "never asked")

    assert "" == asyncio.run(registered("ada", provider).send("Well?")).text.replace("(no answer)", "")
    assert 1 == len(provider.requests)
