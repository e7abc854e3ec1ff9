"""Every mode ends within its bound, whatever the models say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm import (
    AgentTeams,
    Debate,
    Hierarchical,
    Moderated,
    Parallel,
    Quorum,
    Ralph,
    RalphTask,
    RoundRobin,
    WorkItem,
)
from cloudllm_core import Mode, default_registry
from cloudllm_core.errors import Overloaded
from cloudllm_core.testing import call, simulate, stage

AGENTS = ("ada", "bob", "cy")
CALLS = 3
"""Tool calls that a turn may make; so it has at most that many model calls, and one more."""

MODES: dict[str, tuple[Callable[[], Mode], int]] = {
    "parallel": (lambda: Parallel(rounds=2, require="all"), 6),
    "parallel, a quorum": (lambda: Parallel(rounds=2, aggregate=Quorum(2)), 6),
    "parallel, an agent": (lambda: Parallel(rounds=2, aggregate="cy"), 5),
    "round-robin": (lambda: RoundRobin(rounds=2), 6),
    "moderated": (lambda: Moderated("ada", rounds=2), 7),
    "hierarchical": (lambda: Hierarchical([["ada", "bob"], ["cy"]]), 3),
    "debate": (lambda: Debate(max_rounds=3), 9),
    "ralph": (lambda: Ralph([RalphTask("a", "A"), RalphTask("b", "B", after=("a",))], max_iterations=3), 9),
    "ralph, parallel": (lambda: Ralph([RalphTask("a", "A"), RalphTask("b", "B")], max_iterations=3, parallel=True), 9),
    "agent-teams": (
        lambda: AgentTeams("pool", [WorkItem("a", "A"), WorkItem("b", "B", after=["a"])], max_iterations=3),
        9,
    ),
}
"""Each mode, and the most turns it may give in all."""

IDS = st.sampled_from(["a", "b", "A", "nobody", "", "a\n", "ada", "bob"])
TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "Done.",
        "incomplete",
        "[TASK_COMPLETE:a]",
        "[TASK_COMPLETE:b]\n",
        "bob",
        "I claim a and complete b.",
        "yes",
        "yes",
    ]
)
TOOLS = st.one_of(
    st.builds(lambda id: call("complete_task", id=id, evidence="e"), IDS),
    st.builds(lambda id: call("complete_task", id=id, result="r"), IDS),
    st.builds(lambda id: call("claim_task", id=id), IDS),
    st.builds(lambda id: call("release_task", id=id, reason="r"), IDS),
    st.builds(lambda id: call("choose_speaker", name=id, reason="r"), IDS),
    st.just(call("claim_task")),
    st.just(call("list_tasks")),
    st.just(call("no_such_tool", x=1)),
)
LINES = st.one_of(TEXTS, TOOLS, st.lists(TEXTS | TOOLS, min_size=1, max_size=3), st.just(Overloaded("too busy")))


@pytest.mark.parametrize("name", MODES)
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_mode_ends_within_its_bound(name: str, data: Any) -> None:
    """Any text, any calls, any failures, in any order: the run ends by itself, and nobody is asked too often."""
    make, turns = MODES[name]
    script = {agent: data.draw(st.lists(LINES, min_size=1, max_size=8), label=agent) for agent in AGENTS}
    spoken = dict.fromkeys(AGENTS, 0)

    def say(agent: str) -> Callable[[Any], Any]:
        def line(request: Any) -> Any:
            spoken[agent] += 1
            return script[agent][(spoken[agent] - 1) % len(script[agent])]

        return line

    def team() -> Any:
        orchestration = stage(make(), {agent: [say(agent)] * 200 for agent in AGENTS})
        for agent in orchestration.agents:
            agent.max_tool_calls = CALLS
        return orchestration

    simulation = simulate(team, seed=data.draw(st.integers(0, 999), label="seed"))

    assert simulation.result.stop_reason in ("completed", "max_rounds", "stalled", "failed")
    assert sum(spoken.values()) <= turns * (CALLS + 1)
    assert (simulation.result.stop_reason == "completed") == simulation.result.complete
    assert simulation.left == ()


def test_no_mode_is_left_out() -> None:
    """A mode that is installed here is in the table."""
    assert set(default_registry().names("mode")) == {make().name for make, _ in MODES.values()}
