"""Ralph keeps what every mode promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Mode, Request
from cloudllm_core.testing import Line, call
from cloudllm_core.testing.conformance import ModeContract
from cloudllm_mode_ralph import Ralph, RalphTask

TASKS = (
    RalphTask("plan", "A plan"),
    RalphTask("page", "The page", "with a canvas", after=("plan",)),
    RalphTask("style", "The style", after=("page",)),
    RalphTask("sound", "Sound"),
)


class TestRalph(ModeContract):
    """Four tasks in three iterations, by agents who get nowhere."""

    words = (
        *(task.id for task in TASKS),
        "[TASK_COMPLETE:plan]",
        "\n[TASK_COMPLETE: page ]\n",
        "[TASK_COMPLETE:sound]",
    )

    @pytest.fixture
    def mode(self) -> Mode:
        return Ralph(tasks=TASKS, max_iterations=3)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 3 * agents


class TestRalphAtWork(TestRalph):
    """Agents who try each task with the tool, then say by marker what they did."""

    def say(self, agent: str, nth: int, request: Request) -> Line:
        if request.messages[-1].role == "user" and nth % 3:
            ids = [TASKS[nth % 4].id, TASKS[(nth + 1) % 4].id]
            return [f"{agent} tries, call {nth}.", *(call("complete_task", id=id, evidence=f"file {id}") for id in ids)]
        return f"This is {agent}, call {nth}.\n[TASK_COMPLETE:{TASKS[nth % 4].id}]"
