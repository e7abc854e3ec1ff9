"""One turn without tools, live and replayed; and what an event costs with sinks."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from cloudllm_core import Agent, EventSink, Hub, Mode, Orchestration, Outcome, Record, Registry
from cloudllm_core.events import Progress
from cloudllm_core.testing import ScriptedProvider

from ._measure import Row, cpu_microseconds

TURNS = 100
EVENTS = 5_000


class Turns(Mode):
    """Asks four agents in turn, a hundred times."""

    name: ClassVar[str] = "turns"

    def settings(self) -> dict[str, Any]:
        return {}

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for nth in range(TURNS):
            await hub.ask(hub.agents[nth % 4], prompt)
        return Outcome(complete=True)


class Announcements(Mode):
    """Announces, and does nothing else."""

    name: ClassVar[str] = "announcements"

    def settings(self) -> dict[str, Any]:
        return {}

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for nth in range(EVENTS):
            hub.announce(Progress(done=nth, total=EVENTS))
        return Outcome(complete=True)


class Deaf(EventSink):
    """Takes everything and does nothing."""

    name: ClassVar[str] = "deaf"

    def receive(self, record: Record) -> None:
        """Nothing."""


def team(mode: Mode, sinks: int = 0) -> Orchestration:
    registry = Registry.of()
    said = "A short answer of one sentence."
    agents = [Agent(name, ScriptedProvider(said, repeat=True), registry=registry) for name in "abcd"]
    return Orchestration(agents, mode, sinks=[Deaf() for _ in range(sinks)], registry=registry)


async def bare_task() -> int:
    """What asyncio itself costs: a task, made and awaited."""

    async def nothing() -> None:
        """Nothing."""

    for _ in range(1000):
        await asyncio.get_running_loop().create_task(nothing())
    return 1000


async def measure() -> list[Row]:
    async def live() -> int:
        await team(Turns()).run("What now?")
        return TURNS

    recorded = team(Turns()).run("What now?")
    await recorded

    async def replayed() -> int:
        await team(Turns()).replay(recorded.records)
        return TURNS

    def announced(sinks: int) -> Any:
        orchestration = team(Announcements(), sinks)

        async def step() -> int:
            await orchestration.run("Go.")
            return EVENTS

        return step

    task = await cpu_microseconds(bare_task)
    turn, again = await cpu_microseconds(live), await cpu_microseconds(replayed)
    rows = [
        Row("an asyncio task, made and awaited", task, "us"),
        Row("a turn without tools: journal, hashes and events on", turn, "us", 150),
        Row("... in asyncio tasks", turn / task, "x"),
        Row("the same turn replayed", again, "us", 35),
        Row("... against the live one", again / turn, "x"),
    ]
    alone = 0.0
    for sinks in (0, 1, 20):
        cost = await cpu_microseconds(announced(sinks), 3)
        alone = alone or cost
        rows.append(Row(f"an event with {sinks} sinks, their threads' work included", cost, "us"))
        if sinks:
            rows.append(Row(f"... of it, for each of {sinks} sinks", (cost - alone) / sinks, "us"))
    return rows


def rows() -> list[Row]:
    return asyncio.run(measure())
