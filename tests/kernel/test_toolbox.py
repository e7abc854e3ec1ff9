"""Toolboxes: tools from many protocols at once, coming and going while an agent works."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_core import (
    Agent,
    Functions,
    Hub,
    Orchestration,
    Prefixed,
    Registry,
    RunResult,
    ToolContext,
    ToolDefinition,
    ToolProtocol,
    hookimpl,
    tool,
)
from cloudllm_core._records import Record
from cloudllm_core._toolbox import Toolbox, protocols_of
from cloudllm_core.errors import SettingsError, SetupError, ToolConflictError
from cloudllm_core.events import ProtocolAdded, ProtocolRemoved, ToolCallRefused
from cloudllm_core.testing import ScriptedProvider, call
from tests.kernel.stories import Story, ask_ada, results_of, tell


class Box(ToolProtocol):
    """A protocol of named tools that answer with their own name."""

    name: ClassVar[str] = "box"

    def __init__(self, *names: str, called: str = "box") -> None:
        self.names, self.name = names, called  # type: ignore[misc] # of an instance

    def tools(self) -> Sequence[ToolDefinition]:
        return [
            ToolDefinition(name=name, description=name, parameters={"type": "object"}, effect="read")
            for name in self.names
        ]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        return f"{self.name}.{tool}"


@tool(effect="read")
async def look() -> str:
    """Look."""
    return "seen"


# -- names --------------------------------------------------------------------


def test_tools_of_many_protocols_are_offered_together() -> None:
    """Each call goes to the protocol its tool comes from."""
    tools = [Box("a", "b", called="one"), Box("c", called="two"), look]
    show = tell(ask_ada, [[call("c"), call("a"), call("look")], "Done."], tools=tools)

    assert ["two.c", "one.a", "seen"] == [text for text, _ in results_of(show)]


def test_two_tools_of_one_name_name_both_protocols_and_the_remedy() -> None:
    """A model could not tell them apart; the sentence shows how to give a prefix."""
    with pytest.raises(ToolConflictError) as caught:
        Agent(
            "ada",
            ScriptedProvider(),
            tools=[Box("a", called="one"), Box("b", "a", called="two")],
            registry=Registry.of(),
        )

    assert (
        "The tool 'a' comes from one and from two, and a model could not tell them apart. "
        "Give one a prefix: Prefixed(two, prefix='...')"
    ) == str(caught.value)


def test_a_prefix_makes_room_for_both() -> None:
    """`Prefixed` is the remedy the error names."""
    tools = [Box("a", called="one"), Prefixed(Box("a", called="two"), prefix="second_")]
    show = tell(ask_ada, [[call("a"), call("second_a")], "Done."], tools=tools)

    assert ["one.a", "two.a"] == [text for text, _ in results_of(show)]


def test_a_conflict_adds_nothing() -> None:
    """After a refused protocol all is as before."""
    ada = Agent("ada", ScriptedProvider(), tools=[Box("a")], registry=Registry.of())

    with pytest.raises(ToolConflictError):
        ada.add_protocol(Box("b", "a", called="two"))

    assert ("a",) == ada.list_tools()
    with pytest.raises(SetupError):
        ada.remove_protocol("two")


def test_protocols_of_one_name_are_numbered() -> None:
    """Two file roots are two protocols; each can be removed by its own name."""
    box = Toolbox()

    assert ["box", "box-2", "box-3"] == [box.add(Box("a")), box.add(Box("b")), box.add(Box("c"))]
    box.remove("box-2")
    assert ["a", "c"] == [definition.name for definition in box.definitions]
    assert "box-2" == box.add(Box("d"))


def test_a_name_that_is_taken_is_refused() -> None:
    """An explicit name is never changed behind one's back."""
    box = Toolbox.of([Box("a")])

    with pytest.raises(SetupError) as caught:
        box.add(Box("b"), "box")
    expected = "A tool protocol called 'box' is here already. Remove it first, or give another name."
    assert expected == str(caught.value)


def test_removing_what_is_not_there_names_the_near_miss() -> None:
    """The sentence lists what is there."""
    with pytest.raises(SetupError) as caught:
        Toolbox.of([Box("a")]).remove("bax")

    assert "No tool protocol called 'bax' is here (box). Did you mean 'box'?" == str(caught.value)


@pytest.mark.parametrize("thing", [7, None, {"name": 1}, b"look"])
def test_what_is_no_tool_is_refused_by_name(thing: Any) -> None:
    """A list of tools holds functions, protocols or names."""
    with pytest.raises(SetupError) as caught:
        protocols_of([thing])

    expected = f"{thing!r} is not a tool. Give a function decorated with @tool, a ToolProtocol, or the name of one."
    assert expected == str(caught.value)


def test_one_word_is_no_list_of_tools() -> None:
    """A string would be taken letter by letter, so it is refused with the list to write."""
    with pytest.raises(SetupError) as caught:
        Agent("ada", ScriptedProvider(), tools="memory", registry=Registry.of())

    assert "tools='memory' is one word; give a list of tools, such as tools=['memory']." == str(caught.value)


def test_tools_are_found_by_name_and_by_table() -> None:
    """The registry makes them from their settings."""

    class Sized(Box):
        name: ClassVar[str] = "sized"

        def __init__(self, size: int = 1) -> None:
            super().__init__(*[f"t{n}" for n in range(size)], called="sized")

    class Offer:
        @hookimpl
        def cloudllm_register_tool_protocol(self) -> type[ToolProtocol]:
            return Sized

    registry = Registry.of(Offer())

    assert ("t0",) == Agent("ada", ScriptedProvider(), tools=["sized"], registry=registry).list_tools()
    table = {"name": "sized", "size": 3}
    ada = Agent("ada", ScriptedProvider(), tools=[table], registry=registry)
    assert ("t0", "t1", "t2") == ada.list_tools()
    ada.remove_protocol("sized")
    assert "sized" == ada.add_protocol("sized")
    assert ("t0",) == ada.list_tools()


def test_digest_and_estimate_follow_the_tools() -> None:
    """They are counted anew when a protocol comes or goes, and only what a model sees decides the digest."""
    box = Toolbox.of([Box("a")])
    digest, tokens = box.digest, box.tokens

    box.add(Box("b"))
    assert digest != box.digest
    assert tokens < box.tokens
    box.remove("box-2")
    assert (digest, tokens) == (box.digest, box.tokens)
    assert digest == Toolbox.of([Box("a", called="other")]).digest


# -- tools for one turn -------------------------------------------------------


def test_tools_for_a_turn_are_offered_in_this_turn_only() -> None:
    """All model calls of the turn see them, the next turn does not."""

    async def story(hub: Hub) -> None:
        await hub.ask("ada", "one", tools=[Box("extra")])
        await hub.ask("ada", "two")

    show = tell(story, [call("extra"), "One.", call("extra"), "Two."], tools=[look])

    names = [[definition.name for definition in r.tools] for r in show.providers["ada"].requests]
    assert [["look", "extra"], ["look", "extra"], ["look"], ["look"]] == names
    assert [("box.extra", False)] == results_of(show, call=1)
    assert [("There is no tool called 'extra'. Your tools: look.", True)] == results_of(show, call=3)


def test_a_turns_tool_that_clashes_fails_the_turn_clearly() -> None:
    """The agent's tools are not replaced silently."""

    async def story(hub: Hub) -> None:
        await hub.try_ask("ada", "one", tools=[Box("look")])

    show = tell(story, "Never.", tools=[look])

    assert "The tool 'look' comes from functions and from box" in str(show.result.error)
    assert [] == show.providers["ada"].requests


# -- while the agent works ----------------------------------------------------


def hot(change: Any, script: Any) -> tuple[RunResult, list[Record], Orchestration, ScriptedProvider]:
    """A run in which ada's second model call comes after *change* was made to her, from outside."""
    provider = ScriptedProvider(*script)

    async def main() -> Any:
        asked, gate = asyncio.Event(), asyncio.Event()

        @tool(effect="read")
        async def gated() -> str:
            """Wait for the gate."""
            asked.set()
            await gate.wait()
            return "through"

        registry = Registry.of()
        ada = Agent("ada", provider, tools=[gated], registry=registry)
        orchestration = Orchestration([ada], Story(ask_ada), registry=registry)
        run = orchestration.run("Go")
        await asked.wait()
        change(ada)
        gate.set()
        return await run, run.records, orchestration

    result, records, orchestration = asyncio.run(main())
    return result, records, orchestration, provider


def offered(provider: ScriptedProvider) -> list[list[str]]:
    return [[definition.name for definition in request.tools] for request in provider.requests]


def test_a_protocol_added_while_the_agent_works_is_seen_by_the_next_model_call() -> None:
    """It is an input of the run, shown as `ProtocolAdded`, and replays without the protocol."""
    result, records, _, provider = hot(
        lambda ada: ada.add_protocol(Box("fresh")), [call("gated"), call("fresh"), "Done."]
    )

    assert [["gated"], ["gated", "fresh"], ["gated", "fresh"]] == offered(provider)
    assert "box.fresh" == provider.requests[2].messages[-1].tool_results[0].content
    inputs = [record for record in records if record.kind == "input" and record.number > 1]
    assert [ProtocolAdded(agent="ada", protocol_name="box")] == [record.event for record in inputs]
    assert result.complete

    async def again() -> RunResult:
        @tool(effect="read")
        async def gated() -> str:
            """Wait for the gate."""
            raise AssertionError("a replay performs nothing")

        registry = Registry.of()
        ada = Agent("ada", ScriptedProvider(), tools=[gated], registry=registry)
        return await Orchestration([ada], Story(ask_ada), registry=registry).replay(records)

    assert result.messages == asyncio.run(again()).messages


def test_a_protocol_removed_while_the_agent_works_is_gone_from_the_next_model_call() -> None:
    """A call to what is gone is answered; the run replays."""
    result, records, _, provider = hot(
        lambda ada: (ada.add_protocol(Box("fresh")), ada.remove_protocol("functions")),
        [call("gated"), call("gated"), "Done."],
    )

    assert [["gated"], ["fresh"], ["fresh"]] == offered(provider)
    refused = [record.event for record in records if isinstance(record.event, ToolCallRefused)]
    assert ["There is no tool called 'gated'. Your tools: fresh."] == [event.reason for event in refused]
    assert [ProtocolAdded, ProtocolRemoved] == [type(r.event) for r in records if r.kind == "input"][1:]
    assert result.complete


def test_a_call_in_flight_is_not_harmed_by_removing_its_protocol() -> None:
    """The call under way keeps its result."""
    _, _, _, provider = hot(lambda ada: ada.remove_protocol("functions"), [call("gated"), "Done."])

    assert "through" == provider.requests[1].messages[-1].tool_results[0].content


def test_outside_a_run_the_event_comes_with_the_next_turn() -> None:
    """A change between runs is announced when the agent is next asked, once."""
    show = tell(ask_ada, ["One.", "Two."])
    ada = show.orchestration.agents[0]
    ada.add_protocol(Box("fresh"))
    ada.remove_protocol("box")

    async def twice() -> Any:
        first = show.orchestration.run("Go")
        await first
        return first.records

    events = [type(record.event) for record in asyncio.run(twice())]
    assert [ProtocolAdded, ProtocolRemoved] == [cls for cls in events if cls in (ProtocolAdded, ProtocolRemoved)]
    assert [] == ada.waiting


def test_a_tool_of_an_ended_run_is_no_input_any_more() -> None:
    """Adding a protocol after the end touches no closed journal."""
    result, records, orchestration, _ = hot(lambda ada: None, [call("gated"), "Done."])
    ada = orchestration.agents[0]

    ada.add_protocol(Box("late"))

    assert [] == ada.parts
    assert 1 == len(ada.waiting)
    assert len(records) == records[-1].number
    assert result.complete


def test_the_gates_of_a_tool_hold_for_a_run_not_for_ever() -> None:
    """An agent may run in one event loop after another, with concurrency limits."""

    @tool(effect="read", concurrency=1)
    async def narrow() -> str:
        """One at a time."""
        await asyncio.sleep(0)
        return "ok"

    show = tell(ask_ada, ScriptedProvider([call("narrow")] * 3, "Done.", [call("narrow")] * 3, "Done."), tools=[narrow])
    again = show.orchestration.run_sync("Again.")

    assert again.complete
    assert [("ok", False)] * 3 == results_of(show, call=3)


def test_definitions_that_come_and_go_are_plain_data() -> None:
    """What an input record holds of a definition makes the same definition again."""
    (definition,) = Functions([look]).tools()

    assert definition == ToolDefinition(**attrs.asdict(definition))


@pytest.mark.parametrize(
    ("inner", "prefix", "sentence"),
    [
        ("calculator", "x_", "inner: found 'calculator', expected a tool protocol, or in a team file the name of one."),
        (Functions([]), "my calc.", "prefix: found 'my calc.', expected at most 32 letters, digits, _ and -."),
    ],
)
def test_a_prefix_that_no_provider_takes_is_refused(inner: Any, prefix: str, sentence: str) -> None:
    """So is what has no tools."""
    with pytest.raises(SettingsError) as caught:
        Prefixed(inner, prefix)

    assert sentence == str(caught.value)


def test_a_class_is_no_tool() -> None:
    """An instance of it is."""
    with pytest.raises(SetupError) as caught:
        protocols_of([Functions])

    assert "Functions is a class; give an instance of it: Functions(...)" == str(caught.value)
