"""
Bytes sent to models in a round robin of four agents, against broadcasting everything to everyone.

Both are counted as bodies of the Chat Completions wire, built by the same function.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import ClassVar

import attrs

from cloudllm_context_trim import Trim
from cloudllm_core import (
    Agent,
    Completion,
    Message,
    Orchestration,
    Provider,
    Registry,
    Request,
    ToolCall,
    ToolResult,
    Usage,
    tool,
)
from cloudllm_mode_debate import Debate
from cloudllm_mode_round_robin import RoundRobin
from cloudllm_provider_openai.wire import request_body

from ._measure import Row

SAID = ("word " * 80).strip()  # 400 characters
RESULT = "r" * 1000
PROMPT = "Discuss what a good library owes its users."


@tool(effect="read")
def look_up(what: str) -> str:
    """Look something up.

    Args:
        what: what to look up
    """
    return RESULT


def size(request: Request) -> int:
    """Bytes of *request* on the wire, without what is the same for both: instructions and tool schemas."""
    bare = attrs.evolve(request, tools=(), instructions="")
    return len(json.dumps(request_body(bare, False), ensure_ascii=False).encode())


class Scale(Provider):
    """Answers at once, and weighs what it was sent, and what broadcasting would have sent."""

    name: ClassVar[str] = "scale"

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.sent = self.broadcast = 0
        self.said: list[Message] = [Message.user(PROMPT)]

    async def complete(self, request: Request) -> Completion:
        self.sent += size(request)
        self.broadcast += size(attrs.evolve(request, messages=tuple(self.said)))
        if self.calls and request.messages[-1].role == "user":
            calls = [ToolCall(f"c{nth}", "look_up", {"what": f"question {nth}"}) for nth in range(self.calls)]
            message, stop = Message.assistant("", *calls), "tool_use"
            self.said += [message, Message.tool(ToolResult(call.id, RESULT) for call in calls)]
        else:
            message, stop = Message.assistant(SAID), "end"
            self.said.append(Message.user(f"ada: {SAID}"))
        return Completion(message, stop, Usage())  # type: ignore[arg-type] # both are stop reasons


async def round_robin(rounds: int, calls: int = 0, strategy: Trim | None = None) -> tuple[int, int]:
    """Bytes sent, and bytes that broadcasting the same messages sends."""
    scale, registry, tools = Scale(calls), Registry.of(), [look_up] if calls else []
    agents = [
        Agent(name, scale, tools=tools, strategy=strategy, max_tokens=10_000_000, registry=registry)
        for name in ("ada", "bob", "cyd", "dee")
    ]
    result = await Orchestration(agents, RoundRobin(rounds=rounds), registry=registry).run(PROMPT)
    result.require_complete()
    return scale.sent, scale.broadcast


class Press(Provider):
    """Answers at once, after it has written the body of a request: its own, or one that holds all that was said."""

    name: ClassVar[str] = "press"

    def __init__(self, broadcast: bool) -> None:
        self.broadcast, self.sent = broadcast, 0
        self.said: list[Message] = [Message.user(PROMPT)]

    async def complete(self, request: Request) -> Completion:
        if self.broadcast:
            request = attrs.evolve(request, messages=tuple(self.said))
        self.sent += size(request)
        text = f"{SAID} {len(self.said)}"
        self.said.append(Message.user(f"ada: {text}"))
        return Completion(Message.assistant(text), "end", Usage())


async def debate(broadcast: bool, strategy: Trim | None = None) -> tuple[int, float]:
    """Bytes and CPU seconds of a debate of four agents and 25 rounds, which never converges."""
    press, registry = Press(broadcast), Registry.of()
    agents = [
        Agent(name, press, strategy=strategy, max_tokens=10_000_000, registry=registry)
        for name in ("ada", "bob", "cyd", "dee")
    ]
    mode = Debate(max_rounds=25, scorer=lambda texts: 0.0)
    begun = time.process_time()
    await Orchestration(agents, mode, registry=registry).run(PROMPT)
    return press.sent, time.process_time() - begun


async def measure_debate() -> list[Row]:
    ours = [await debate(False) for _ in range(5)]
    trimmed = [await debate(False, Trim(turns=2)) for _ in range(5)]
    theirs = [await debate(True) for _ in range(5)]

    def least(runs: list[tuple[int, float]]) -> float:
        return min(seconds for _, seconds in runs)

    return [
        Row("debate, 100 messages: bytes against broadcasting", ours[0][0] / theirs[0][0], "x", 1.05),
        Row("debate, 100 messages: CPU against broadcasting", least(ours) / least(theirs), "x", 1.0),
        Row("the same with Trim(turns=2): bytes", trimmed[0][0] / theirs[0][0], "x", 0.2),
        Row("the same with Trim(turns=2): CPU", least(trimmed) / least(theirs), "x", 0.6),
    ]


async def measure() -> list[Row]:
    whole, broadcast = await round_robin(25)
    with_calls, broadcast_calls = await round_robin(25, calls=3)
    trimmed, _ = await round_robin(25, strategy=Trim(turns=2))
    doubled, _ = await round_robin(50, strategy=Trim(turns=2))
    return [
        Row("100 messages of 400 characters, broadcast", broadcast / 1e3, "kB"),
        Row("whole sessions against broadcasting", whole / broadcast, "x", 1.0),
        Row("three calls of 1 kB a turn, against broadcasting everything", with_calls / broadcast_calls, "x", 0.4),
        Row("Trim(turns=2) against broadcasting", trimmed / broadcast, "x", 0.2),
        Row("Trim(turns=2), rounds doubled", doubled / trimmed, "x", 2.15),
        *await measure_debate(),
    ]


def rows() -> list[Row]:
    return asyncio.run(measure())
