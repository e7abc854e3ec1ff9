"""Agents that share a memory: by Python, by a team file, and many at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import cloudllm_store_memory
import cloudllm_tool_memory
from cloudllm_core import Agent, Hub, Mode, Orchestration, Outcome, Registry, Request, hookimpl
from cloudllm_core.testing import ScriptedProvider, call
from cloudllm_store_memory import MemoryStore
from cloudllm_tool_memory import Memory


class Turns(Mode):
    """Each agent speaks once, in order."""

    name = "turns"

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for agent in hub.agents:
            await hub.ask(agent, prompt)
        return Outcome(complete=True)


class Scripted(ScriptedProvider):
    """The provider of a team file: `ada` stores, `bob` and `cyd` say what they read."""

    name = "scripted"

    def __init__(self) -> None:
        super().__init__()

    async def complete(self, request: Request) -> Any:
        storing = request.model == "ada"
        wanted = call("memory_put", key="k", value="hers") if storing else call("memory", command="G k")
        self.lines = [wanted if request.messages[-1].role == "user" else result_of]
        self.requests.clear()
        return self._next(request)


def result_of(request: Request) -> str:
    """The result of the last call, as a line."""
    return str(request.messages[-1].tool_results[0].content)


class Plugin:
    """What a team file here names."""

    @hookimpl
    def cloudllm_register_mode(self) -> type[Mode]:
        return Turns

    @hookimpl
    def cloudllm_register_provider(self) -> type[ScriptedProvider]:
        return Scripted


def registry() -> Registry:
    return Registry.of(cloudllm_tool_memory, cloudllm_store_memory, Plugin())


def team(*memories: dict[str, Any]) -> list[str]:
    """What three agents with these memories answer: what ada stored, as the others read it."""
    agents = [
        {"name": name, "model": f"scripted:{name}", "tools": [memory]}
        for name, memory in zip(("ada", "bob", "cyd"), memories, strict=True)
    ]
    result = Orchestration.from_settings({"mode": "turns", "agents": agents}, registry=registry()).run_sync("Begin.")
    assert result.complete
    return [reply.text for reply in result.messages]


def test_what_one_agent_stores_another_reads() -> None:
    """By text and by typed tools, in one run; a refusal is an error result that begins with its code."""
    memory = Memory()
    ada = ScriptedProvider(call("memory", command='PUT plan {"title": "The sea", "n": 2} 60'), "Stored.")
    bob = ScriptedProvider(
        [call("memory_get", key="plan"), call("memory", command="G nothing"), call("memory", command="C")], "Read."
    )
    agents = [Agent("ada", ada, tools=[memory]), Agent("bob", bob, tools=[memory])]

    assert Orchestration(agents, Turns()).run_sync("Begin.").complete
    results = bob.requests[-1].messages[-1].tool_results
    found = json.loads(results[0].content)
    assert ('{"title": "The sea", "n": 2}', 60) == (found["value"], found["expires_in"])
    assert (True, "MemoryFault: ERR:NOT_FOUND") == (results[1].is_error, results[1].content)
    assert results[2].content.startswith("MemoryFault: ERR:Clear Not Allowed - ")
    assert '{"status":"OK"}' == ada.requests[-1].messages[-1].tool_results[0].content


def test_agents_of_a_team_file_share_a_memory() -> None:
    """Those that name it with the same settings; one with another namespace has another."""
    same = {"name": "memory", "allow_clear": True}

    assert ['{"status":"OK"}', '{"value":"hers"}', '{"value":"hers"}'] == team(same, dict(same), dict(same))
    missing = "MemoryFault: ERR:NOT_FOUND"
    assert ['{"status":"OK"}', '{"value":"hers"}', missing] == team(same, same, {**same, "namespace": "other"})


def test_agents_of_a_team_file_share_a_store() -> None:
    """Memories with different settings meet in the store that they both name."""
    mine = {"name": "memory", "store": "memory", "namespace": "plan"}
    reader = {**mine, "store": {"name": "memory"}, "read_only": True}
    other = {**mine, "namespace": "other"}

    assert ['{"status":"OK"}', '{"value":"hers"}', "MemoryFault: ERR:NOT_FOUND"] == team(mine, reader, other)


def test_many_at_once_neither_wait_for_each_other_for_ever_nor_lose_anything(use: Any) -> None:
    """Two hundred tasks put, overwrite, list and read while lifetimes end: what has none is all there."""
    clock = [1_700_000_000.0]
    memories = [Memory(MemoryStore(lambda: clock[0]), form="both")] * 2
    memories[1] = Memory(memories[0].store, namespace="other")

    async def work(nth: int) -> None:
        memory = memories[nth % 2]
        for step in range(2):
            await memory.put(f"short:{nth}:{step}", nth, ttl=0.5)
            await memory.put(f"kept:{nth}:{step}", "old", ttl=0.5)
            await asyncio.sleep(0)
            await memory.put(f"kept:{nth}:{step}", nth)
            clock[0] += 0.1
            assert any(item.key == f"kept:{nth}:{step}" for item in await memory.list("kept:"))
            await asyncio.sleep(0)
            assert await memory.get(f"kept:{nth}:{step}")

    async def main() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for nth in range(200):
                group.create_task(work(nth))

    asyncio.run(main())
    clock[0] += 1
    for which, memory in enumerate(memories):
        expected = {f"kept:{nth}:{step}": nth for nth in range(which, 200, 2) for step in range(2)}
        assert expected == {item.key: item.value for item in asyncio.run(memory.list())}
