"""Agents: something that can be asked, alone as in a team."""

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
    Event,
    Functions,
    Message,
    Orchestration,
    Registry,
    Request,
    ToolCall,
    ToolResult,
    hookimpl,
    load_records,
    tool,
    validate_history,
)
from cloudllm_core._outlets import Journal, JournalText
from cloudllm_core.errors import (
    AgentFailedError,
    BusyAgentError,
    Overloaded,
    SettingsError,
    SetupError,
    UnknownNameError,
)
from cloudllm_core.events import Forked, ForkedWithContext, MessageReceived, SystemPromptSet
from cloudllm_core.testing import Notebook, ScriptedProvider, call
from tests.kernel.stories import InTurn, Waiting, alone, ask_ada, tell


def agent(*lines: Any, name: str = "ada", **options: Any) -> Agent:
    return Agent(name, ScriptedProvider(*lines), registry=Registry.of(), **options)


def asked(ada: Agent) -> list[Request]:
    requests: list[Request] = ada.provider.requests  # type: ignore[attr-defined] # scripted
    return requests


@tool(effect="read")
async def look() -> str:
    """Look."""
    return "seen"


# -- what it is ---------------------------------------------------------------


def test_the_system_prompt_says_who_it_is_then_its_own_then_the_teams() -> None:
    """Name, expertise and approach in one block; instructions; the orchestration's context, added and not replaced."""
    ada = agent(expertise="HTML5", personality="terse", instructions="Design it.")

    assert "You are ada.\nYour expertise: HTML5\nYour approach: terse\n\nDesign it.\n\nYou build a game." == (
        ada.system_prompt("You build a game.")
    )
    assert "You are ada." == agent().system_prompt()
    assert "You are ada.\n\nDesign it." == agent(instructions="Design it.").system_prompt()
    assert "You are ada.\n\nYou build a game." == agent().system_prompt("You build a game.")


def test_the_system_prompt_reaches_the_model() -> None:
    """Instructions travel beside the history, in every request, and are no message."""
    show = tell(ask_ada, "Hi.", system_context="You build a game.")
    (request,) = show.providers["ada"].requests

    assert "You are ada.\n\nYou build a game." == request.instructions
    assert ["user"] == [message.role for message in request.messages]


@pytest.mark.parametrize("name", ["", "  ", "run", "a/b", "a:b", 'a"b', "a\\b", "a\nb", "a\x00b"])
def test_a_name_that_would_confuse_lanes_or_transcripts_is_refused(name: str) -> None:
    """The error shows the name and what a name may be."""
    with pytest.raises(SettingsError, match=r"name: found .*, expected a name without"):
        agent(name=name)


@pytest.mark.parametrize("name", ["ada", "Ada Lovelace", "αδα", "a.b", "run2", "{x}", "a'b"])
def test_any_other_name_will_do(name: str) -> None:
    """Spaces, letters of any script, dots and braces are fine, through a whole run and its journal."""
    ada = agent("Hi.", name=name)
    registry = Registry.of()

    async def main() -> Any:
        run = Orchestration([ada], InTurn(), registry=registry).run("Go")
        return await run, run.records

    result, records = asyncio.run(main())
    assert name == result.messages[0].agent
    lines = Tape.lines_of(records)
    assert [record.hash for record in records] == [record.hash for record in load_records(lines, "memory")]


class Tape(Journal):
    """Keeps lines in a list."""

    name: ClassVar[str] = "tape"

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    @classmethod
    def create(cls, target: str) -> Tape:
        return cls()

    @classmethod
    def read(cls, target: str) -> JournalText:
        return JournalText(source=target, lines=())

    def append(self, line: bytes, durable: bool) -> None:
        self.lines.append(line.rstrip(b"\n"))

    @staticmethod
    def lines_of(records: Any) -> tuple[bytes, ...]:
        """The lines of records that were made elsewhere, chained anew."""
        from cloudllm_core._journal import Chain

        tape = Tape()
        chain = Chain(records[0].run_id, tape)
        for record in records:
            chain.append(record.at, record.lane, record.position, record.kind, record.text)
        return tuple(tape.lines)


@pytest.mark.parametrize(("options", "found"), [({"max_tokens": 0}, "max_tokens=0"), ({"max_tool_calls": -1}, "-1")])
def test_budgets_are_positive(options: dict[str, int], found: str) -> None:
    """The error names the agent and what was given."""
    with pytest.raises(SettingsError, match="Agent 'ada': found") as caught:
        agent(**options)
    assert found in str(caught.value)


def test_a_model_of_nobody_names_what_is_installed() -> None:
    """A typo in the provider's name is told with the near miss."""

    class Offer:
        @hookimpl
        def cloudllm_register_provider(self) -> type[ScriptedProvider]:
            return ScriptedProvider

    registry = Registry.of(Offer())
    with pytest.raises(UnknownNameError, match="Did you mean 'scripted'?"):
        Agent("ada", "scriptd:m", registry=registry)
    assert "m" == Agent("ada", "scripted:m", registry=registry).model


def test_a_strategy_may_be_a_name_a_table_or_itself() -> None:
    """The registry makes it."""

    class Half(ContextStrategy):
        name: ClassVar[str] = "half"

        def __init__(self, share: float = 0.5) -> None:
            self.share = share

        def choose(self, view: ContextView) -> Cut | None:
            return None

    class Offer:
        @hookimpl
        def cloudllm_register_context_strategy(self) -> type[Half]:
            return Half

    registry = Registry.of(Offer())
    made = [
        Agent("a", ScriptedProvider(), strategy=s, registry=registry) for s in ("half", {"name": "half", "share": 1})
    ]
    assert [0.5, 1] == [one.strategy.share for one in made]  # type: ignore[union-attr]
    itself = Half()
    assert itself is Agent("a", ScriptedProvider(), strategy=itself, registry=registry).strategy


# -- send, stream, generate ---------------------------------------------------


def test_send_remembers() -> None:
    """Each turn sees the ones before."""
    ada = agent("One.", "Two.")

    assert "One." == asyncio.run(ada.send("first")).text
    assert "Two." == asyncio.run(ada.send("second")).text
    assert ["first", "One.", "second"] == [message.text for message in asked(ada)[1].messages]
    assert 4 == ada.session_history_len


def test_send_uses_tools() -> None:
    """Outside an orchestration the same tool loop runs."""
    ada = agent(call("look"), "I saw it.", tools=[look])

    reply = asyncio.run(ada.send("Look."))

    assert ("I saw it.", 1) == (reply.text, reply.tool_calls)
    assert ["user", "assistant", "tool", "assistant"] == [message.role for message in ada.session.messages]


def test_send_sync_is_for_scripts() -> None:
    """The same answer without a loop of one's own."""
    assert "One." == agent("One.").send_sync("first").text


def test_generate_neither_reads_nor_changes_the_session() -> None:
    """The answer to a text alone."""
    ada = agent("One.", "Alone.")
    asyncio.run(ada.send("first"))
    before = ada.session.said.digest

    assert "Alone." == asyncio.run(ada.generate("by itself"))
    assert ["by itself"] == [message.text for message in asked(ada)[1].messages]
    assert before == ada.session.said.digest


def test_generate_works_while_a_run_holds_the_session() -> None:
    """It needs no session."""

    async def main() -> str:
        ada = Agent("ada", model := Waiting(), registry=Registry.of())
        sending = asyncio.ensure_future(ada.send("first"))
        await model.asked.wait()
        generating = asyncio.ensure_future(ada.generate("by itself"))
        await asyncio.sleep(0)
        model.go.set()
        await sending
        return await generating

    assert "Done." == alone(main)


def test_stream_gives_the_text_as_it_comes_and_remembers_it() -> None:
    """The pieces make up the answer; the turn is kept as by `send`."""
    ada = agent(call("look"), "One two three.", tools=[look])

    async def main() -> list[str]:
        return [piece async for piece in ada.stream("first")]

    pieces = alone(main)
    assert ["One ", "two ", "three."] == pieces
    assert "One two three." == ada.session.messages[-1].text


def test_leaving_a_stream_early_cancels_its_turn() -> None:
    """The session is as it was, and nothing is left running."""

    class Slow(ScriptedProvider):
        name: ClassVar[str] = "slow"

        async def stream(self, request: Request, emit: Any) -> Completion:
            emit("content", "One ")
            await asyncio.Event().wait()
            raise AssertionError("never")

    ada = Agent("ada", Slow("One two."), registry=Registry.of())

    async def main() -> list[str]:
        pieces = []
        stream = ada.stream("first")
        async for piece in stream:
            pieces.append(piece)
            break
        await stream.aclose()  # type: ignore[attr-defined] # it is an async generator
        return pieces

    assert ["One "] == alone(main)
    assert 0 == ada.session_history_len
    assert ada.session.holder is None


def test_a_failed_turn_is_raised_and_the_session_is_free_again() -> None:
    """`send`, `stream` and `generate` raise what happened; the agent can be asked again."""
    ada = agent(Overloaded("busy"), Overloaded("busy"), Overloaded("busy"), "At last.")

    async def stream() -> None:
        async for _ in ada.stream("x"):
            raise AssertionError("there is nothing to stream")

    for attempt in (lambda: ada.send("x"), lambda: ada.generate("x"), stream):
        with pytest.raises(AgentFailedError, match="Agent 'ada' failed: Overloaded: The provider: busy."):
            asyncio.run(attempt())
    assert "At last." == asyncio.run(ada.send("x")).text


def test_an_agent_takes_one_turn_at_a_time() -> None:
    """A second `send` meanwhile is refused with the remedy, and the first goes on."""

    async def main() -> tuple[str, str]:
        ada = Agent("ada", model := Waiting(), registry=Registry.of())
        first = asyncio.ensure_future(ada.send("first"))
        await model.asked.wait()
        with pytest.raises(BusyAgentError) as caught:
            await ada.send("second")
        for refused in (lambda: ada.receive_message("x"), lambda: ada.restore([])):
            with pytest.raises(BusyAgentError):
                refused()
        model.go.set()
        return (await first).text, str(caught.value)

    text, told = alone(main)
    assert "Done." == text
    assert (
        "Agent 'ada' cannot take a turn now: a run holds its session. Wait for that turn to end, or use a fork."
    ) == told


def test_a_cancelled_send_gives_the_session_back() -> None:
    """Cancelling whoever waits closes the turn first."""

    async def main() -> Agent:
        ada = Agent("ada", model := Waiting(), registry=Registry.of())
        sending = asyncio.ensure_future(ada.send("first"))
        await model.asked.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        return ada

    ada = alone(main)
    assert (None, 0, []) == (ada.session.holder, ada.session_history_len, ada.parts)


# -- the session --------------------------------------------------------------


def test_a_received_message_is_read_with_the_next_turn() -> None:
    """It is user content, merged with the prompt so that roles alternate."""
    ada = agent("Ok.")
    ada.receive_message("A letter came.")

    asyncio.run(ada.send("Read it."))

    assert [("user", "A letter came.\nRead it.")] == [(m.role, m.text) for m in asked(ada)[0].messages]


def test_a_new_system_prompt_counts_from_the_next_run_on() -> None:
    """Instructions are replaced, the rest of the layout stays."""
    ada = agent("One.", "Two.", instructions="Be kind.")
    asyncio.run(ada.send("x"))
    ada.set_system_prompt("Be terse.")
    asyncio.run(ada.send("x"))

    instructions = [request.instructions for request in asked(ada)]
    assert ["You are ada.\n\nBe kind.", "You are ada.\n\nBe terse."] == instructions


def test_restoring_repairs_what_is_not_legal() -> None:
    """A history from elsewhere becomes the session; what was mended is told."""
    ada = agent("Go on.")

    repairs = ada.restore([Message.assistant("I was"), Message.assistant("", ToolCall("a", "look"))])

    assert 3 == len(repairs)
    validate_history(ada.session.messages)
    asyncio.run(ada.send("x"))
    validate_history(asked(ada)[0].messages)


def test_restoring_a_legal_history_is_silent() -> None:
    """Nothing to repair, nothing told."""
    ada = agent()
    history = [Message.user("a"), Message.assistant("b")]

    assert [] == ada.restore(history)
    assert tuple(history) == ada.session.messages


# -- forks --------------------------------------------------------------------


def test_a_fork_begins_afresh_with_the_same_tools() -> None:
    """Settings are those of the agent; the session is empty and its own."""
    ada = agent("One.", "Two.", tools=[look], instructions="Be kind.", expertise="HTML")
    asyncio.run(ada.send("first"))

    fork = ada.fork("eve")

    assert ("eve", 0, ("look",)) == (fork.name, fork.session_history_len, fork.list_tools())
    assert "You are eve.\nYour expertise: HTML\n\nBe kind." == fork.system_prompt()
    asyncio.run(fork.send("second"))
    assert (2, 2) == (ada.session_history_len, fork.session_history_len)
    assert "ada" == ada.fork().name


def test_a_fork_with_context_keeps_pairs_of_calls_and_results_whole() -> None:
    """The whole history is copied; afterwards each goes its own way."""
    ada = agent(call("look"), "Seen.", "Two.", tools=[look])
    asyncio.run(ada.send("first"))

    fork = ada.fork_with_context("eve")
    asyncio.run(fork.send("second"))

    assert ada.session.messages == fork.session.messages[:4]
    validate_history(fork.session.messages)
    assert [ToolResult("call_1", "seen")] == list(fork.session.messages[2].tool_results)
    assert (4, 6) == (ada.session_history_len, fork.session_history_len)


def test_a_fork_works_while_its_original_does() -> None:
    """The remedy that `BusyAgentError` names."""

    async def main() -> list[str]:
        ada = Agent("ada", model := Waiting(), registry=Registry.of())
        first = asyncio.ensure_future(ada.send("first"))
        await model.asked.wait()
        second = asyncio.ensure_future(ada.fork("eve").send("second"))
        model.go.set()
        return [(await first).text, (await second).text]

    assert ["Done.", "Done."] == alone(main)


def test_a_fork_has_no_part_in_the_runs_of_its_original() -> None:
    """Tools that a fork is given meanwhile are no input of the run that is under way."""

    async def main() -> list[str]:
        ada = Agent("ada", model := Waiting(), registry=Registry.of())
        run = Orchestration([ada], InTurn(), registry=Registry.of()).run("Go")
        await model.asked.wait()
        ada.fork("eve").add_protocol(Functions([look], "more"))
        model.go.set()
        await run
        return [record.kind for record in run.records]

    assert 1 == alone(main).count("input")


def test_an_agent_cannot_be_compared_with_its_fork() -> None:
    """Agents have a life: two are never equal."""
    ada = agent()

    assert ada != ada.fork()


# -- events -------------------------------------------------------------------


def test_what_happened_outside_runs_is_announced_in_order_with_the_next_turn() -> None:
    """Received, told, forked: nothing is lost, nothing twice, in the order in which it happened."""
    registry, notebook = Registry.of(), Notebook()
    ada = agent("One.", "Two.")
    ada.receive_message("A letter.")
    ada.set_system_prompt("Be terse.")
    ada.receive_message("Another.")
    eve = ada.fork_with_context("eve")
    bob = ada.fork("bob")

    async def main() -> None:
        await Orchestration([ada, eve, bob], InTurn(), sinks=[notebook], registry=registry).run("Go")

    bob.provider = eve.provider = ScriptedProvider("x", "y")
    asyncio.run(main())

    wanted = (MessageReceived, SystemPromptSet, Forked, ForkedWithContext)
    events: list[Event] = [record.event for record in notebook.records if isinstance(record.event, wanted)]
    assert [
        MessageReceived(agent="ada"),
        SystemPromptSet(agent="ada"),
        MessageReceived(agent="ada"),
        ForkedWithContext(agent="eve"),
        Forked(agent="bob"),
    ] == events


def test_a_run_that_cannot_begin_takes_no_news() -> None:
    """What is still to be announced stays for the next run."""
    ada = agent("One.")
    ada.receive_message("A letter.")
    orchestration = Orchestration([ada], InTurn(), registry=Registry.of())

    with pytest.raises(SetupError, match="needs a running event loop"):
        orchestration.run("Go")
    assert [MessageReceived(agent="ada")] == ada.waiting
    orchestration.run_sync("Go")
    assert [] == ada.waiting


def test_a_fork_has_options_and_metadata_of_its_own() -> None:
    """What is changed at a fork stays there."""
    ada = Agent("ada", ScriptedProvider(), options={"temperature": 0}, metadata={"team": "a"}, registry=Registry.of())

    fork = ada.fork("eve")
    fork.options["temperature"] = 1
    fork.metadata["team"] = "b"

    assert ({"temperature": 0}, {"team": "a"}) == (ada.options, ada.metadata)
