"""
What the providers cost, against the official SDK that each stands on: same server, same run, by turns.

The bare provider is `Provider.complete` and `Provider.stream`; the agent is `Agent.send` and `Agent.stream`,
which journal, check and count. The SDK is used as its documentation shows, with its answers parsed.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import attrs

from cloudllm_core import Agent, Message, Provider, Registry, Request, ToolCall, ToolResult, default_registry
from cloudllm_core.testing import ScriptedProvider

from ._measure import Row, cpu_microseconds
from .model_server import CHUNKS, SAID, running
from .provider_sdks import DEFINITION, KEY, PROMPT, SDKS, conversation, look_up, looked_up

LATENCY = 50
PLUGINS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google.genai"}
"""Providers, and what must not be loaded with them."""

Step = Callable[[], Awaitable[Any]]


def _messages(count: int) -> tuple[Message, ...]:
    made: dict[str, Callable[[str], Message]] = {"user": Message.user, "assistant": Message.assistant}
    return tuple([made[role](text) for role, text in conversation(count)])


@attrs.frozen
class Ours:
    """A provider of ours at the server, bare and in the hands of agents."""

    provider: Provider
    registry: Registry

    @classmethod
    def at(cls, name: str, address: str) -> Ours:
        registry = default_registry()
        settings = {"base_url": f"{address}/v1" if name == "openai" else address, "api_key": KEY}
        return cls(registry.get("provider", name)(**settings), registry)

    def agent(self, count: int = 1, *tools: Any, provider: Provider | None = None) -> Agent:
        """One that has *count* messages in its session once it is told the prompt."""
        agent = Agent("ada", provider or self.provider, tools=tools, max_tokens=1_000_000, registry=self.registry)
        agent.restore(_messages(count)[:-1])
        return agent

    def bare(self, *messages: Message, tools: bool = False) -> Request:
        return Request(model="m", instructions="", messages=messages, tools=(DEFINITION,) if tools else ())

    async def round_trip(self) -> str:
        """A tool's call and its result, by hand."""
        said = _messages(1)
        answer = (await self.provider.complete(self.bare(*said, tools=True))).message
        (call,) = answer.tool_calls
        assert isinstance(call, ToolCall)
        result = Message.tool([ToolResult(call.id, looked_up(call.arguments))])
        return (await self.provider.complete(self.bare(*said, answer, result, tools=True))).message.text

    async def streamed(self) -> str:
        pieces: list[str] = []
        await self.provider.stream(self.bare(*_messages(1)), lambda sort, text: pieces.append(text))
        return "".join(pieces)


async def least(steps: dict[str, Step], items: int = 1, calls: int = 20, repetitions: int = 7) -> dict[str, float]:
    """CPU microseconds of each of *steps*, taken by turns, so that a busy machine is busy for all."""
    best = dict.fromkeys(steps, float("inf"))

    def repeated(step: Step) -> Callable[[], Awaitable[int]]:
        async def run() -> int:
            for _ in range(calls):
                await step()
            return calls * items

        return run

    for _ in range(repetitions + 1):  # the first one warms up
        for name, step in steps.items():
            gc.collect()
            best[name] = min(best[name], await cpu_microseconds(repeated(step), 1))
    return best


def _against(what: str, costs: dict[str, float], aim: float) -> Iterator[Row]:
    """Rows of one figure: the SDK's own, the bare provider's and the agent's."""
    yield Row(f"{what}: the SDK", costs["sdk"], "us")
    yield Row("  the provider against it", costs["provider"] / costs["sdk"], "x", aim)
    yield Row("  an agent's turn against it", costs["agent"] / costs["sdk"], "x", aim)
    if "kernel" in costs:
        yield Row("  of the agent's turn, with a model in memory", costs["kernel"], "us")


async def costs_of(name: str, address: str) -> list[Row]:
    """CPU of turns, round trips, histories and streams."""
    sdk, ours = SDKS[name](address), Ours.at(name, address)
    one, many = sdk.history(1), sdk.history(101)
    request, long = ours.bare(*_messages(1)), ours.bare(*_messages(101))
    agent, old, armed = ours.agent(), ours.agent(101), ours.agent(1, look_up)
    memory = ScriptedProvider(SAID, repeat=True)
    alone, aged = ours.agent(provider=memory), ours.agent(101, provider=memory)

    async def streamed() -> str:
        return "".join([piece async for piece in agent.fork().stream(PROMPT)])

    for step in (lambda: sdk.turn(one), sdk.round_trip, ours.round_trip):
        assert SAID == await step()
    for step in (sdk.streamed, ours.streamed, streamed):
        assert "word " * CHUNKS == await step()
    turns = await least(
        {
            "sdk": lambda: sdk.turn(one),
            "provider": lambda: ours.provider.complete(request),
            "agent": lambda: agent.fork().send(PROMPT),
            "kernel": lambda: alone.fork().send(PROMPT),
        }
    )
    long_turns = await least(
        {
            "sdk": lambda: sdk.turn(many),
            "provider": lambda: ours.provider.complete(long),
            "agent": lambda: old.fork_with_context().send(PROMPT),
            "kernel": lambda: aged.fork_with_context().send(PROMPT),
        }
    )
    trips = await least(
        {"sdk": sdk.round_trip, "provider": ours.round_trip, "agent": lambda: armed.fork().send(PROMPT)}
    )
    pieces = await least({"sdk": sdk.streamed, "provider": ours.streamed, "agent": streamed}, CHUNKS, 3)
    await sdk.aclose()
    await ours.provider.aclose()
    return [
        *_against(f"{name}, a turn", turns, 1.1),
        *_against(f"{name}, a tool round trip", trips, 1.1),
        Row(f"{name}, 101 messages against 1: the SDK", long_turns["sdk"] / turns["sdk"], "x"),
        Row("  the provider", long_turns["provider"] / turns["provider"], "x", 1.5),
        Row("  an agent's turn", long_turns["agent"] / turns["agent"], "x", 1.5),
        Row("  more in the agent's turn, with a model in memory", long_turns["kernel"] - turns["kernel"], "us"),
        *_against(f"{name}, a piece of a stream", pieces, 1.0),
    ]


async def crowd(step: Callable[[int], Awaitable[Any]], count: int, turns: int = 5) -> float:
    """Wall seconds until *count* have each done *turns* one after the other."""

    async def one(nth: int) -> None:
        for _ in range(turns):
            await step(nth)

    gc.collect()
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for nth in range(count):
            group.create_task(one(nth))
    return time.perf_counter() - begun


async def crowds_of(name: str, address: str, repetitions: int = 3) -> list[Row]:
    """Many agents on one provider, each with a session that grows; the SDK's conversation grows as well."""

    async def theirs(count: int) -> float:
        sdk = SDKS[name](address)
        sessions: list[list[Any]] = [[] for _ in range(count)]
        asked, said = sdk.history(1)[0], sdk.history(3)[1]

        async def step(nth: int) -> None:
            sessions[nth].append(asked)
            assert SAID == await sdk.turn(sessions[nth])
            sessions[nth].append(said)

        took = await crowd(step, count)
        await sdk.aclose()
        return took

    async def by_agents(count: int) -> float:
        ours = Ours.at(name, address)
        agents = [ours.agent() for _ in range(count)]

        async def step(nth: int) -> None:
            assert SAID == (await agents[nth].send(PROMPT)).text

        took = await crowd(step, count)
        await ours.provider.aclose()
        return took

    runs = [(await theirs(200), await by_agents(200)) for _ in range(repetitions)]
    sdk, own = (min(run[nth] for run in runs) for nth in (0, 1))
    thousand = await by_agents(1000)  # raises where one of them fails
    return [
        Row(f"{name}, 200 agents x 5 turns at {LATENCY} ms: the SDK", sdk, "s"),
        Row("  our agents against it", own / sdk, "x", 0.6),
        Row("  1,000 agents complete in", thousand, "s"),
    ]


PROBE = """
import sys, time, cloudllm_core
from cloudllm_core import Provider, Completion, Request, hookimpl
begun = time.process_time()
import cloudllm_provider_{name}
took = time.process_time() - begun
loaded = [name for name in ("{sdk}", "httpx2", "pydantic") if name in sys.modules]
assert not loaded, loaded
print(took * 1e3)
"""


def imports_of(name: str, repetitions: int = 5) -> list[Row]:
    """CPU of importing a provider beyond the kernel, which the probe says its SDK has no part in."""

    def probe(code: str) -> float:
        return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    whole = f"import time, {PLUGINS[name]}; print(time.process_time() * 1e3)"
    ours = min(probe(PROBE.format(name=name, sdk=PLUGINS[name])) for _ in range(repetitions))
    return [
        Row(f"import cloudllm_provider_{name} after the kernel: CPU, no SDK", ours, "ms"),
        Row(f"  import {PLUGINS[name]} in a fresh interpreter", min(probe(whole) for _ in range(2)), "ms"),
    ]


def rows() -> Iterator[Row]:
    with running() as server:
        for name in SDKS:
            yield from imports_of(name)
            yield from asyncio.run(costs_of(name, f"{server}/0"))
            yield from asyncio.run(crowds_of(name, f"{server}/{LATENCY}"))


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
