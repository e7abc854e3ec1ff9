"""A mode tried out with scripted agents: no network, no keys, no waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from .._agent import Agent
from .._contracts import Mode
from .._orchestration import Orchestration
from .._records import Record
from .._registry import Registry
from .._run import RunResult
from ..events import AgentSelected
from ._notebook import Notebook
from ._script import Line, ScriptedProvider


@attrs.frozen(kw_only=True)
class Show:
    """What came of a rehearsal."""

    orchestration: Orchestration
    result: RunResult
    records: tuple[Record, ...]
    notebook: Notebook
    providers: Mapping[str, ScriptedProvider]

    @property
    def speakers(self) -> list[str]:
        """Who answered, in order."""
        return [reply.agent for reply in self.result.messages]

    @property
    def asked(self) -> list[str]:
        """Who was given a turn, in order."""
        return [event.agent for event in self.notebook.events(AgentSelected)]

    def heard(self, agent: str) -> list[str]:
        """What *agent* was told in each of its model calls: the last user message."""
        return [
            next(message.text for message in reversed(request.messages) if message.role == "user")
            for request in self.providers[agent].requests
        ]


Script = Mapping[str, "Line | Sequence[Line] | ScriptedProvider"]


def cast(script: Script) -> dict[str, ScriptedProvider]:
    """One `ScriptedProvider` for each agent of *script*."""
    return {
        name: lines if isinstance(lines, ScriptedProvider) else ScriptedProvider(*_as_lines(lines))
        for name, lines in script.items()
    }


def _as_lines(script: Line | Sequence[Line]) -> Sequence[Line]:
    return script if isinstance(script, (list, tuple)) else [script]


def stage(mode: Mode, script: Script, *, tools: Sequence[Any] = (), **options: Any) -> Orchestration:
    """An orchestration of scripted agents, each with *tools*; *options* go to `Orchestration`."""
    registry = options.pop("registry", None) or Registry.of()
    agents = [Agent(name, provider, tools=tools, registry=registry) for name, provider in cast(script).items()]
    return Orchestration(agents, mode, registry=registry, **options)


async def rehearse(mode: Mode, script: Script, prompt: str = "Begin.", **options: Any) -> Show:
    """
    Run *mode* once with scripted agents.

    Args:
        mode: an instance.
        script: for each agent, in order, its lines (see `Line`) or a `ScriptedProvider`.
        options: ``tools`` for every agent, and whatever `Orchestration` takes.
    """
    notebook = Notebook()
    sinks = [*options.pop("sinks", ()), notebook]
    orchestration = stage(mode, script, sinks=sinks, **options)
    run = orchestration.run(prompt)
    result = await run
    providers = {agent.name: agent.provider for agent in orchestration.agents}
    return Show(
        orchestration=orchestration,
        result=result,
        records=tuple(run.records),
        notebook=notebook,
        providers=providers,  # type: ignore[arg-type] # every agent here has a scripted one
    )
