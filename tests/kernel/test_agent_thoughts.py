"""Agents that keep thoughts: what they note, and how another day goes on from it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudllm_core import Agent, Functions, Orchestration, Registry, ThoughtChain, ThoughtType, hookimpl, tool
from cloudllm_core.errors import SetupError, UnknownNameError
from cloudllm_core.events import ThoughtCommitted
from cloudllm_core.testing import ScriptedProvider
from tests.kernel.shelves import Diary
from tests.kernel.stories import InTurn


@tool(effect="read")
def look(at: str) -> str:
    """Look at a thing."""
    return at


def keeping(chain: Diary, *lines: Any, **options: Any) -> Agent:
    return Agent("ada", ScriptedProvider(*lines), thoughts=chain, registry=Registry.of(), **options)


def commit(agent: Agent, *thoughts: tuple[str, str, list[int]]) -> None:
    async def main() -> None:
        for type, content, refs in thoughts:
            await agent.commit(type, content, refs)

    asyncio.run(main())


def test_a_thought_is_kept_with_who_the_agent_was() -> None:
    """The first thought carries the agent's identity; the next only what is new."""
    chain = Diary()
    ada = keeping(chain, instructions="Be short.", expertise="tides", tools=[look])
    commit(ada, (ThoughtType.FINDING, "It is wet.", []), ("Hunch", "It will rain.", [0]))

    assert [("Finding", "It is wet.", ()), ("Hunch", "It will rain.", (0,))] == [
        (thought.type, thought.content, thought.refs) for thought in chain.kept
    ]
    assert {
        "name": "ada",
        "instructions": "Be short.",
        "expertise": "tides",
        "personality": "",
        "model": "scripted:scripted",
        "tools": ["look"],
    } == chain.kept[0].meta["agent"]
    assert {} == chain.kept[1].meta


def test_a_change_of_the_agent_is_noted_with_its_next_thought() -> None:
    """Whoever resumes gets the agent as it was last."""
    chain = Diary()
    ada = keeping(chain)
    commit(ada, ("Finding", "one", []))
    ada.set_system_prompt("Be long.")
    commit(ada, ("Finding", "two", []))

    assert "Be long." == chain.identity()["instructions"]  # type: ignore[index]


def test_a_commit_is_announced_with_the_next_turn() -> None:
    """What happened outside a run is said when one begins."""
    chain = Diary()
    ada = keeping(chain, "Hello.")
    commit(ada, ("Finding", "one", []))

    async def main() -> list[Any]:
        run = Orchestration([ada], InTurn(), registry=Registry.of()).run("Go.")
        await run
        return [record.event for record in run.records]

    assert ThoughtCommitted(agent="ada", thought_type="Finding", index=0) in asyncio.run(main())


def test_without_a_chain_a_commit_says_how_to_have_one() -> None:
    """Nothing is dropped in silence."""
    ada = Agent("ada", ScriptedProvider(), registry=Registry.of())

    with pytest.raises(SetupError) as caught:
        asyncio.run(ada.commit("Finding", "lost?"))

    assert "Agent 'ada' keeps no thoughts. Give it some: Agent(..., thoughts='jsonl:DIR')" == str(caught.value)


@pytest.mark.parametrize("ref", [1, -1, 7, True, "0"])
def test_a_reference_to_no_thought_is_refused(ref: Any) -> None:
    """A thought builds on earlier ones only; nothing is added then."""
    chain = Diary()
    ada = keeping(chain)
    commit(ada, ("Finding", "one", []))

    with pytest.raises(SetupError, match=f"A thought cannot refer to {ref!r}: the chain holds thoughts 0 to 0."):
        asyncio.run(ada.commit("Finding", "two", [ref]))

    assert 1 == len(chain.kept)


def test_the_context_of_a_thought_is_all_that_it_builds_on() -> None:
    """Transitive, sorted, each once; what is unrelated stays out."""
    chain = Diary()
    ada = keeping(chain)
    commit(ada, ("Finding", "a", []), ("Finding", "b", []), ("Decision", "c", [0]), ("Question", "d", []))
    commit(ada, ("TaskComplete", "e", [2, 0, 2]))

    assert [0, 2, 4] == [thought.index for thought in chain.resolve_context(4)]
    assert (
        "=== RESTORED CONTEXT (from ThoughtChain) ===\n"
        "[#0] Finding (ada): a\n"
        "[#2] Decision (ada): c\n"
        "  refs: 0\n"
        "[#4] TaskComplete (ada): e\n"
        "  refs: 0, 2\n"
        "=== END RESTORED CONTEXT ==="
    ) == chain.to_bootstrap_prompt(4)
    assert (
        "=== RECENT CONTEXT ===\n[#3] Question (ada): d\n[#4] TaskComplete (ada): e\n  refs: 0, 2\n"
        "=== END RECENT CONTEXT ==="
    ) == chain.to_catchup_prompt(2)
    assert "" == chain.to_catchup_prompt(0)


def test_a_thought_that_is_not_there_has_no_context() -> None:
    """An index is checked, from both ends."""
    for index in (0, -1, 3):
        with pytest.raises(SetupError, match=f"holds 0 thoughts, and none with the index {index}"):
            Diary().resolve_context(index)


def test_resuming_restores_identity_tools_and_context() -> None:
    """Another day's agent is the one that was, and knows what its last thought builds on."""
    chain = Diary()
    first = keeping(chain, instructions="Be short.", expertise="tides", personality="calm", tools=[look])
    commit(first, ("Finding", "a", []), ("Decision", "b", [0]))

    provider = ScriptedProvider("Good morning.")
    again = Agent.resume_from_latest(chain, provider, tools=[look], registry=Registry.of())
    again.send_sync("Go on.")
    (request,) = provider.requests

    assert ("ada", "Be short.", "tides", "calm") == (
        again.name, again.instructions, again.expertise, again.personality,
    )  # fmt: skip
    assert ("look",) == again.list_tools()
    assert chain.to_bootstrap_prompt(1) == request.messages[0].parts[0].text  # type: ignore[union-attr]
    assert again.thoughts is chain


def test_a_resumed_agent_keeps_its_context_in_an_orchestration() -> None:
    """Being added to a team takes nothing away."""
    chain = Diary()
    commit(keeping(chain), ("Finding", "a", []))
    provider = ScriptedProvider("Good morning.")
    again = Agent.resume_from_latest(chain, provider, registry=Registry.of())
    Orchestration([again], InTurn(), registry=Registry.of()).run_sync("Go on.")

    assert "[#0] Finding (ada): a" in provider.requests[0].messages[0].text


def test_a_tool_it_had_and_that_is_not_to_be_had_is_named() -> None:
    """Rather an error than an agent that lacks a hand."""
    chain = Diary()
    commit(keeping(chain, tools=[look]), ("Finding", "a", []))

    with pytest.raises(SetupError) as caught:
        Agent.resume_from_latest(chain, ScriptedProvider(), registry=Registry.of())

    assert (
        "'ada' had the tool 'look', and there is none here. Give it: Agent.resume_from_latest(..., tools=[...])"
    ) == str(caught.value)


def test_a_protocol_is_looked_up_by_its_name() -> None:
    """A plugin's tools come back by themselves."""

    class Eyes(Functions):
        name = "eyes"

        def __init__(self) -> None:
            super().__init__([look], "eyes")

    class Plugin:
        @hookimpl
        def cloudllm_register_tool_protocol(self) -> type[Any]:
            return Eyes

    class Seeing(Eyes):
        pass

    registry, chain = Registry.of(Plugin()), Diary()
    identity = {"name": "ada", "model": "x:y", "tools": ["eyes"]}
    chain.commit(identity, "Finding", "a")

    assert ("look",) == Agent.resume_from_latest(chain, ScriptedProvider(), registry=registry).list_tools()


def test_an_empty_chain_has_nobody_to_resume() -> None:
    """Said, with what to do instead."""
    with pytest.raises(
        SetupError, match=r"holds no thoughts to resume from. Make a new agent: Agent\(..., thoughts=chain\)"
    ):
        Agent.resume_from_latest(Diary(), ScriptedProvider())


def test_a_chain_that_does_not_say_who_wrote_it_needs_a_model() -> None:
    """The name is in every thought; the model may have to be given."""
    chain = Diary()
    chain.append("bob", "Finding", "a")

    assert "bob" == Agent.resume_from_latest(chain, ScriptedProvider(), registry=Registry.of()).name
    with pytest.raises(SetupError, match="does not say which model 'bob' had. Give one: model='provider:model'"):
        Agent.resume_from_latest(chain, registry=Registry.of())


def test_thoughts_may_be_named() -> None:
    """By name the chain is the agent's own, chosen by who it is."""

    class Shelf(Diary):
        name = "shelf"

        def __init__(self, location: str = "") -> None:
            super().__init__(location)

        def for_agent(self, who: Any) -> ThoughtChain:
            return Shelf(f"{self.location}/{who['name']}")

    class Plugin:
        @hookimpl
        def cloudllm_register_thought_chain(self) -> type[ThoughtChain]:
            return Shelf

    registry = Registry.of(Plugin())
    ada = Agent("ada", ScriptedProvider(), thoughts="shelf:notes", registry=registry)

    assert isinstance(ada.thoughts, Shelf)
    assert "notes/ada" == ada.thoughts.location
    with pytest.raises(UnknownNameError):
        Agent("ada", ScriptedProvider(), thoughts="diary", registry=registry)


def test_a_fork_thinks_into_the_same_chain() -> None:
    """As its tools, its notes are shared."""
    ada = keeping(Diary())

    assert ada.fork().thoughts is ada.thoughts
