"""Parallel, rehearsed with scripted agents and virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cloudllm_core import Completion, Request
from cloudllm_core.errors import AgentFailedError, Overloaded, SettingsError, SetupError
from cloudllm_core.events import AgentFailed, AgentResponded, AgentSelected, Progress
from cloudllm_core.testing import ScriptedProvider, Show, rehearse, run_virtually, simulate, stage
from cloudllm_mode_parallel import Parallel, cloudllm_register_mode

OUT = Overloaded("out of order", "scripted")
BEGINS = ["AgentSelected", "SendStarted", "LLMCallStarted"]
ENDS = ["LLMCallCompleted", "SendCompleted", "AgentResponded", "Progress"]


class Slow(ScriptedProvider):
    """Says each line after so many seconds of virtual time."""

    def __init__(self, seconds: float, *lines: Any) -> None:
        super().__init__(*lines)
        self.seconds = seconds

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self.seconds)
        return await super().complete(request)


def play(
    mode: Parallel, agents: Mapping[str, tuple[float, Sequence[Any]]], prompt: str = "Go.", **options: Any
) -> Show:
    """A rehearsal in virtual time; of each agent, how long it takes and its lines."""
    script = {name: Slow(seconds, *lines) for name, (seconds, lines) in agents.items()}
    return run_virtually(lambda loop: rehearse(mode, script, prompt, **options))


def seconds(mode: Parallel, agents: Mapping[str, tuple[float, Sequence[Any]]], **options: Any) -> float:
    """How long a run takes, in virtual time."""
    make = lambda: stage(mode, {name: Slow(time, *lines) for name, (time, lines) in agents.items()}, **options)  # noqa: E731
    records = simulate(make, seed=0, latency=0).records
    return records[-1].at - records[0].at


def texts(show: Show, agent: str) -> list[list[tuple[str, str]]]:
    return [[(m.role, m.text) for m in request.messages] for request in show.providers[agent].requests]


def test_replies_arrive_as_they_finish():
    """All are asked at once; who is done first is heard first, whatever the order of the agents."""
    show = play(Parallel(), {"ada": (3, ["a1"]), "bob": (1, ["b1"]), "cy": (2, ["c1"])})

    assert ["bob", "cy", "ada"] == show.speakers == [e.agent for e in show.notebook.events(AgentResponded)]
    assert "bob: b1\n\ncy: c1\n\nada: a1" == show.result.answer
    assert (True, 1.0, "completed") == (show.result.complete, show.result.score, show.result.stop_reason)


def test_agents_work_at_the_same_time():
    """The run takes as long as the slowest agent, and not as long as all of them together."""
    assert 10 == seconds(Parallel(), {name: (10, ["done"]) for name in ("ada", "bob", "cy")})


def test_what_is_announced():
    """Everybody is selected before anybody answers; each answer moves the bar."""
    show = play(Parallel(), {"ada": (1, ["a1"]), "bob": (2, ["b1"])})

    assert ["RunStarted", "RoundStarted", *BEGINS, *BEGINS, *ENDS, *ENDS, "RoundCompleted", "RunCompleted"] == (
        show.notebook.titles
    )
    assert [(1, 2), (2, 2)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]
    assert ["parallel, round 1"] * 2 == [event.reason for event in show.notebook.events(AgentSelected)]


def test_what_is_routed_to_each_agent():
    """Nobody hears the others in the round under way; in the next, everyone hears all of them, in order of arrival."""
    show = play(Parallel(rounds=2), {"ada": (3, ["a1", "a2"]), "bob": (2, ["b1", "b2"]), "cy": (1, ["c1", "c2"])})

    assert [("user", "Go."), ("assistant", "a1"), ("user", "cy: c1\n\nbob: b1")] == texts(show, "ada")[1]
    assert [("user", "Go."), ("assistant", "b1"), ("user", "cy: c1\n\nada: a1")] == texts(show, "bob")[1]
    assert [("user", "Go."), ("assistant", "c1"), ("user", "bob: b1\n\nada: a1")] == texts(show, "cy")[1]
    assert "cy: c2\n\nbob: b2\n\nada: a2" == show.result.answer


def test_it_answers_with_what_was_said_in_the_last_round():
    """Whoever failed in the last round does not count there, whatever it said before."""
    show = play(Parallel(rounds=2, require="all"), {"ada": (1, ["a1", OUT]), "bob": (2, ["b1", "b2"])})

    assert ("bob: b2", 0.5, False, "failed") == (
        show.result.answer, show.result.score, show.result.complete, show.result.stop_reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("require", "failing", "complete"),
    [
        ("any", 0, True),
        ("any", 2, True),
        ("all", 0, True),
        ("all", 1, False),
        (2, 1, True),
        (2, 2, False),
        (3, 1, False),
    ],
)
def test_when_it_is_complete(require, failing, complete):
    """It is complete when enough agents reply; the score is the share that did."""
    names = ["ada", "bob", "cy"]
    show = play(Parallel(require=require), {n: (1, [OUT if i < failing else "yes"]) for i, n in enumerate(names)})

    assert (complete, (3 - failing) / 3) == (show.result.complete, show.result.score)
    assert ("completed" if complete else "failed") == show.result.stop_reason


@pytest.mark.parametrize("require", ["any", "all", 1])
def test_all_failing_is_not_complete(require):
    """Regression: a run in which every agent failed was reported as complete."""
    show = play(Parallel(require=require), {"ada": (1, [OUT]), "bob": (2, [OUT])})

    assert (False, 0.0, "failed", None) == (
        show.result.complete, show.result.score, show.result.stop_reason, show.result.answer,
    )  # fmt: skip
    assert isinstance(show.result.error, AgentFailedError)
    assert ["RunStarted", "RoundStarted", *BEGINS * 2, *["LLMCallCompleted", "AgentFailed"] * 2, "RoundCompleted",
            "RunCompleted"] == show.notebook.titles  # fmt: skip


@pytest.mark.parametrize("position", range(3))
def test_an_agent_that_fails_takes_nobody_with_it(position):
    """Wherever it sits, the others' answers arrive, and nobody hears it in the next round."""
    names = ["ada", "bob", "cy"]
    lines = {name: (1 + i, [OUT if i == position else f"{name}1", f"{name}2"]) for i, name in enumerate(names)}
    show = play(Parallel(rounds=2), lines)

    others = [name for i, name in enumerate(names) if i != position]
    assert [*others, *names] == show.speakers
    heard = "\n\n".join(f"{name}: {name}1" for name in others)
    assert f"{heard}\nGo." == show.heard(names[position])[1]


def test_stopping_early_cancels_the_rest():
    """When enough have replied the round ends at once: what others were doing is cancelled, and leaves no trace."""
    lines: dict[str, tuple[float, list[Any]]] = {"ada": (900, ["late"]), "bob": (1, ["b1"]), "cy": (2, ["c1"])}
    show = play(Parallel(require=2, stop_early=True), lines)

    assert ["bob", "cy"] == show.speakers
    assert (True, 2 / 3) == (show.result.complete, show.result.score)
    assert 2 == seconds(Parallel(require=2, stop_early=True), lines)
    assert [("ada", "cancelled", False)] == [(e.agent, e.error, e.kept) for e in show.notebook.events(AgentFailed)]
    assert () == show.orchestration.agents[0].session.messages
    assert [*ENDS, "LLMCallCompleted", "AgentFailed", "RoundCompleted", "RunCompleted"] == show.notebook.titles[-8:]


def test_who_was_cancelled_hears_what_it_missed():
    """In the next round a cancelled agent is told the prompt and the winner's words; its own void turn is forgotten."""
    show = play(Parallel(rounds=2, stop_early=True), {"ada": (5, ["a2"]), "bob": (1, ["b1", OUT])})

    assert ["bob: b1\nGo."] == show.heard("ada")
    assert ["bob", "ada"] == show.speakers


def test_without_stopping_early_everybody_finishes():
    """`require` alone does not end a round."""
    show = play(Parallel(require="any"), {"ada": (9, ["a1"]), "bob": (1, ["b1"])})

    assert ["bob", "ada"] == show.speakers


def test_stopping_on_failure():
    """With ``on_failure="stop"`` the first failure ends the run, and cancels who is still at work."""
    lines: dict[str, tuple[float, list[Any]]] = {"ada": (1, [OUT]), "bob": (9, ["late"])}
    show = play(Parallel(), lines, on_failure="stop")

    assert ("failed", []) == (show.result.stop_reason, show.speakers)
    assert 1 == seconds(Parallel(), lines, on_failure="stop")
    assert ["ada", "bob"] == [event.agent for event in show.notebook.events(AgentFailed)]


def test_a_second_run_goes_on_with_the_same_sessions():
    """Agents remember the first run, and hear in the second what they missed of neither."""

    async def main() -> Show:
        show = await rehearse(Parallel(), {"ada": ["a1", "a2"], "bob": ["b1", "b2"]}, "Go.")
        result = await show.orchestration.run("Again.")
        assert (2, True) == (len(result.messages), result.complete)
        return show

    show = asyncio.run(main())
    assert [("user", "Go."), ("assistant", "a1"), ("user", "Again.")] == texts(show, "ada")[1]


def test_more_replies_than_agents():
    """Asking for more replies than there are agents is a mistake that is named before anybody is asked."""
    show = play(Parallel(require=3), {"ada": (1, ["a1"]), "bob": (1, ["b1"])})

    assert isinstance(show.result.error, SetupError)
    assert "Parallel(require=3) can never be met by 2 agents. Ask for fewer." == str(show.result.error)
    assert ([], "failed") == (show.asked, show.result.stop_reason)


def test_what_it_is_made_from():
    """One round, any reply; other values are refused with a sentence."""
    assert Parallel() == Parallel(rounds=1, require="any", stop_early=False) == Parallel.from_settings({})
    assert Parallel(require=2) == Parallel.from_settings({"require": 2})
    assert Parallel is cloudllm_register_mode()
    for require in (0, -1, True, "some", 1.5, None):
        with pytest.raises(ValueError, match="give 'any', 'all' or how many agents must reply"):
            Parallel(require=require)
    with pytest.raises(SettingsError, match="Did you mean 'stop_early'"):
        Parallel.from_settings({"stop_erly": True})
    with pytest.raises(SettingsError, match="rounds: found 0, expected at least 1"):
        Parallel.from_settings({"rounds": 0})
