"""Claims about a mode's runs when all goes well."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ... import events as e
from ..._contracts import Mode
from ..._messages import Message
from ..._run import RunResult
from .._virtual import Simulation, VirtualLoop, run_virtually
from ._chance import dice_of
from ._mode_cast import Casting, babble, check_run, of_type


class ModeRuns(Casting):
    """Any number of agents, again and again, and at once."""

    def test_runs_with_any_number_of_agents(self, mode: Mode) -> None:
        """With one agent or many, the run ends with a result, and somebody has answered."""
        for count in self.sizes():
            run = self.play(mode, count)

            check_run(run)
            assert (count, None) == (count, run.result.error)
            assert run.result.stop_reason in ("completed", "max_rounds", "stalled")
            assert run.result.messages
            assert (run.result.stop_reason == "completed") == run.result.complete

    def test_everything_is_heard_once_and_never_by_its_speaker(self, mode: Mode) -> None:
        """At its last turn an agent has heard all that others said before, each once, and nothing of its own."""
        for count in self.sizes():
            run = self.play(mode, count, seed=count)
            for agent in run.orchestration.agents:
                heard = told(agent.session.messages)
                for speaker, text, early in said_before_the_last_turn_of(agent.name, run):
                    if speaker == agent.name:
                        assert 0 == heard.count(text), f"{agent.name} heard itself"
                    else:
                        times = heard.count(f"{speaker}: {text}")
                        assert times == 1 if early else times <= 1, f"{agent.name} heard {speaker} {times} times"

    def test_every_agent_that_is_asked_knows_the_prompt(self, mode: Mode) -> None:
        """Whoever answers has been told what the user wants, word for word."""
        run = self.play(mode, self.some)
        for agent in run.orchestration.agents:
            if agent.name in {event.agent for event in of_type(run.records, e.AgentResponded)}:
                assert self.prompt in told(agent.session.messages)

    def test_can_run_again(self, mode: Mode) -> None:
        """The second run of an orchestration goes like a first one, and sessions go on."""
        team = self.team(mode, self.some)

        async def twice(loop: VirtualLoop) -> list[RunResult]:
            return [await team.run(self.prompt), await team.run("Once more, please.")]

        first, second = run_virtually(twice)
        assert (None, None) == (first.error, second.error)
        assert second.messages
        assert (True, True) == (first.sessions_kept, second.sessions_kept)
        asked = {reply.agent for reply in second.messages}
        for agent in team.agents:
            if agent.name in asked:
                assert 1 == told(agent.session.messages).count("Once more, please.")

    def test_keeps_nothing_between_runs(self, mode: Mode) -> None:
        """One instance gives the same records twice, after a run in which anything was said as well."""
        first = self.play(mode, self.some, seed=7)
        self.play(mode, self.some, babble(dice_of("between"), self.words), seed=8)
        again = self.play(mode, self.some, seed=7)

        assert [record.text for record in first.records] == [record.text for record in again.records]

    def test_runs_at_once_do_not_mix(self, mode: Mode) -> None:
        """Two runs of one orchestration at the same time do not hear of each other."""
        team = self.team(mode, self.some)
        prompts = ("The first errand.", "The second errand.")

        async def at_once(loop: VirtualLoop) -> list[tuple[RunResult, str]]:
            runs = [team.run(prompt) for prompt in prompts]
            results = [await run for run in runs]
            return [(result, "\n".join(r.text for r in run.records)) for result, run in zip(results, runs, strict=True)]

        (first, ours), (second, theirs) = run_virtually(at_once)
        assert (None, None) == (first.error, second.error)
        assert (True, False) == (first.sessions_kept, second.sessions_kept)
        assert (True, False) == (prompts[0] in ours, prompts[1] in ours)
        assert (False, True) == (prompts[0] in theirs, prompts[1] in theirs)
        assert first.messages
        assert second.messages

    @pytest.mark.parametrize("seed", range(40))
    def test_ends_whatever_is_said(self, mode: Mode, seed: int) -> None:
        """Agents who say anything, call tools with any arguments and fail now and then cannot keep it from ending."""
        dice = dice_of(f"babble {seed}")
        count = dice.choice(self.sizes())
        run = self.play(mode, count, babble(dice, (*self.words, *self.names)), seed=seed)

        check_run(run)
        assert run.result.stop_reason in ("completed", "max_rounds", "stalled", "failed")
        assert len(of_type(run.records, e.AgentSelected)) <= self.most_turns(mode, count)


def told(messages: Sequence[Message]) -> str:
    """All that a session holds as user content."""
    return "\n".join(message.text for message in messages if message.role == "user")


def said_before_the_last_turn_of(agent: str, run: Simulation) -> list[tuple[str, str, bool]]:
    """Everything said: by whom, what, and whether it was said before *agent* began its last turn (that it finished)."""
    begun = last = 0
    answers = []
    for record in run.records:
        match record.event:
            case e.SendStarted(agent=name) if name == agent:
                begun = record.number
            case e.AgentResponded(agent=name):
                answers.append(record.number)
                last = begun if name == agent else last
    said = zip(answers, run.result.messages, strict=True)
    return [(reply.agent, reply.text, number < last) for number, reply in said]
