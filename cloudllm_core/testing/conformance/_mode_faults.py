"""Claims about a mode's runs when something goes wrong."""

from __future__ import annotations

import pytest

from ... import events as e
from ..._contracts import Mode, Request
from ...errors import AgentFailedError, CloudLLMError, ModeError, Overloaded
from .._script import Line
from .._virtual import Faults
from ._mode_cast import Casting, Keeper, Say, check_run, of_type


class ModeFaults(Casting):
    """Agents that fail, runs that are cancelled, and every order in which things may happen."""

    @pytest.mark.parametrize("calls", ["first", "later", "all"])
    def test_survives_an_agent_that_fails(self, mode: Mode, calls: str) -> None:
        """Whichever agent fails, at its first call, at later ones or always: the others' turns are whole."""
        for count in self.sizes():
            for position in range(count):
                run = self.play(mode, count, self.failing(position, calls))

                check_run(run)
                assert run.result.error is None or isinstance(run.result.error, AgentFailedError)
                assert not run.result.complete or run.result.messages
                failures = [event for event in of_type(run.records, e.AgentFailed) if event.error != "cancelled"]
                assert {self.names[position]} >= {event.agent for event in failures}, "others failed with it"

    def failing(self, position: int, calls: str) -> Say:
        """All speak as usual, but for the agent at *position*."""

        def say(agent: str, nth: int, request: Request) -> Line:
            fails = {"first": nth == 1, "later": nth > 1, "all": True}[calls]
            if agent == self.names[position] and fails:
                return Overloaded("as the claim wants it", "scripted")
            return self.say(agent, nth, request)

        return say

    def test_is_not_complete_if_everybody_fails(self, mode: Mode) -> None:
        """A run in which nobody answers is not complete, and its result says who failed and why."""
        for count in self.sizes():
            run = self.play(mode, count, lambda *_: Overloaded("nobody is at home", "scripted"))

            check_run(run)
            assert (False, "failed") == (run.result.complete, run.result.stop_reason)
            assert isinstance(run.result.error, CloudLLMError)
            assert "nobody is at home" in str(run.result.error)
            assert len(of_type(run.records, e.AgentSelected)) <= self.most_turns(mode, count)

    def test_stops_at_a_failure_if_asked_to(self, mode: Mode) -> None:
        """With ``on_failure="stop"``, nobody is given a turn after the first failure."""
        count = self.some
        for position in range(count):
            run = self.play(mode, count, self.failing(position, "first"), on_failure="stop")

            check_run(run)
            kinds = [type(event) for event in of_type(run.records, e.AgentSelected, e.AgentFailed)]
            if e.AgentFailed in kinds:
                assert e.AgentSelected not in kinds[kinds.index(e.AgentFailed) :]
                assert (False, "failed") == (run.result.complete, run.result.stop_reason)

    def test_can_be_cancelled_at_any_record(self, mode: Mode) -> None:
        """After whichever record: histories are legal, effects ended, the journal closed, and no task is left."""
        count = self.some
        whole = self.play(mode, count)
        last = max(record.number for record in whole.records if record.kind == "finished")
        for number in range(1, len(whole.records) + 1):
            journal = Keeper()
            run = self.play(mode, count, faults=Faults(cancel_at=number), journal=journal)

            check_run(run)
            assert (number, 1) == (number, journal.closed)
            assert len(journal.lines) == len(run.records)
            reasons = ("cancelled",) if number < last else ("cancelled", whole.result.stop_reason)
            assert run.result.stop_reason in reasons
            assert (run.result.stop_reason == "cancelled") == isinstance(run.records[-1].event, e.RunCancelled)
            assert not (run.result.complete and run.result.stop_reason == "cancelled")

    @pytest.mark.parametrize("seed", range(20))
    def test_any_order_will_do(self, mode: Mode, seed: int) -> None:
        """Whatever the order in which answers arrive, and whoever fails on the way, no rule of the kernel is broken."""
        run = self.play(mode, max(self.sizes()), seed=seed, faults=Faults(provider=0.2 * (seed % 3), tool=0.1))

        check_run(run)
        assert not isinstance(run.result.error, ModeError)
        assert run.result.error is None or isinstance(run.result.error, AgentFailedError)
