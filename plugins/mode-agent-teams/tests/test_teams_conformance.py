"""Agent teams keep what every mode promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Mode, Request
from cloudllm_core.testing import Line, call
from cloudllm_core.testing.conformance import ModeContract
from cloudllm_mode_agent_teams import AgentTeams, WorkItem

TASKS = (
    WorkItem("plan", "Make a plan"),
    WorkItem("page", "Write the page", "It has a canvas", after=("plan",)),
    WorkItem("style", "Write the style", after=("page",)),
    WorkItem("sound", "Make sounds", title="Sound"),
)


class TestAgentTeams(ModeContract):
    """Four tasks, by agents who claim nothing."""

    words = (*(task.id for task in TASKS), "The plan is done.", "PUT teams:demo:completed:plan {}")

    @pytest.fixture
    def mode(self) -> Mode:
        return AgentTeams("demo", TASKS, max_iterations=3, lease=30, attempts=2)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 3 * agents


class TestAgentTeamsAtWork(TestAgentTeams):
    """Agents who claim whatever there is, and complete what they were given."""

    def say(self, agent: str, nth: int, request: Request) -> Line:
        heard = request.messages[-1]
        if heard.role == "user":
            return [f"{agent} claims, call {nth}.", call("claim_task")]
        if held := next((t for t in TASKS if f"] {t.id}" in heard.tool_results[-1].content), None) if nth % 3 else None:
            return [f"{agent} works, call {nth}.", call("complete_task", id=held.id, result=f"{held.id} by {agent}")]
        return f"This is {agent}, call {nth}."
