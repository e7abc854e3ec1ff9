"""Parallel with an aggregate, rehearsed with scripted agents and virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cloudllm_core import Completion, Orchestration, Request
from cloudllm_core.errors import Overloaded, SetupError
from cloudllm_core.events import AgentFailed, AgentSelected, Progress
from cloudllm_core.testing import Faults, ScriptedProvider, Show, rehearse, run_virtually, simulate, stage
from cloudllm_mode_parallel import Aggregator, Parallel, Quorum, VotesCounted

OUT = Overloaded("out of order", "scripted")
BEGINS = ["AgentSelected", "SendStarted", "LLMCallStarted"]
SAID = ["LLMCallCompleted", "SendCompleted", "AgentResponded"]
ENDS = [*SAID, "Progress"]
VOID = ["LLMCallCompleted", "AgentFailed"]
SYNTHESIS = (
    "The others have answered, each on its own. Answer the user now: bring together what they said, and say where "
    "they disagree."
)
NAMES = ("ada", "bob", "cy")


class Slow(ScriptedProvider):
    """Says each line after so many seconds of virtual time."""

    def __init__(self, seconds: float, *lines: Any) -> None:
        super().__init__(*lines)
        self.seconds = seconds

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self.seconds)
        return await super().complete(request)


Cast = Mapping[str, tuple[float, Sequence[Any]]]
"""Of each agent, how long it takes and its lines."""


def slow(agents: Cast) -> dict[str, Slow]:
    return {name: Slow(seconds, *lines) for name, (seconds, lines) in agents.items()}


def play(mode: Parallel, agents: Cast, **options: Any) -> Show:
    return run_virtually(lambda loop: rehearse(mode, slow(agents), "Go.", **options))


def texts(show: Show, agent: str) -> list[list[tuple[str, str]]]:
    return [[(m.role, m.text) for m in request.messages] for request in show.providers[agent].requests]


def outcome(show: Show) -> tuple[str | None, bool, float | None, str, int]:
    r = show.result
    return r.answer, r.complete, r.score, r.stop_reason, r.rounds


def bars(show: Show) -> list[tuple[int, int]]:
    return [(bar.done, bar.total) for bar in show.notebook.events(Progress)]


def cancelled(show: Show) -> list[tuple[str, str, bool]]:
    return [(event.agent, event.error, event.kept) for event in show.notebook.events(AgentFailed)]


# -- an agent -----------------------------------------------------------------


def test_an_aggregator_gives_the_answer():
    """It is left out of the rounds, hears all replies in order of arrival, and its words are the answer."""
    show = play(Parallel(aggregate="bob"), {"ada": (2, ["a1"]), "bob": (9, ["All in all."]), "cy": (1, ["c1"])})

    assert (["ada", "cy", "bob"], ["cy", "ada", "bob"]) == (show.asked, show.speakers)
    assert ("All in all.", True, 1.0, "completed", 1) == outcome(show)
    assert [[("user", "Go.")]] == texts(show, "ada") == texts(show, "cy")
    assert [[("user", f"cy: c1\n\nada: a1\nGo.\n{SYNTHESIS}")]] == texts(show, "bob")


def test_what_is_announced_with_an_aggregator():
    """Its turn comes after the round, with its reason, and moves the bar to its end."""
    show = play(Parallel(aggregate="cy"), {"ada": (1, ["a1"]), "bob": (2, ["b1"]), "cy": (1, ["c1"])})

    assert ["RunStarted", "RoundStarted", *BEGINS, *BEGINS, *ENDS, *ENDS, "RoundCompleted", *BEGINS, *ENDS,
            "RunCompleted"] == show.notebook.titles  # fmt: skip
    reasons = [(event.agent, event.reason) for event in show.notebook.events(AgentSelected)]
    assert [("ada", "parallel, round 1"), ("bob", "parallel, round 1"), ("cy", "synthesis")] == reasons
    assert [(1, 3), (2, 3), (3, 3)] == bars(show)


def test_an_aggregator_after_several_rounds():
    """It speaks once, after the last round, and has heard all rounds then."""
    show = play(
        Parallel(rounds=2, aggregate="cy"), {"ada": (1, ["a1", "a2"]), "bob": (2, ["b1", "b2"]), "cy": (1, ["c"])}
    )

    assert ["ada", "bob", "ada", "bob", "cy"] == show.asked
    assert [[("user", f"ada: a1\n\nbob: b1\n\nada: a2\n\nbob: b2\nGo.\n{SYNTHESIS}")]] == texts(show, "cy")
    assert "bob: b1" == show.heard("ada")[1]


@pytest.mark.parametrize("last", [OUT, " "])
def test_an_aggregator_that_fails(last):
    """Without its answer the run is not complete; what the others said is kept side by side."""
    show = play(Parallel(aggregate="cy"), {"ada": (1, ["a1"]), "bob": (2, ["b1"]), "cy": (1, [last])})

    assert ("ada: a1\n\nbob: b1", False, 1.0, "failed", 1) == outcome(show)


@pytest.mark.parametrize("position", range(2))
def test_an_aggregator_hears_those_that_did_not_fail(position):
    """Whoever fails, the synthesis is made of the rest."""
    lines = {name: (1 + i, [OUT if i == position else f"{name}1"]) for i, name in enumerate(("ada", "bob"))}
    show = play(Parallel(aggregate="cy"), {**lines, "cy": (1, ["c1"])})

    other = ("bob", "ada")[position]
    assert ("c1", True, 0.5, "completed", 1) == outcome(show)
    assert [f"{other}: {other}1\nGo.\n{SYNTHESIS}"] == show.heard("cy")


@pytest.mark.parametrize(("require", "lines"), [("any", [OUT, OUT]), ("all", ["a1", OUT]), (2, [OUT, "b1"])])
def test_an_aggregator_is_not_asked_in_vain(require, lines):
    """If too few replied the run has failed, and nothing is spent on a synthesis."""
    show = play(Parallel(require=require, aggregate="cy"),
                {"ada": (1, lines[:1]), "bob": (2, lines[1:]), "cy": (1, ["never"])})  # fmt: skip

    assert (["ada", "bob"], False, "failed") == (show.asked, show.result.complete, show.result.stop_reason)


def test_an_aggregator_after_stopping_early():
    """Who was cancelled is not heard."""
    lines = {"ada": (900, ["late"]), "bob": (1, ["b1"]), "cy": (1, ["c1"])}
    show = play(Parallel(stop_early=True, aggregate="cy"), lines)

    assert ("c1", True, 0.5, "completed", 1) == outcome(show)
    assert [f"bob: b1\nGo.\n{SYNTHESIS}"] == show.heard("cy")
    assert [("ada", "cancelled", False)] == cancelled(show)


def test_an_agent_called_like_one_of_our_words():
    """The word means the word; the agent is reached by Aggregator."""
    lines = {"first": (2, ["f1"]), "ada": (1, ["a1"])}

    assert "a1" == play(Parallel(aggregate="first"), lines).result.answer
    assert "f1" == play(Parallel(aggregate=Aggregator("first")), lines).result.answer


@pytest.mark.parametrize("aggregate", ["adda", Quorum(4)])
def test_a_mistake_is_named_before_any_turn(aggregate):
    """Nobody is asked, and no round begins."""
    show = play(Parallel(aggregate=aggregate), {name: (1, ["yes"]) for name in NAMES})

    assert isinstance(show.result.error, SetupError)
    assert ([], 0, "failed") == (show.asked, show.result.rounds, show.result.stop_reason)
    assert ["RunStarted", "RunFailed"] == show.notebook.titles


# -- the first ----------------------------------------------------------------


def test_the_first_reply_is_the_answer():
    """The others are cancelled at once, and are as they were before."""
    show = play(Parallel(aggregate="first"), {"ada": (900, ["late"]), "bob": (1, ["b1"]), "cy": (800, ["late"])})

    assert ("b1", True, 1 / 3, "completed", 1) == outcome(show)
    assert ["RunStarted", "RoundStarted", *BEGINS * 3, *ENDS, *VOID * 2, "RoundCompleted", "RunCompleted"] == (
        show.notebook.titles
    )
    assert [("ada", "cancelled", False), ("cy", "cancelled", False)] == cancelled(show)
    assert () == show.orchestration.agents[0].session.messages


def test_the_first_reply_of_the_last_round():
    """Earlier rounds are held as ever: everybody answers, and everybody hears it."""
    lines = {"ada": (3, ["a1", "a2"]), "bob": (1, ["b1", "b2"])}
    show = play(Parallel(rounds=2, aggregate="first"), lines)

    assert ["bob", "ada", "bob"] == show.speakers
    assert ("b2", True, 0.5, "completed", 2) == outcome(show)


def test_the_first_reply_when_more_are_required():
    """The round goes on until `require` is met, and the answer is the first one still."""
    lines = {"ada": (3, ["a1"]), "bob": (1, ["b1"]), "cy": (2, ["c1"])}
    show = play(Parallel(require=2, aggregate="first"), lines)

    assert (["bob", "cy"], ("b1", True, 2 / 3, "completed", 1)) == (show.speakers, outcome(show))


@pytest.mark.parametrize("position", range(3))
def test_a_failure_is_no_reply(position):
    """If the fastest fail, the next one is the first."""
    lines = {name: (1 + i, [OUT if i <= position else f"{name}1"]) for i, name in enumerate(NAMES)}
    show = play(Parallel(aggregate="first"), lines)

    assert ("bob1", "cy1", None)[position] == show.result.answer
    assert (position < 2) is show.result.complete
    assert ("completed" if position < 2 else "failed") == show.result.stop_reason


def test_a_blank_reply_is_no_answer():
    """It is waited for one that says something; if none does, the run is not complete."""
    assert ("c1", True, 2 / 3, "completed", 1) == outcome(
        play(Parallel(aggregate="first"), {"ada": (1, [" "]), "bob": (9, ["late"]), "cy": (2, ["c1"])})
    )
    assert (False, 1.0, "failed", 1) == outcome(play(Parallel(aggregate="first"), {"ada": (1, [" "])}))[1:]


# -- a quorum -----------------------------------------------------------------


def test_a_quorum_ends_the_round():
    """As soon as two agree, the rest are cancelled; the answer is as it was said first."""
    lines = {"ada": (1, ["Tuesday."]), "bob": (2, ["Monday"]), "cy": (3, ["**tuesday**"]), "dee": (900, ["late"])}
    show = play(Parallel(aggregate=Quorum(2)), lines)

    assert ("Tuesday.", True, 3 / 4, "completed", 1) == outcome(show)
    assert [("dee", "cancelled", False)] == cancelled(show)
    assert ["RunStarted", "RoundStarted", *BEGINS * 4, *ENDS * 3, *VOID, "VotesCounted", "RoundCompleted",
            "RunCompleted"] == show.notebook.titles  # fmt: skip
    tally = {"Tuesday.": 2, "Monday": 1}
    assert [VotesCounted(round=1, answer="Tuesday.", votes=2, total=3, tally=tally)] == show.notebook.events(
        VotesCounted
    )


def test_a_quorum_that_is_not_reached():
    """Everybody replied and they disagree: not complete, and their replies stand side by side."""
    show = play(Parallel(aggregate=Quorum(2)), {"ada": (1, ["a"]), "bob": (2, ["b"])})

    assert ("ada: a\n\nbob: b", False, 1.0, "max_rounds", 1) == outcome(show)
    assert [("a", 1, 2)] == [(event.answer, event.votes, event.total) for event in show.notebook.events(VotesCounted)]


def test_a_quorum_in_any_round():
    """Rounds are chances to agree: the run ends with the first one that brings a quorum."""
    lines = {"ada": (1, ["a", "yes", "never"]), "bob": (2, ["b", "Yes!", "never"])}
    show = play(Parallel(rounds=3, aggregate=Quorum(2)), lines)

    assert ("yes", True, 1.0, "completed", 2) == outcome(show)
    assert [(1, 1), (2, 2)] == [(event.round, event.votes) for event in show.notebook.events(VotesCounted)]


def test_votes_of_an_earlier_round_do_not_count():
    """An agent that says it twice does not agree with itself."""
    show = play(Parallel(rounds=2, aggregate=Quorum(2)), {"ada": (1, ["a", "a"]), "bob": (2, ["b", "b"])})

    assert (False, 1.0, "max_rounds", 2) == outcome(show)[1:]


@pytest.mark.parametrize("position", range(3))
def test_a_quorum_without_one_of_them(position):
    """Whoever fails, the other two can still agree; three cannot."""
    lines = {name: (1 + i, [OUT if i == position else "yes"]) for i, name in enumerate(NAMES)}

    assert ("yes", True, 2 / 3, "completed", 1) == outcome(play(Parallel(aggregate=Quorum(2)), lines))
    assert (False, 2 / 3, "max_rounds", 1) == outcome(play(Parallel(aggregate=Quorum(3)), lines))[1:]


def test_a_quorum_and_a_requirement():
    """Both must be met: the round goes on until they are, and without the required replies the run has failed."""
    lines: Cast = {"ada": (1, ["yes"]), "bob": (2, ["yes"]), "cy": (3, ["no"])}
    show = play(Parallel(require="all", stop_early=True, aggregate=Quorum(2)), lines)
    assert ("yes", True, 1.0, "completed", 1) == outcome(show)

    show = play(Parallel(require="all", aggregate=Quorum(2)), {**lines, "cy": (3, [OUT])})
    assert ("yes", False, 2 / 3, "failed", 1) == outcome(show)


def test_stopping_early_does_not_keep_a_quorum_from_being_reached():
    """`require` alone is no reason to stop while agents may still agree."""
    show = play(Parallel(stop_early=True, aggregate=Quorum(2)), {"ada": (1, ["yes"]), "bob": (2, ["yes"])})

    assert ("yes", True, 1.0, "completed", 1) == outcome(show)


# -- a vote -------------------------------------------------------------------


def test_a_vote():
    """When all have replied, the most frequent answer is the answer, as it was said first; the tally is announced."""
    lines = {"ada": (4, ["no."]), "bob": (1, ["Yes"]), "cy": (2, ["No"]), "dee": (3, ["Perhaps"])}
    show = play(Parallel(aggregate="vote"), lines)

    assert ("No", True, 1.0, "completed", 1) == outcome(show)
    (event,) = show.notebook.events(VotesCounted)
    tally = {"No": 2, "Yes": 1, "Perhaps": 1}
    assert VotesCounted(round=1, answer="No", votes=2, total=4, tally=tally) == event
    assert ["RunStarted", "RoundStarted", *BEGINS * 4, *ENDS * 4, "VotesCounted", "RoundCompleted", "RunCompleted"] == (
        show.notebook.titles
    )


def test_a_tie_goes_to_what_came_first():
    """The order of arrival decides, and not the order of the agents."""
    show = play(Parallel(aggregate="vote"), {"ada": (2, ["no"]), "bob": (1, ["yes"])})

    assert ("yes", True) == (show.result.answer, show.result.complete)


def test_a_vote_in_the_last_round():
    """One vote is held, after the last round, with that round's replies."""
    lines = {"ada": (1, ["a", "yes"]), "bob": (2, ["a", "no"]), "cy": (3, ["a", "no"])}
    show = play(Parallel(rounds=2, aggregate="vote"), lines)

    assert ("no", True, 1.0, "completed", 2) == outcome(show)
    assert [2] == [event.round for event in show.notebook.events(VotesCounted)]


@pytest.mark.parametrize("position", range(3))
def test_a_vote_without_one_of_them(position):
    """Who fails has no vote."""
    lines = {name: (1 + i, [OUT if i == position else ("no", "no", "yes")[i]]) for i, name in enumerate(NAMES)}
    show = play(Parallel(aggregate="vote"), lines)

    assert ("no", True, 2 / 3, "completed", 1) == outcome(show)


def test_a_vote_in_which_nobody_votes():
    """Without a reply, or with blank ones only, nothing is counted and nothing is complete."""
    for line in (OUT, " "):
        show = play(Parallel(aggregate="vote"), {"ada": (1, [line]), "bob": (2, [line])})

        assert (False, "failed") == (show.result.complete, show.result.stop_reason)
        assert [] == show.notebook.events(VotesCounted)


def test_a_vote_of_those_in_time():
    """With `stop_early` the vote is held when enough have replied."""
    lines = {"ada": (1, ["yes"]), "bob": (2, ["yes"]), "cy": (900, ["no"])}
    show = play(Parallel(require=2, stop_early=True, aggregate="vote"), lines)

    assert ("yes", True, 2 / 3, "completed", 1) == outcome(show)


# -- runs ---------------------------------------------------------------------

AGGREGATES = ["cy", "first", Quorum(2), "vote"]


def team(aggregate: Any) -> Orchestration:
    """Ada and Bob agree on what they were asked last; Cy takes longer, and says so in short."""

    def say(what: str) -> Any:
        return lambda request: what.format("no" if "shut" in request.messages[-1].text else "yes")

    lines = {"ada": (1, [say("{}")] * 2), "bob": (2, [say("{}.")] * 2), "cy": (900, [say("In short, {}.")] * 2)}
    return stage(Parallel(aggregate=aggregate), slow(lines))


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=repr)
def test_a_second_run(aggregate):
    """It goes like the first: the same agents are asked, in the same sessions, and the new replies decide."""

    async def twice(_: object) -> list[str | None]:
        one = team(aggregate)
        return [(await one.run("Is it open?")).answer, (await one.run("Is it shut?")).answer]

    said = "In short, {}." if aggregate == "cy" else "{}"
    assert [said.format("yes"), said.format("no")] == run_virtually(twice)


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=repr)
def test_two_runs_at_once(aggregate):
    """Neither hears of the other, and each comes to an answer of its own."""

    async def at_once(_: object) -> list[str | None]:
        one = team(aggregate)
        runs = [one.run("Is it open?"), one.run("Is it shut?")]
        return [(await run).require_complete().answer for run in runs]

    said = "In short, {}." if aggregate == "cy" else "{}"
    assert [said.format("yes"), said.format("no")] == run_virtually(at_once)


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=repr)
def test_cancelled_at_any_record(aggregate):
    """Wherever it is cancelled, no task is left, and no agent keeps half a turn."""
    whole = simulate(lambda: team(aggregate), seed=1)
    for number in range(1, len(whole.records)):
        run = simulate(lambda: team(aggregate), seed=1, faults=Faults(cancel_at=number))

        assert () == run.left
        assert run.result.stop_reason in ("cancelled", "completed")
        for agent in run.orchestration.agents:
            assert len(agent.session.messages) in (0, 2)


def test_stopping_on_failure_before_the_synthesis():
    """With ``on_failure="stop"`` nobody sums up what is not whole."""
    show = play(
        Parallel(aggregate="cy"), {"ada": (1, [OUT]), "bob": (9, ["late"]), "cy": (1, ["never"])}, on_failure="stop"
    )

    assert (["ada", "bob"], "failed", []) == (show.asked, show.result.stop_reason, show.speakers)
