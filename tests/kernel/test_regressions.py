"""What the original gets wrong, each as a test that would fail if it came back. The letters are those of its list."""

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
    Message,
    Orchestration,
    Outcome,
    Registry,
    Request,
    Usage,
    tool,
    validate_history,
)
from cloudllm_core.errors import AgentFailedError, Overloaded, StreamTruncated
from cloudllm_core.events import Event, Forked, ForkedWithContext, MessageReceived
from cloudllm_core.testing import Notebook, ScriptedProvider, call, stage
from tests.kernel.stories import InTurn, Together, alone, ask_ada, histories, session_of, tell


@tool(effect="read")
async def look(text: str = "") -> str:
    """Look."""
    return f"seen {text}"


def test_b1_a_second_run_of_an_orchestration_works() -> None:
    """The original panics."""
    show = tell(InTurn(2), {"ada": ["A"] * 9, "bob": ["B"] * 9})

    for _ in range(3):
        result = show.orchestration.run_sync("Again.")
        assert ("completed", 4) == (result.stop_reason, len(result.messages))
    for name in ("ada", "bob"):
        session_of(show, name)


def test_b1_a_second_run_works_after_one_that_failed_or_was_cancelled() -> None:
    """Whatever became of the first."""

    async def main() -> Any:
        orchestration = stage(InTurn(), {"ada": [Overloaded("busy"), "A"], "bob": [Overloaded("busy"), "B"]})
        cancelled = orchestration.run("x")
        cancelled.cancel()
        return await cancelled, await orchestration.run("x"), await orchestration.run("x")

    cancelled, failed, good = alone(main)
    assert ("cancelled", "failed", "completed") == (cancelled.stop_reason, failed.stop_reason, good.stop_reason)


@pytest.mark.parametrize("mode", [InTurn(4), Together(4)])
def test_b2_no_agent_is_told_its_own_reply(mode: Any) -> None:
    """The original injects an agent's own words into its session a second time."""
    script = {name: [f"{name.upper()}{n}" for n in range(4)] for name in ("ada", "bob", "cyn")}
    show = tell(mode, script)

    for name, lines in script.items():
        last = histories(show, name)[-1]
        for line in lines[:3]:
            assert 1 == sum(text.count(line) for _, text in last)
        others = [line for other, said in script.items() if other != name for line in said[:3]]
        for line in others:
            assert 1 == sum(text.count(line) for role, text in last if role == "user")


def test_b6_a_run_in_which_all_agents_failed_is_not_complete() -> None:
    """The original calls it complete, with a score."""
    show = tell(Together(), {"ada": Overloaded("busy"), "bob": Overloaded("busy")})

    assert (False, "failed", None) == (show.result.complete, show.result.stop_reason, show.result.score)
    assert isinstance(show.result.error, AgentFailedError)


def test_b14_no_call_dangles_after_the_cap() -> None:
    """The original leaves the last calls unanswered, and every later request is refused by the provider."""
    model = ScriptedProvider(*[call("look")] * 4, "Enough.", "Still here.")
    ada = Agent("ada", model, tools=[look], max_tool_calls=4, registry=Registry.of())

    asyncio.run(ada.send("Look."))
    asyncio.run(ada.send("And now?"))

    for request in model.requests:
        validate_history(request.messages)
    assert "none" == model.requests[4].tool_choice


def test_b14_a_batch_does_not_exceed_the_cap() -> None:
    """The original counts replies, not calls."""
    ran: list[int] = []

    @tool(effect="write")
    async def act(number: int) -> str:
        """Act."""
        ran.append(number)
        return "ok"

    model = ScriptedProvider([call("act", number=n) for n in range(20)], "Done.")
    asyncio.run(Agent("ada", model, tools=[act], max_tool_calls=5, registry=Registry.of()).send("x"))

    assert 5 == len(ran)


@pytest.mark.parametrize(
    "text",
    [
        '{"tool_call": {"name": "look", "parameters": {"text": "a } b"}}}',
        'For example: ```json\n{"tool_call": {"name": "look", "parameters": {}}}\n```',
    ],
)
def test_b14_json_in_text_is_never_executed(text: str) -> None:
    """The original runs whatever looks like a call, also when it is quoted or was said by somebody else."""
    looked: list[str] = []

    @tool(effect="read", name="look")
    async def watched(text: str = "") -> str:
        """Look."""
        looked.append(text)
        return "seen"

    show = tell(InTurn(), {"ada": text, "bob": text}, prompt=text, tools=[watched])

    assert [] == looked
    assert [text, text] == [reply.text for reply in show.result.messages]


def test_b15_a_restored_session_survives_being_added_to_an_orchestration() -> None:
    """The original replaces it with an empty one."""
    ada = Agent("ada", model := ScriptedProvider("I do."), registry=Registry.of())
    ada.restore([Message.user("Remember 42."), Message.assistant("I will.")])
    orchestration = stage(InTurn(), {"bob": "B"})

    orchestration.add_agent(ada)
    assert 2 == ada.session_history_len
    orchestration.run_sync("Do you remember?")

    said = [message.text for message in model.requests[0].messages]
    assert ["Remember 42.", "I will.", "bob: B\nDo you remember?"] == said


def test_b16_usage_is_counted_once() -> None:
    """The original adds the last call's usage again when a later one says nothing."""
    known = Completion(Message.assistant("A"), usage=Usage(input=10, output=1))
    unknown = Completion(Message.assistant("B"), usage=None)
    show = tell(InTurn(3), {"ada": [known, unknown, known]})

    assert Usage(input=20, output=2) == show.result.usage
    assert [11, 0, 11] == [reply.usage.total for reply in show.result.messages]
    again = show.orchestration
    again.agents[0].provider = ScriptedProvider(known, repeat=True)
    assert Usage(input=30, output=3) == again.run_sync("x").usage


def test_b16_agents_that_share_a_provider_do_not_share_usage() -> None:
    """The original reads it from the client, where agents race."""
    model = ScriptedProvider(
        lambda request: Completion(
            Message.assistant("x"), usage=Usage(output=1 if "ada" in request.instructions else 100)
        ),
        repeat=True,
    )
    registry = Registry.of()
    agents = [Agent(name, model, registry=registry) for name in ("ada", "bob")]

    result = Orchestration(agents, Together(3), registry=registry).run_sync("x")

    assert {"ada": Usage(output=3), "bob": Usage(output=300)} == result.usage_by_agent


def test_b17_a_truncated_stream_is_never_a_success() -> None:
    """The original takes a stream that broke off for a short answer."""

    class Torn(ScriptedProvider):
        name: ClassVar[str] = "torn"

        async def stream(self, request: Request, emit: Any) -> Completion:
            emit("content", "The answer is ")
            raise StreamTruncated("the stream ended without its end", self.name)

    async def main() -> Any:
        orchestration = stage(InTurn(), {"ada": Torn()})
        run = orchestration.run("x")
        heard = [signal async for signal in run.signals()]
        return heard, await run, orchestration

    heard, result, orchestration = alone(main)
    assert 1 == len(heard)
    assert ("failed", False, None) == (result.stop_reason, result.complete, result.answer)
    assert "StreamTruncated: torn: the stream ended without its end." in str(result.error)
    assert 0 == orchestration.agents[0].session_history_len


def test_b17_broken_arguments_do_not_become_empty_ones() -> None:
    """The original calls the tool with ``{}``."""
    from cloudllm_core import ToolCall

    looked: list[str] = []

    @tool(effect="read", name="look")
    async def watched(text: str = "") -> str:
        """Look."""
        looked.append(text)
        return "seen"

    broken = ToolCall("c1", "look", {}, problem="it is not JSON", raw='{"text": "a')
    show = tell(ask_ada, [broken, "Sorry."], tools=[watched])

    assert [] == looked
    assert "its arguments cannot be read" in show.providers["ada"].requests[1].messages[-1].tool_results[0].content


class Newest(ContextStrategy):
    """Keeps as little as it may."""

    name: ClassVar[str] = "newest"

    def choose(self, view: ContextView) -> Cut | None:
        return view.cuts[-1] if view.load > 0.8 and view.cuts else None


def test_b19_the_newest_user_message_is_never_dropped() -> None:
    """The original trims it away when the budget is tight."""
    model = ScriptedProvider("short", repeat=True)
    ada = Agent("ada", model, strategy=Newest(), max_tokens=100, registry=Registry.of())

    for number in range(12):
        asyncio.run(ada.send(f"question {number} " + "x" * 100))
        assert model.requests[-1].messages[-1].text.startswith(f"question {number} ")
        validate_history(model.requests[-1].messages)
    assert ada.session_history_len < 24


def test_b19_tool_schemas_and_instructions_are_counted() -> None:
    """The original counts messages only, and providers refuse the rest."""

    @tool(description="d" * 2_000)
    async def wordy() -> str:
        """Never called."""
        return ""

    for options in ({"tools": [wordy]}, {"instructions": "i" * 2_000}):
        ada = Agent("ada", model := ScriptedProvider("never"), max_tokens=400, registry=Registry.of(), **options)  # type: ignore[arg-type]
        with pytest.raises(AgentFailedError, match="and its budget is 400"):
            asyncio.run(ada.send("x"))
        assert [] == model.requests


def test_b26_forks_and_messages_are_announced_in_order() -> None:
    """The original sends these events from detached tasks, in any order."""
    registry = Registry.of()
    for _ in range(5):
        notebook = Notebook()
        ada = Agent("ada", ScriptedProvider("A"), registry=registry)
        for number in range(3):
            ada.receive_message(f"letter {number}")
        eve = ada.fork("eve")
        eve.receive_message("x")
        bob = ada.fork_with_context("bob")
        eve.provider, bob.provider = ScriptedProvider("E"), ScriptedProvider("B")
        Orchestration([eve, ada, bob], InTurn(), sinks=[notebook], registry=registry).run_sync("x")
        wanted = (MessageReceived, Forked, ForkedWithContext)
        events: list[Event] = [record.event for record in notebook.records if isinstance(record.event, wanted)]
        assert [
            Forked(agent="eve"),
            MessageReceived(agent="eve"),
            *[MessageReceived(agent="ada")] * 3,
            ForkedWithContext(agent="bob"),
        ] == events


ENDS = {
    "RunStarted": ("RunCompleted", "RunFailed", "RunCancelled"),
    "RoundStarted": ("RoundCompleted",),
    "SendStarted": ("SendCompleted", "AgentFailed"),
    "LLMCallStarted": ("LLMCallCompleted",),
    "ToolCallDetected": ("ToolExecutionCompleted",),
}


async def _raises(hub: Hub) -> Outcome:
    async with hub.round():
        await hub.ask("ada", "x")
        raise LookupError("a bug")


@pytest.mark.parametrize(
    ("story", "line"),
    [
        (InTurn(), [call("look"), "Done."]),
        (InTurn(), Overloaded("busy")),
        (InTurn(), [call("look"), Overloaded("busy")]),
        (_raises, "Done."),
    ],
    ids=["well", "model fails", "model fails later", "mode fails"],
)
def test_b26_each_start_has_one_end_in_order(story: Any, line: Any) -> None:
    """The original has no event for a failed turn or run."""
    titles = tell(story, line, tools=[look]).notebook.titles

    for start, ends in ENDS.items():
        begun = 0
        for title in titles:
            begun += (title == start) - (title in ends)
            assert begun in (0, 1)
        assert 0 == begun
    assert titles[0] == "RunStarted"
    assert titles[-1] in ENDS["RunStarted"]


def test_b26_a_cancelled_run_closes_what_it_began() -> None:
    """In order, from the inside: the call, the turn, the round, the run."""

    class Hanging(ScriptedProvider):
        name: ClassVar[str] = "hanging"

        async def complete(self, request: Request) -> Completion:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError("never")

    asked = asyncio.Event()

    async def main() -> list[str]:
        run = stage(InTurn(), {"ada": Hanging()}).run("x")
        await asked.wait()
        run.cancel()
        await run
        return [type(record.event).__name__ for record in run.records]

    assert [
        "RunStarted",
        "RoundStarted",
        "AgentSelected",
        "SendStarted",
        "LLMCallStarted",
        "InputTaken",
        "LLMCallCompleted",
        "AgentFailed",
        "RoundCompleted",
        "RunCancelled",
    ] == alone(main)
