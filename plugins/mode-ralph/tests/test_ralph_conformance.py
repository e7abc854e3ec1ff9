"""Ralph keeps what every mode promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import attrs
import pytest

from cloudllm_core import Mode, Request, ToolContext, ToolDefinition, ToolProtocol
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


class TestRalphInParallel(TestRalphAtWork):
    """The same agents, all at once."""

    names = ("ada", "bob", "cy")

    @pytest.fixture
    def mode(self) -> Mode:
        return Ralph(tasks=TASKS, max_iterations=2, parallel=True)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 2 * agents


async def odd(id: str, evidence: str) -> bool | str:
    """Accepts every other piece of evidence, and fails for some."""
    if len(evidence) % 5 == 0:
        raise LookupError(f"no {evidence!r}")
    return len(evidence) % 2 == 1 or f"{id}: {evidence!r} is too even."


@attrs.frozen
class CheckedRalph(Ralph):
    """Ralph whose tasks are all checked by `odd`: a table cannot hold a function, so it is put back in."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        tasks = [{key: table[key] for key in table if key != "check"} for table in settings.get("tasks", ())]
        plain = super().from_settings({**settings, "tasks": tasks})
        return attrs.evolve(plain, tasks=[attrs.evolve(task, check=odd) for task in plain.tasks])


class TestRalphWithChecks(TestRalphInParallel):
    """All at once, and every task has a check that rejects now and then, or fails."""

    @pytest.fixture
    def mode(self) -> Mode:
        tasks = tuple(attrs.evolve(task, check=odd) for task in TASKS)
        return CheckedRalph(tasks=tasks, max_iterations=2, parallel=True)


@attrs.frozen
class Odd(ToolProtocol):
    """A shell that judges as `odd` does, by how long its command is."""

    name: ClassVar[str] = "odd"

    def tools(self) -> Sequence[ToolDefinition]:
        parameters = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
        return [ToolDefinition(name="bash", description="Odd.", parameters=parameters)]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> dict[str, Any]:
        said = await odd(tool, arguments["command"])
        return {"exit_code": 0, "stdout": ""} if said is True else {"exit_code": 1, "stdout": said}


@attrs.frozen
class ShelledRalph(Ralph):
    """Ralph with the shell `Odd`, which a table can only name."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        return super().from_settings({**settings, "shell": Odd() if "shell" in settings else None})


class TestRalphWithCommands(TestRalphInParallel):
    """All at once, and every task is judged by a command, in a shell that fails now and then."""

    @pytest.fixture
    def mode(self) -> Mode:
        tasks = tuple(attrs.evolve(task, check="make test") for task in TASKS)
        return ShelledRalph(tasks=tasks, max_iterations=2, parallel=True, shell=Odd())
