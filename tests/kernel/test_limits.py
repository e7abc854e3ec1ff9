"""Limits are checked in one place before the effect: parallel agents cannot overshoot together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Hub, Limits, Outcome
from cloudllm_core._limits import Ledger
from cloudllm_core.errors import LimitReachedError, SettingsError
from cloudllm_core.events import LimitReached, LLMCallCompleted, RunCompleted
from cloudllm_core.testing import Show, call, stage
from tests.kernel.stories import InTurn, Story, Together, Waiting, replay, requests, session_of, tell, tell_virtually

TEAM = {name: [f"{name} says {n}" for n in range(9)] for name in ("ada", "bob", "cyn", "dan")}


def spent(show: Show) -> int:
    return sum(len(requests(show, name)) for name in show.providers)


def check_ended(show: Show, limit: str, allowed: float) -> None:
    """Stopped by the limit, said once, and re-enacted the same."""
    assert ("limit", False) == (show.result.stop_reason, show.result.complete)
    assert [LimitReached(limit=limit, allowed=allowed)] == show.notebook.events(LimitReached)
    assert f"The run reached its limit of {allowed:g} {limit}. Raise it with Limits({limit}=...)." == str(
        show.result.error
    )
    (end,) = show.notebook.events(RunCompleted)
    assert ("limit", False) == (end.stop_reason, end.is_complete)
    assert end == show.records[-1].event
    again = replay(show)
    assert ("limit", show.result.messages) == (again.stop_reason, again.messages)


@given(st.lists(st.integers(1, 5), max_size=20), st.none() | st.integers(1, 20))
def test_a_ledger_never_gives_more_than_is_allowed(amounts: list[int], allowed: int | None) -> None:
    """A reservation is whole or nothing; what was refused took nothing."""
    ledger = Ledger(Limits(calls=allowed))
    for amount in amounts:
        before = ledger.used.get("calls", 0)
        try:
            ledger.reserve("calls", amount)
        except LimitReachedError as limit:
            refused = limit
        else:
            assert before + amount == ledger.used["calls"]
            assert allowed is None or before + amount <= allowed
            continue
        assert allowed is not None
        assert before + amount > allowed
        assert ("calls", allowed) == (refused.limit, refused.allowed)
        assert before == ledger.used.get("calls", 0)


@pytest.mark.parametrize("limits", [{"rounds": 0}, {"calls": -1}, {"seconds": 0.0}, {"calls": True}])
def test_a_limit_is_above_zero(limits: dict[str, Any]) -> None:
    """The error names the limit and what was given."""
    ((name, value),) = limits.items()
    with pytest.raises(
        ValueError, match=f"Limits\\({name}={value}\\): a limit is a number above 0, or None for no limit"
    ):
        Limits(**limits)


def test_limits_of_a_team_file_are_checked_by_name() -> None:
    """An unknown limit is told with the near miss."""
    with pytest.raises(SettingsError, match="limits.round: .*Did you mean 'rounds'?"):
        stage(InTurn(), {"ada": "x"}, limits={"round": 1})
    assert Limits(rounds=2) == stage(InTurn(), {"ada": "x"}, limits={"rounds": 2}).limits


def test_rounds() -> None:
    """The round that is one too many does not begin."""
    show = tell(InTurn(5), TEAM, limits=Limits(rounds=2))

    assert 8 == spent(show)
    assert 2 == show.result.rounds
    check_ended(show, "rounds", 2)


def test_calls_in_turn() -> None:
    """The call that is one too many is not made; what was said stays said."""
    show = tell(InTurn(5), TEAM, limits=Limits(calls=3))

    assert 3 == spent(show)
    assert ["ada", "bob", "cyn"] == show.speakers
    check_ended(show, "calls", 3)
    assert [] == session_of(show, "dan")


def test_calls_at_once_cannot_overshoot_together() -> None:
    """Of four agents asked at once with two calls left, two are asked; their work is finished and counts."""
    show = tell_virtually(
        Together(), {name: Waiting(name, seconds) for seconds, name in enumerate(TEAM)}, limits=Limits(calls=2)
    )

    assert 2 == spent(show)
    assert ["ada", "bob"] == show.speakers
    assert 2 == len(show.notebook.events(LLMCallCompleted))
    assert ["Begin.", "ada"] == [text for _, text in session_of(show, "ada")]
    check_ended(show, "calls", 2)


def test_calls_of_one_turn_count_one_by_one() -> None:
    """A turn of many model calls stops in the middle, and is discarded."""
    show = tell(InTurn(), {"ada": [call("nothing"), call("nothing"), "Done."]}, limits=Limits(calls=2))

    assert 2 == spent(show)
    assert [] == session_of(show)
    check_ended(show, "calls", 2)


def test_seconds() -> None:
    """A deadline is heard in the middle of a model call; the turn is discarded."""
    show = tell_virtually(InTurn(9), {"ada": Waiting("A", 4)}, limits=Limits(seconds=10))

    assert 2 == len(show.speakers)
    assert ["Begin.", "A", "Go on.", "A"] == [text for _, text in session_of(show)]
    check_ended(show, "seconds", 10)


def test_seconds_that_are_not_used_up_leave_nothing_behind() -> None:
    """A run that ends in time is complete, and no timer keeps the loop busy."""
    show = tell_virtually(InTurn(), {"ada": Waiting("A", 4)}, limits=Limits(seconds=5))

    assert ("completed", True) == (show.result.stop_reason, show.result.complete)


def test_a_timeout_of_the_modes_own_is_not_the_limit() -> None:
    """Only the run's deadline is the limit's; another TimeoutError fails the run."""

    async def story(hub: Hub) -> None:
        async with hub.timeout(1):
            await hub.sleep(60)

    show = tell_virtually(story, limits=Limits(seconds=10))

    assert ("failed", "it took longer than 1 s") == (show.result.stop_reason, str(show.result.error))


def test_a_mode_that_keeps_the_deadline_to_itself_is_stopped_by_the_limit_all_the_same() -> None:
    """Swallowing the cancellation does not make such a run complete."""

    async def story(hub: Hub) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await hub.sleep(60)

    show = tell_virtually(story, limits=Limits(seconds=10))

    check_ended(show, "seconds", 10)


def test_a_limit_for_one_run_stands_for_the_orchestrations() -> None:
    """`run(limits=...)` replaces, and is what a replay uses."""

    async def main() -> Any:
        orchestration = stage(InTurn(5), TEAM, limits=Limits(calls=1))
        run = orchestration.run("Go", limits=Limits(calls=6))
        return await run, run.records, orchestration

    result, records, orchestration = asyncio.run(main())

    assert 6 == len(result.messages)
    again = asyncio.run(orchestration.replay(records))
    assert result.messages == again.messages


def test_every_run_has_its_own_ledger() -> None:
    """What one run has used is not missing from the next."""
    show = tell(InTurn(), {"ada": ["A", "B"]}, limits=Limits(calls=1))
    assert show.orchestration.run_sync("Again.").complete


def test_a_mode_may_catch_the_limit_and_sum_up() -> None:
    """The exception is the mode's to handle; then the outcome is its own."""

    async def story(hub: Hub) -> Outcome:
        try:
            for _ in range(9):
                await hub.ask("ada", "x")
        except LimitReachedError as limit:
            return Outcome(complete=False, answer=f"so far: {limit.limit}", stop_reason="limit")
        return Outcome(complete=True)

    show = tell(Story(story), {"ada": ["A"] * 9}, limits=Limits(calls=2))

    assert ("limit", "so far: calls", False) == (show.result.stop_reason, show.result.answer, show.result.complete)
