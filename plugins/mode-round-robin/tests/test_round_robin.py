"""RoundRobin, rehearsed with scripted agents."""

from __future__ import annotations

import asyncio
from itertools import chain

import pytest

from cloudllm_core.errors import AgentFailedError, Overloaded, SettingsError
from cloudllm_core.events import AgentFailed, AgentSelected, Progress
from cloudllm_core.testing import Show, rehearse
from cloudllm_mode_round_robin import RoundRobin, cloudllm_register_mode

OUT = Overloaded("out of order", "scripted")
TURN = [
    "AgentSelected",
    "SendStarted",
    "LLMCallStarted",
    "LLMCallCompleted",
    "SendCompleted",
    "AgentResponded",
    "Progress",
]
FAILED_TURN = ["AgentSelected", "SendStarted", "LLMCallStarted", "LLMCallCompleted", "AgentFailed", "Progress"]


def sent(show: Show, agent: str) -> list[list[tuple[str, str]]]:
    """Role and text of every message in each of the agent's requests."""
    return [[(m.role, m.text) for m in request.messages] for request in show.providers[agent].requests]


def test_agents_speak_in_turn():
    """Each agent speaks once a round, in the order in which they were given."""
    lines = {name: [f"{name}1", f"{name}2"] for name in ("cy", "ada", "bob")}

    show = asyncio.run(rehearse(RoundRobin(rounds=2), lines))

    assert ["cy", "ada", "bob"] * 2 == show.speakers
    assert ["cy1", "ada1", "bob1", "cy2", "ada2", "bob2"] == [reply.text for reply in show.result.messages]
    assert ("bob2", 2) == (show.result.answer, show.result.rounds)


def test_what_is_routed_to_each_agent():
    """The prompt once; as user content what others said since its last turn, with their names; never its own words."""
    show = asyncio.run(
        rehearse(RoundRobin(rounds=2), {"ada": ["a1", "a2"], "bob": ["b1", "b2"], "cy": ["c1", "c2"]}, "Go.")
    )

    ada, bob, cy = ([["Go."], ["bob: b1\n\ncy: c1"]], [["ada: a1", "Go."], ["cy: c1\n\nada: a2"]],
                    [["ada: a1\n\nbob: b1", "Go."], ["ada: a2\n\nbob: b2"]])  # fmt: skip
    for agent, turns in {"ada": ada, "bob": bob, "cy": cy}.items():
        first, second = ("\n".join(texts) for texts in turns)
        expected = [("user", first), ("assistant", f"{agent[0]}1"), ("user", second)]
        assert [expected[:1], expected] == sent(show, agent)


def test_what_is_announced():
    """Rounds, selections, answers and progress, in this order and once each."""
    show = asyncio.run(rehearse(RoundRobin(rounds=2), {"ada": ["a1", "a2"], "bob": ["b1", "b2"]}))

    a_round = ["RoundStarted", *TURN, *TURN, "RoundCompleted"]
    assert ["RunStarted", *a_round, *a_round, "RunCompleted"] == show.notebook.titles
    assert [(1, 4), (2, 4), (3, 4), (4, 4)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]
    reasons = [event.reason for event in show.notebook.events(AgentSelected)]
    assert ["round-robin turn, round 1"] * 2 + ["round-robin turn, round 2"] * 2 == reasons


@pytest.mark.parametrize("position", range(3))
def test_an_agent_that_fails_loses_its_turn(position):
    """Wherever it sits, the others speak, nobody hears it, and the run is not complete."""
    names = ["ada", "bob", "cy"]
    show = asyncio.run(
        rehearse(RoundRobin(), {name: OUT if i == position else f"{name}1" for i, name in enumerate(names)})
    )

    others = [name for i, name in enumerate(names) if i != position]
    turns = [FAILED_TURN if i == position else TURN for i in range(3)]
    assert others == show.speakers
    assert names == show.asked
    assert (False, "max_rounds", None) == (show.result.complete, show.result.stop_reason, show.result.error)
    assert ["RunStarted", "RoundStarted", *chain(*turns), "RoundCompleted", "RunCompleted"] == show.notebook.titles
    assert not [text for name in others for text in show.heard(name) if f"{names[position]}:" in text]


def test_a_failed_turn_is_made_up_for():
    """An agent that comes back hears all it missed, the prompt included, each once."""
    show = asyncio.run(rehearse(RoundRobin(rounds=2), {"ada": ["a1", "a2"], "bob": [OUT, "b2"]}, "Go."))

    assert ["ada: a1\nGo.", "ada: a1\n\nada: a2\nGo."] == show.heard("bob")
    assert ["Go.", "Go on."] == show.heard("ada")
    assert not show.result.complete


def test_nobody_answers():
    """If everybody fails, the run has failed, and its error says whose fault it was."""
    show = asyncio.run(rehearse(RoundRobin(rounds=2), {"ada": [OUT, OUT], "bob": [OUT, OUT]}))

    assert (False, "failed", None) == (show.result.complete, show.result.stop_reason, show.result.answer)
    assert isinstance(show.result.error, AgentFailedError)
    assert "Agent 'bob' failed: Overloaded: scripted: out of order." == str(show.result.error)


def test_stopping_on_failure():
    """With ``on_failure="stop"`` nobody speaks after a failure."""
    show = asyncio.run(rehearse(RoundRobin(), {"ada": "a1", "bob": OUT, "cy": "c1"}, on_failure="stop"))

    assert ["ada", "bob"] == show.asked
    assert "failed" == show.result.stop_reason
    assert ["bob"] == [event.agent for event in show.notebook.events(AgentFailed)]


def test_a_second_run_goes_on_with_the_same_sessions():
    """Another prompt, to agents who remember: each hears the new prompt once, and nothing from the first run again."""

    async def main() -> Show:
        show = await rehearse(RoundRobin(), {"ada": ["a1", "a2"], "bob": ["b1", "b2"]}, "Go.")
        result = await show.orchestration.run("Again.")
        assert (["a2", "b2"], True, 1) == ([r.text for r in result.messages], result.complete, result.rounds)
        return show

    show = asyncio.run(main())
    assert [("user", "Go."), ("assistant", "a1"), ("user", "Again.")] == sent(show, "ada")[1]
    assert [("user", "ada: a1\nGo."), ("assistant", "b1"), ("user", "ada: a2\nAgain.")] == sent(show, "bob")[1]


def test_one_agent_alone():
    """An agent with nobody to listen to is told to go on."""
    show = asyncio.run(rehearse(RoundRobin(rounds=3), {"ada": ["a1", "a2", "a3"]}, "Go."))

    assert ["Go.", "Go on.", "Go on."] == show.heard("ada")
    assert show.result.complete


def test_what_it_is_made_from():
    """One round unless more are asked for; fewer make no sense, and a misspelt setting is named."""
    assert RoundRobin() == RoundRobin(rounds=1) == RoundRobin.from_settings({})
    assert RoundRobin is cloudllm_register_mode()
    with pytest.raises(SettingsError, match="rounds: found 0, expected at least 1"):
        RoundRobin.from_settings({"rounds": 0})
    with pytest.raises(SettingsError) as refused:
        RoundRobin.from_settings({"round": 2})
    assert (
        "round: found the unknown setting 'round', expected one of rounds for 'round-robin'. Did you mean 'rounds'?"
        == str(refused.value)
    )
