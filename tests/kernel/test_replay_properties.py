"""Random programs, latencies, faults and cancellations: what the journal guarantees, always."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudllm_core import validate_history
from cloudllm_core.testing import Faults, Simulation, simulate
from tests.kernel.programs import PAID, team

SEEDS = st.integers(0, 2**31)


def check_closed(simulation: Simulation) -> None:
    """Every start has its one end, histories are legal, the journal has its last word, nothing is left over."""
    records = simulation.records
    started = [(r.lane, r.position) for r in records if r.kind == "started"]
    finished = [(r.lane, r.position) for r in records if r.kind == "finished"]
    assert len(started) == len(set(started))
    assert sorted(started) == sorted(finished)
    assert type(records[-1].event).__name__ in ("RunCompleted", "RunCancelled", "RunFailed")
    assert list(range(1, len(records) + 1)) == [record.number for record in records]
    for agent in simulation.orchestration.agents:
        validate_history(agent.session.messages)
        assert agent.session.holder is None
    assert () == simulation.left


def check_replays(simulation: Simulation, seed: int) -> None:
    """A fresh team re-enacts the run: the same records, results, transcript and mode state; nothing is performed."""
    again = team(seed)
    before = list(PAID)
    result = asyncio.run(again.replay(simulation.records))

    assert simulation.result.messages == result.messages
    assert simulation.result.usage_by_agent == result.usage_by_agent
    assert (simulation.result.stop_reason, simulation.result.complete) == (result.stop_reason, result.complete)
    assert simulation.orchestration.mode.log == again.mode.log  # type: ignore[attr-defined]
    assert before == PAID
    assert all(not agent.provider.requests for agent in again.agents)  # type: ignore[attr-defined]


def check(seed: int, faults: Faults) -> Simulation:
    PAID.clear()
    simulation = simulate(lambda: team(seed), seed=seed, faults=faults)
    check_closed(simulation)
    check_replays(simulation, seed)
    return simulation


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_every_run_replays_to_the_same_records(seed: int) -> None:
    """Whatever a mode does and however its effects overtake one another, the journal re-enacts it."""
    check(seed, Faults())


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, share=st.sampled_from([0.1, 0.4, 1.0]))
def test_failures_replay_too(seed: int, share: float) -> None:
    """Models and tools that fail change what happens, not that it can be re-enacted."""
    check(seed, Faults(provider=share, tool=share))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, share=st.floats(0, 1))
@example(seed=0, share=0.0)
def test_a_run_cancelled_anywhere_is_closed_and_replays(seed: int, share: float) -> None:
    """A cancellation at any record ends the run with every call answered, and re-enacts exactly."""
    whole = simulate(lambda: team(seed), seed=seed)
    at = 1 + int(share * (len(whole.records) - 1))

    simulation = check(seed, Faults(cancel_at=at))

    learned = [r for r in simulation.records[at:] if r.kind == "finished" and r.opened.body["class"] != "composite"]
    assert simulation.result.stop_reason == "cancelled" or not learned  # it was over before it could be heard


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_simulation_is_found_again_by_its_seed(seed: int) -> None:
    """The same seed gives the same interleaving, hash by hash."""
    once, again = (simulate(lambda: team(seed), seed=seed) for _ in range(2))

    assert [r.hash for r in once.records] == [r.hash for r in again.records]


@pytest.mark.soak
@pytest.mark.parametrize("block", range(20))
def test_soak(block: int) -> None:
    """Two thousand programs, each whole, with failures, and cancelled at four records."""
    for seed in range(block * 100, block * 100 + 100):
        records = len(check(seed, Faults()).records)
        check(seed, Faults(provider=0.2, tool=0.2))
        dice = random.Random(seed)
        for at in dice.sample(range(1, records + 1), min(4, records)):
            check(seed, Faults(cancel_at=at))
