"""Debate, rehearsed with scripted agents."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core.errors import AgentFailedError, Overloaded, SettingsError, SetupError
from cloudllm_core.events import AgentSelected, Progress
from cloudllm_core.testing import Show, rehearse
from cloudllm_mode_debate import ConvergenceChecked, Debate, cloudllm_register_mode, jaccard

OUT = Overloaded("out of order", "scripted")
NAMES = ["ada", "bob", "cy"]
TURN = ["AgentSelected", "SendStarted", "LLMCallStarted", "LLMCallCompleted", "SendCompleted", "AgentResponded",
        "Progress"]  # fmt: skip
LOST = ["AgentSelected", "SendStarted", "LLMCallStarted", "LLMCallCompleted", "AgentFailed", "Progress"]


def play(mode: Debate, script: dict[str, Any], prompt: str = "Tea?", **options: Any) -> Show:
    return asyncio.run(rehearse(mode, script, prompt, **options))


def note(number: int, rounds: int) -> str:
    return (
        f"This is round {number} of a debate of {rounds} at most. Consider every argument you have heard. "
        "State your position and your reasons; acknowledge the strong points of the others, challenge the weak "
        "ones, and say so plainly if you have changed your mind."
    )


def texts(show: Show, agent: str) -> list[list[tuple[str, str]]]:
    return [[(m.role, m.text) for m in request.messages] for request in show.providers[agent].requests]


def checks(show: Show) -> list[tuple[int, float, bool]]:
    return [(event.round, event.score, event.converged) for event in show.notebook.events(ConvergenceChecked)]


def monologues(rounds: int, names: list[str] = NAMES) -> dict[str, list[Any]]:
    """Agents who have no word in common."""
    return {name: [f"{name}{number}" for number in range(1, rounds + 1)] for name in names}


# -- how a debate goes --------------------------------------------------------


def test_agents_speak_in_turn_until_they_agree():
    """Positions come closer; the debate ends after the round in which they are close enough."""
    show = play(
        Debate(),
        {"ada": ["tea", "tea or mate", "tea it is", "never"], "bob": ["mate", "mate is fine", "tea it is", "never"]},
    )

    assert ["ada", "bob"] * 3 == show.asked == show.speakers
    assert [(2, 1 / 5, False), (3, 1.0, True)] == checks(show)
    assert (True, 1.0, "completed", 3, "ada: tea it is\n\nbob: tea it is") == (
        show.result.complete, show.result.score, show.result.stop_reason, show.result.rounds, show.result.answer,
    )  # fmt: skip


def test_what_is_announced():
    """Turns and progress; from the second round on, the check, before the round is over."""
    show = play(Debate(max_rounds=4, convergence_threshold=0.5), {"ada": ["a", "x y"], "bob": ["b", "x y"]})

    assert [
        "RunStarted",
        "RoundStarted", *TURN, *TURN, "RoundCompleted",
        "RoundStarted", *TURN, *TURN, "ConvergenceChecked", "RoundCompleted",
        "RunCompleted",
    ] == show.notebook.titles  # fmt: skip
    (check,) = show.notebook.events(ConvergenceChecked)
    assert ConvergenceChecked(round=2, score=1.0, threshold=0.5, converged=True) == check
    assert [(done, 8) for done in (1, 2, 3, 4)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]
    assert ["debate, round 1"] * 2 + ["debate, round 2"] * 2 == [
        event.reason for event in show.notebook.events(AgentSelected)
    ]


def test_what_is_routed_to_each_agent():
    """Regression (B3): everyone hears every argument of the others, also of the round under way, and none of its own.

    The prompt is said once; what a turn is for goes with that turn only.
    """
    show = play(Debate(max_rounds=3), monologues(3))

    def conversation(*heard: str, agent: str) -> list[list[tuple[str, str]]]:
        """The requests of an agent who was told *heard*, turn by turn."""
        requests, kept = [], []
        for number, text in enumerate(heard, 1):
            requests.append([*kept, ("user", f"{text}\n{note(number, 3)}")])
            kept += [("user", text), ("assistant", f"{agent}{number}")]
        return requests

    assert conversation("Tea?", "bob: bob1\n\ncy: cy1", "bob: bob2\n\ncy: cy2", agent="ada") == texts(show, "ada")
    assert conversation("ada: ada1\nTea?", "cy: cy1\n\nada: ada2", "cy: cy2\n\nada: ada3", agent="bob") == texts(
        show, "bob"
    )
    assert conversation(
        "ada: ada1\n\nbob: bob1\nTea?", "ada: ada2\n\nbob: bob2", "ada: ada3\n\nbob: bob3", agent="cy"
    ) == texts(show, "cy")


@given(st.data())
def test_everyone_hears_every_argument_once(data):
    """Regression (B3): with any number of agents and rounds, and whoever fails: never twice, never one's own words."""
    names = [f"agent{nth}" for nth in range(data.draw(st.integers(2, 5)))]
    rounds = data.draw(st.integers(1, 4))
    script = {name: [f"<{name}.{number}>" for number in range(rounds)] for name in names}
    for name in data.draw(st.sets(st.sampled_from(names))):
        script[name][data.draw(st.integers(0, rounds - 1))] = OUT
    show = play(Debate(max_rounds=rounds, convergence_threshold=1), script)

    said = [(reply.agent, reply.text) for reply in show.result.messages]
    for agent in show.orchestration.agents:
        heard = "\n".join(message.text for message in agent.session.messages if message.role == "user")
        own = [nth for nth, (speaker, _) in enumerate(said) if speaker == agent.name]
        for nth, (speaker, text) in enumerate(said):
            due = speaker != agent.name and bool(own) and nth < own[-1]
            assert int(due) == heard.count(f"{speaker}: {text}") == heard.count(text)


# -- agreement ----------------------------------------------------------------


def test_it_ends_without_agreement():
    """After the last round the run is not complete, and its score is how far they got."""
    show = play(Debate(max_rounds=2), {"ada": ["a", "a b c"], "bob": ["b", "a b d"]})

    assert (False, 0.5, "max_rounds", 2, "ada: a b c\n\nbob: a b d") == (
        show.result.complete, show.result.score, show.result.stop_reason, show.result.rounds, show.result.answer,
    )  # fmt: skip
    assert [(2, 0.5, False)] == checks(show)


def test_agents_who_repeat_themselves_do_not_agree():
    """Regression (B4): agreement was measured between what an agent said and what it had said before."""
    show = play(Debate(max_rounds=3), {name: [f"It is {name}."] * 3 for name in NAMES})
    stubborn = [(2, 0.5, False), (3, 0.5, False)]  # `it is`, of four words

    assert (stubborn, False) == (checks(show), show.result.complete)


def test_agents_who_change_their_minds_together_agree():
    """Regression (B4): what was said in the round before does not matter."""
    show = play(Debate(), {"ada": ["left", "straight on"], "bob": ["right", "straight on"]})

    assert ([(2, 1.0, True)], True) == (checks(show), show.result.complete)


def test_short_answers_do_not_agree_by_being_short():
    """Regression (B4): answers of short words only ended the debate at once."""
    show = play(Debate(max_rounds=2), {"ada": ["no", "no"], "bob": ["ok", "ok"]})

    assert ([(2, 0.0, False)], 0.0) == (checks(show), show.result.score)


def test_the_first_round_is_not_measured():
    """Who speaks first has heard nobody: the same words in the first round end nothing."""
    show = play(Debate(), {name: ["the same", "the same"] for name in NAMES})

    assert ([(2, 1.0, True)], NAMES * 2) == (checks(show), show.asked)


def test_one_round_is_never_complete():
    """There is nothing to measure in a debate of one round."""
    show = play(Debate(max_rounds=1), {name: ["the same"] for name in NAMES})

    assert (False, None, "max_rounds", []) == (
        show.result.complete, show.result.score, show.result.stop_reason, checks(show),
    )  # fmt: skip


@pytest.mark.parametrize(("threshold", "complete"), [(0.0, True), (0.5, True), (0.51, False), (1.0, False)])
def test_the_threshold_itself_is_enough(threshold, complete):
    """Agreement of exactly the threshold ends the debate."""
    show = play(Debate(max_rounds=2, convergence_threshold=threshold), {"ada": ["a", "x y z"], "bob": ["b", "x y w"]})

    assert (complete, 0.5) == (show.result.complete, show.result.score)


def test_a_scorer_of_ones_own():
    """It is given the texts of each round, in the order of speaking, and what it says counts."""
    seen = []

    def scorer(texts):
        seen.append(texts)
        return len(seen) / 2

    show = play(Debate(scorer=scorer), monologues(3))

    assert [("ada2", "bob2", "cy2"), ("ada3", "bob3", "cy3")] == seen
    assert [(2, 0.5, False), (3, 1.0, True)] == checks(show)


def test_a_scorer_that_gives_nonsense():
    """The run fails and says why, and the round has its end."""
    show = play(Debate(scorer=lambda texts: 7.5), monologues(2))

    assert isinstance(show.result.error, SetupError)
    assert "gave 7.5; agreement is a number from 0 to 1. Correct the scorer." in str(show.result.error)
    assert ("failed", False) == (show.result.stop_reason, show.result.complete)
    assert ["RoundCompleted", "RunFailed"] == show.notebook.titles[-2:]


def test_a_scorer_that_breaks():
    """What it raises is what the run failed of."""
    show = play(Debate(scorer=lambda texts: 1 / 0), monologues(2))

    assert isinstance(show.result.error, ZeroDivisionError)
    assert ["RoundCompleted", "RunFailed"] == show.notebook.titles[-2:]


# -- when agents fail ---------------------------------------------------------


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("number", [1, 2])
def test_an_agent_that_fails_loses_its_turn(position, number):
    """Wherever it sits, whenever it fails: agreement is measured between those who answered (regression, B4)."""
    script = {name: [f"{name}1", "we agree", "never"] for name in NAMES}
    script[NAMES[position]][number - 1] = OUT
    show = play(Debate(), script)

    assert NAMES * 2 == show.asked
    lost = 3 * (number - 1) + position
    assert [name for nth, name in enumerate(NAMES * 2) if nth != lost] == show.speakers
    assert ([(2, 1.0, True)], True) == (checks(show), show.result.complete)
    turns = [LOST if lost == nth else TURN for nth in range(6)]
    first, second = (itertools.chain(*some) for some in (turns[:3], turns[3:]))
    assert ["RunStarted", "RoundStarted", *first, "RoundCompleted", "RoundStarted", *second, "ConvergenceChecked",
            "RoundCompleted", "RunCompleted"] == show.notebook.titles  # fmt: skip


def test_who_failed_hears_what_it_missed():
    """A turn that is lost is not heard; in its next one, the agent is told the prompt and everything since."""
    script = monologues(2)
    script["bob"][0] = OUT
    show = play(Debate(max_rounds=2), script)

    assert [("user", f"ada: ada1\n\ncy: cy1\n\nada: ada2\nTea?\n{note(2, 2)}")] == texts(show, "bob")[1]
    assert f"cy: cy1\n{note(2, 2)}" == show.heard("ada")[1]


def test_one_who_is_left_alone_does_not_agree_with_itself():
    """With fewer than two answers in a round nothing is measured, and the debate goes on."""
    show = play(Debate(max_rounds=3), {"ada": ["a", "x", "x"], "bob": ["b", OUT, "x"]})
    assert ([(3, 1.0, True)], True) == (checks(show), show.result.complete)

    show = play(Debate(max_rounds=3), {"ada": ["a", "x y", "x y"], "bob": ["b", "x", OUT]})
    assert ([(2, 0.5, False)], None, "max_rounds", "ada: x y") == (
        checks(show), show.result.score, show.result.stop_reason, show.result.answer,
    )  # fmt: skip


def test_nobody_answers():
    """If everybody fails, the run has failed, and nobody has agreed with anybody."""
    show = play(Debate(max_rounds=2), {"ada": [OUT, OUT], "bob": [OUT, OUT]})

    assert (False, None, "failed", []) == (
        show.result.complete, show.result.score, show.result.stop_reason, checks(show),
    )  # fmt: skip
    assert isinstance(show.result.error, AgentFailedError)


def test_stopping_on_failure():
    """With ``on_failure="stop"`` nobody speaks after a failure."""
    show = play(Debate(), {"ada": "a", "bob": OUT, "cy": "never"}, on_failure="stop")

    assert (["ada", "bob"], "failed") == (show.asked, show.result.stop_reason)


def test_a_debate_takes_two():
    """One agent alone is a mistake that is named before it is asked."""
    show = play(Debate(), {"ada": "never"})

    assert isinstance(show.result.error, SetupError)
    assert "A debate takes two agents or more, and here is one. Add another, or choose another mode." == str(
        show.result.error
    )
    assert ([], "failed") == (show.asked, show.result.stop_reason)


# -- again, and from settings -------------------------------------------------


def test_a_second_run():
    """The next debate of the same team goes like the first, and sessions go on (regression, B3: it was starved)."""

    async def main() -> None:
        show = await rehearse(Debate(max_rounds=2), monologues(4), "Tea?")
        result = await show.orchestration.run("Mate?")

        assert NAMES * 2 == [reply.agent for reply in result.messages]
        assert ("max_rounds", 0.0, 2) == (result.stop_reason, result.score, result.rounds)
        third, fourth = show.heard("bob")[2:]
        assert f"ada: ada3\nMate?\n{note(1, 2)}" == third
        assert f"cy: cy3\n\nada: ada4\n{note(2, 2)}" == fourth

    asyncio.run(main())


def test_what_it_is_made_from():
    """Five rounds, 0.75 and word sets; other values are refused with a sentence."""
    mode = Debate()

    assert mode == Debate(5, 0.75, jaccard) == Debate(scorer="jaccard") == Debate.from_settings({})
    assert {"max_rounds": 5, "convergence_threshold": 0.75, "scorer": "jaccard"} == mode.settings()
    assert mode == Debate.from_settings(json.loads(json.dumps(mode.settings())))
    assert Debate(2, 1.0) == Debate.from_settings({"max_rounds": 2, "convergence_threshold": 1})
    assert Debate is cloudllm_register_mode()
    with pytest.raises(SettingsError, match="Did you mean 'max_rounds'"):
        Debate.from_settings({"max_round": 2})
    with pytest.raises(SettingsError, match="max_rounds: found 0, expected at least 1"):
        Debate.from_settings({"max_rounds": 0})
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="'convergence_threshold' must be"):
            Debate(convergence_threshold=threshold)
