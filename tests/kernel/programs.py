"""Random mode programs: everything a mode may do, in every order, for the property tests of the spine."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import attrs

from cloudllm_core import Agent, Hub, Mode, Orchestration, Outcome, Request, tool
from cloudllm_core._registry import Registry
from cloudllm_core.errors import AgentFailedError, BusyAgentError, EffectError
from cloudllm_core.testing import ScriptedProvider, call

NAMES = "abcd"


def program(dice: random.Random, depth: int = 0) -> tuple[Any, ...]:
    """A random program; nested at most three deep."""
    roll = dice.random()
    if depth >= 3 or roll < 0.25:
        return "ask", dice.choice(NAMES)
    if roll < 0.35:
        return "do", dice.randrange(9)
    if roll < 0.42:
        return ("now",)
    if roll < 0.47:
        return "sleep", dice.random() * 0.02
    if roll < 0.57:
        return "timeout", dice.random() * 0.04, program(dice, depth + 1)
    if roll < 0.7:
        return "all", dice.sample(NAMES, dice.randrange(1, 5)), dice.randrange(1, 4)
    if roll < 0.82:
        parts = [program(dice, depth + 1) for _ in range(2)]
        return "each", dice.sample(NAMES, dice.randrange(1, 4)), parts, dice.randrange(1, 4)
    if roll < 0.87:
        return "round", program(dice, depth + 1)
    return "seq", [program(dice, depth + 1) for _ in range(dice.randrange(2, 5))]


def look(what: int) -> int:
    return what + 1


def fails(what: int) -> int:
    raise OSError(f"no {what}")


@attrs.frozen
class Program(Mode):
    """Runs one random program, and remembers what it learned, in order."""

    name: ClassVar[str] = "program"
    seed: int
    log: list[Any] = attrs.field(factory=list, eq=False)

    def settings(self) -> dict[str, Any]:
        return {"seed": self.seed}

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        self.log.clear()
        dice = random.Random(self.seed)
        for _ in range(4):
            await self.perform(hub, program(dice), "main")
        return Outcome(complete=True)

    async def perform(self, hub: Hub, step: tuple[Any, ...], me: str) -> None:
        try:
            await self._perform(hub, step, me)
        except (BusyAgentError, AgentFailedError, EffectError) as error:
            self.log.append((me, str(error)))

    async def _perform(self, hub: Hub, step: tuple[Any, ...], me: str) -> None:
        log = self.log
        match step:
            case "ask", agent:
                tools = [self.vote(hub)] if len(log) % 3 == 0 else []
                reply = await hub.ask(agent, f"prompt {len(log) % 5}", note=f"note {len(log)}", tools=tools)
                log.append((me, reply))
            case "do", number:
                fn = fails if number == 7 else look
                log.append((me, await hub.do("look", fn, number, effect="write" if number % 2 else "read")))
            case ("now",):
                log.append((me, hub.now(), hub.random().random(), hub.random().random()))
            case "sleep", seconds:
                await hub.sleep(seconds)
            case "timeout", seconds, inner:
                try:
                    async with hub.timeout(seconds):
                        await self.perform(hub, inner, me)
                except TimeoutError:
                    log.append((me, "late", len(log)))
            case "all", agents, enough:
                async with hub.ask_all(agents, f"all {len(log) % 5}") as replies:
                    count = 0
                    async for reply in replies:
                        log.append((me, reply, len(hub.transcript)))
                        count += 1
                        if count >= enough:
                            break
            case "each", items, parts, enough:
                async with hub.each(lambda item: self.branch(hub, parts, item), items) as ends:
                    count = 0
                    async for end in ends:
                        log.append((me, end))
                        count += 1
                        if count >= enough:
                            break
            case "round", inner:
                async with hub.round() as number:
                    await self.perform(hub, inner, f"{me}.{number}")
            case "seq", steps:
                for inner in steps:
                    await self.perform(hub, inner, me)

    async def branch(self, hub: Hub, parts: list[tuple[Any, ...]], item: str) -> str:
        try:
            for part in parts:
                await self.perform(hub, part, item)
        finally:
            self.log.append((item, "ends"))
            await hub.do("bye", look, 1, effect="idempotent")
        return item

    def vote(self, hub: Hub) -> Any:
        @tool(effect="composite")
        async def vote(choice: str) -> str:
            """Vote.

            Args:
                choice: for whom
            """
            self.log.append(("vote", choice))
            await hub.do("count", look, len(self.log) % 3)
            return f"{len(self.log) % 7} votes"

        return vote


PAID: list[tuple[str, int]] = []
"""What was paid, by idempotency-free hand: filled by the tool, emptied by the test."""


@tool(effect="write")
async def pay(who: str, amount: int) -> str:
    """Pay.

    Args:
        who: who pays
        amount: how much
    """
    PAID.append((who, amount))
    return f"{who} paid {amount}"


@tool(effect="read")
async def look_up(who: str) -> str:
    """Look.

    Args:
        who: who looks
    """
    return f"{who} saw"


def speaker(name: str) -> ScriptedProvider:
    """Says something that depends on all it was asked, and now and then uses tools first."""

    def line(request: Request) -> Any:
        last, count = request.messages[-1], len(request.messages)
        tools = {definition.name for definition in request.tools}
        if last.role == "user" and count % 4 == 1:
            calls = [
                call("pay", who=name, amount=count),
                call("look_up", who=name),
                call("pay", who=name, amount=-count),
            ]
            return [f"{name} uses tools", *calls]
        if last.role == "user" and "vote" in tools:
            return [call("vote", choice=name), call("nothing")]
        return f"{name} says {count} {len(request.messages[-1].parts)}"

    return ScriptedProvider(line, repeat=True)


def team(seed: int) -> Orchestration:
    """Four agents and the random program of *seed*."""
    registry = Registry.of()
    agents = [Agent(name, speaker(name), tools=[pay, look_up], registry=registry) for name in NAMES]
    return Orchestration(agents, Program(seed), registry=registry)
