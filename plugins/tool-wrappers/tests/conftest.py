"""A tool protocol that keeps a diary, for wrappers to be wrapped around."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from cloudllm_core import Mode, Outcome, ToolContext, ToolDefinition, ToolProtocol


def _tool(name: str, **told: Any) -> ToolDefinition:
    parameters = {"type": "object", "properties": {"word": {"type": "string", "description": "Any word."}}}
    return ToolDefinition(name=name, description=f"To {name} a word.", parameters=parameters, **told)


class Workshop(ToolProtocol):
    """Looks, weighs, builds and leads; `calls` and `closed` tell what reached it."""

    name: ClassVar[str] = "workshop"

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.times: list[float] = []
        self.closed = 0

    def tools(self) -> Sequence[ToolDefinition]:
        return [
            _tool("look", effect="read", untrusted=True, needs=("network",), timeout=5.0),
            _tool("weigh", effect="read", concurrency=2),
            _tool("mark", effect="idempotent", needs=("files",)),
            _tool("build", effect="write", needs=("processes", "secrets"), timeout=60.0),
            _tool("lead", effect="composite"),
        ]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        self.calls.append((tool, dict(arguments)))
        self.times.append(asyncio.get_running_loop().time())
        if tool not in [one.name for one in self.tools()]:
            raise LookupError(f"There is no {tool} here.")
        if self.pause:
            await asyncio.sleep(self.pause)
        if arguments.get("word") == "broken":
            raise ValueError(f"{tool} cannot do with what is broken")
        return {"tool": tool, "given": dict(arguments), "nth": len(self.calls)}

    async def aclose(self) -> None:
        self.closed += 1

    def reached(self, *tools: str) -> list[str]:
        """Which tools were called, of *tools* if there are any."""
        return [tool for tool, _ in self.calls if not tools or tool in tools]


class Once(Mode):
    """Each agent has a turn."""

    name: ClassVar[str] = "once"

    async def run(self, hub: Any, prompt: str) -> Outcome:
        for agent in hub.agents:
            await hub.ask(agent, prompt)
        return Outcome(complete=True)


def context_until(deadline: float = float("inf"), **told: Any) -> ToolContext:
    return ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=deadline, **told)


@pytest.fixture(scope="session")
def workshop() -> type[Workshop]:
    return Workshop


@pytest.fixture(scope="session")
def once() -> type[Once]:
    return Once


@pytest.fixture(scope="session")
def context() -> Any:
    """Makes a call's context: by its deadline."""
    return context_until
