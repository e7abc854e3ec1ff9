"""Agents that keep thoughts: commits, coming back, and commits by themselves."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import attrs
import pytest

from cloudllm_core import Agent, Event, Hub, Mode, Orchestration, Outcome, Registry, tool
from cloudllm_core.errors import Overloaded, SettingsError, SetupError
from cloudllm_core.events import UnknownEvent
from cloudllm_core.testing import ScriptedProvider, call
from cloudllm_thoughts_jsonl import AutoCommit, JsonlThoughts, TamperedThoughtsError


@tool(effect="read")
def look(at: str) -> str:
    """Look.

    Args:
        at: at what
    """
    return f"{at} is blue"


@attrs.frozen(kw_only=True)
class TaskCompleted(Event):
    agent: str
    task: str
    result: str


@attrs.frozen
class Work(Mode):
    """Asks each agent, and announces a task as done."""

    name: ClassVar[str] = "work"

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        async with hub.round():
            for agent in hub.agents:
                if await hub.try_ask(agent, prompt):
                    hub.announce(TaskCompleted(agent=agent, task="t", result=f"{agent} did it"))
        return Outcome(complete=True)


def contents(path):
    return [(each.agent, each.type, each.content) for each in JsonlThoughts(path).thoughts]


# -- commits ------------------------------------------------------------------


def test_an_agent_comes_back_from_the_file(tmp_path):
    """Name, model, instructions, expertise, personality, tools and context come back in another process's place."""
    model = ScriptedProvider("I remember.")
    ada = Agent(
        "ada", model, "Look.", expertise="seas", personality="calm", tools=[look], thoughts=f"jsonl:{tmp_path}/notes"
    )

    async def main():
        first = await ada.commit("Finding", "The sea is blue.")
        await ada.commit("Finding", "The sky is grey.")
        await ada.commit("Decision", "We swim.", [first.index])

    asyncio.run(main())
    (path,) = (tmp_path / "notes").iterdir()
    assert path.name.startswith("ada-")
    back = Agent.resume_from_latest(JsonlThoughts(path), model, tools=[look])
    said = back.session.messages[0].text

    assert ada.identity == back.identity
    assert [True, False, True] == [word in said for word in ("sea is blue", "sky", "We swim")]
    assert [True, False, False] == ["agent" in thought.meta for thought in back.thoughts.thoughts]


def test_a_tool_that_is_gone_is_named(tmp_path):
    """An agent whose tool cannot be found is not made; the sentence says which, and how to give it."""
    ada = Agent("ada", ScriptedProvider(), tools=[look], thoughts=JsonlThoughts(tmp_path / "a.jsonl"))
    asyncio.run(ada.commit("Finding", "x"))
    with pytest.raises(SetupError, match="'ada' had the tool 'look', and there is none here. Give it:"):
        Agent.resume_from_latest(JsonlThoughts(tmp_path / "a.jsonl"), ScriptedProvider())


def test_context_survives_an_orchestration(tmp_path):
    """A resumed agent that joins a team is asked with its restored context before the prompt, and commits on."""
    path = tmp_path / "a.jsonl"
    ada = Agent("ada", ScriptedProvider(), thoughts=JsonlThoughts(path))
    asyncio.run(ada.commit("Finding", "The sea is blue."))
    model = ScriptedProvider("I remember.")
    back = Agent.resume_from_latest(JsonlThoughts(path), model)
    team = Orchestration([], Work())
    team.add_agent(back)

    assert ["I remember."] == [each.text for each in team.run_sync("And now?").messages]
    asked = "\n".join(message.text for message in model.requests[0].messages)
    assert asked.index("The sea is blue.") < asked.index("And now?")
    asyncio.run(back.commit("Decision", "We swim.", [0]))
    assert ["The sea is blue.", "We swim."] == [content for _, _, content in contents(path)]


def test_a_tampered_chain_is_not_resumed(tmp_path):
    """Nobody is made of notes that were changed."""
    path = tmp_path / "a.jsonl"
    ada = Agent("ada", ScriptedProvider(), thoughts=JsonlThoughts(path))
    asyncio.run(ada.commit("Finding", "The sea is blue."))
    path.write_bytes(path.read_bytes().replace(b"blue", b"grey"))
    with pytest.raises(TamperedThoughtsError, match="thought 0 does not match its hash"):
        Agent.resume_from_latest(JsonlThoughts(path), ScriptedProvider())


# -- commits by themselves ----------------------------------------------------


def team(sink, *lines, **more):
    agents = [Agent("ada", ScriptedProvider(*lines), tools=[look]), Agent("bob", ScriptedProvider("Bob speaks."))]
    return Orchestration(agents, Work(), sinks=[sink], **more)


def test_answers_are_committed(tmp_path):
    """Chosen events become thoughts in the agents' chains: what the event says came of it, or what was said last."""
    ada, bob = JsonlThoughts(tmp_path / "ada.jsonl"), JsonlThoughts(tmp_path / "bob.jsonl")
    sink = AutoCommit({"ada": ada, "bob": bob}, on={"AgentResponded": "Finding", "TaskCompleted": "TaskComplete"})
    result = team(sink, ["I look.", call("look", at="the sea")], "It is blue.").run_sync("Look.")

    assert (None, 0, 0) == (result.sinks[0].problem, result.sinks[0].failed, result.sinks[0].dropped)
    for name, said in (("ada", "It is blue."), ("bob", "Bob speaks.")):
        expected = [(name, "Finding", said), (name, "TaskComplete", f"{name} did it")]
        assert expected == contents(tmp_path / f"{name}.jsonl")
    meta = ada.thoughts[0].meta
    assert ("AgentResponded", result.run_id, True) == (meta["event"], meta["run"], meta["record"] > 1)


def test_what_failed_is_not_committed(tmp_path):
    """Of a turn that failed, what was said before is no answer; the failure may be committed, if that is chosen."""
    ada = JsonlThoughts(tmp_path / "ada.jsonl")
    sink = AutoCommit({"ada": ada}, on={"AgentFailed": "Question", "AgentResponded": "Finding"})
    team(sink, ["I look.", call("look", at="the sea")], Overloaded("ada is out", "scripted")).run_sync("Look.")

    ((_, kind, said),) = contents(tmp_path / "ada.jsonl")
    assert ("Question", True) == (kind, "ada is out" in said)


def test_only_what_was_chosen_is_committed(tmp_path):
    """Events that were not chosen, and agents without a chain, leave no thoughts."""
    ada = JsonlThoughts(tmp_path / "ada.jsonl")
    team(AutoCommit({"ada": ada}, on={"TaskCompleted": "Handoff"}), "It is blue.").run_sync("Look.")

    assert [("ada", "Handoff", "ada did it")] == contents(tmp_path / "ada.jsonl")


def test_it_has_sensible_defaults(tmp_path):
    """By itself, answers become findings and tasks that were done become `TaskComplete`, in a chain for each agent."""
    sink = AutoCommit(location=tmp_path / "notes")
    team(sink, "It is blue.").run_sync("Look.")
    found = {path.name.partition("-")[0]: contents(path) for path in (tmp_path / "notes").iterdir()}

    assert [("ada", "Finding", "It is blue."), ("ada", "TaskComplete", "ada did it")] == found["ada"]
    assert {"ada", "bob"} == set(found)


def test_it_is_found_by_name(tmp_path):
    """A team file names it with a folder and the events it is for."""
    table = {"name": "thoughts", "location": str(tmp_path / "notes"), "on": {"AgentResponded": "Decision"}}
    team(Registry().build("event_sink", table), "It is blue.").run_sync("Look.")

    (ada,) = (path for path in (tmp_path / "notes").iterdir() if path.name.startswith("ada-"))
    assert [("ada", "Decision", "It is blue.")] == contents(ada)


def test_wrong_settings_are_named(tmp_path):
    """Chains or a folder, not both and not neither; a chain is a chain, a type is text."""
    for settings, said in (
        ({}, "found neither of chains and location"),
        ({"chains": {}, "location": str(tmp_path)}, "found both of chains and location"),
        ({"chains": {"ada": "jsonl:x"}}, "thoughts.chains.ada: found 'jsonl:x', expected a ThoughtChain"),
        ({"location": str(tmp_path), "on": {"AgentResponded": 7}}, "on.AgentResponded: found 7, expected"),
        ({"location": str(tmp_path), "of": {}}, "the unknown setting 'of'"),
    ):
        with pytest.raises(SettingsError) as refused:
            Registry().build("event_sink", {"name": "thoughts", **settings})
        assert said in str(refused.value)
    with pytest.raises(SettingsError, match="expected a type of thoughts, such as 'Finding'"):
        AutoCommit(location=tmp_path, on={"AgentResponded": 7})


def test_runs_at_once_are_told_apart(tmp_path):
    """What an agent says in one run is not committed for another."""
    ada = JsonlThoughts(tmp_path / "ada.jsonl")
    orchestration = team(AutoCommit({"ada": ada}, on={"AgentResponded": "Finding"}), "first", "second")

    async def main():
        return await asyncio.gather(*(orchestration.run("Look.", fresh=True) for _ in range(2)))

    results = asyncio.run(main())
    said = {(result.run_id, result.messages[0].text) for result in results}
    assert said == {(thought.meta["run"], thought.content) for thought in ada.thoughts}


def test_a_chain_that_cannot_be_believed_harms_no_run(tmp_path):
    """The run ends as it would; the sink's report says what it missed, and why."""
    path = tmp_path / "ada.jsonl"
    ada = JsonlThoughts(path)
    ada.append("ada", "Finding", "one")
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))
    result = team(AutoCommit({"ada": ada}), "It is blue.").run_sync("Look.")

    assert (True, True) == (result.complete, result.sinks[0].failed > 0)


def test_events_nobody_knows_are_committed_by_their_fields(tmp_path):
    """An event whose class is not here is chosen by its name, like any other; one without an agent is passed over."""
    from cloudllm_core.testing.conformance._sinks import a_record

    ada = JsonlThoughts(tmp_path / "ada.jsonl")
    sink = AutoCommit({"ada": ada}, on={"Solved": "Finding", "RunStarted": "Finding"})
    for fields in ({"agent": "ada", "answer": "42"}, {"answer": "43"}, {"agent": 7}, {"agent": "ada", "answer": " "}):
        sink.receive(a_record(UnknownEvent(name="Solved", fields=fields)))

    assert [("ada", "Finding", "42")] == contents(tmp_path / "ada.jsonl")
