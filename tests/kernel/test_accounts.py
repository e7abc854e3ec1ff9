"""What things cost: by agent, by task, and by who really answered; and what is said while a call is quiet."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from cloudllm_core import (
    Agent,
    Completion,
    Emit,
    Hub,
    Message,
    Private,
    Provider,
    Registry,
    Request,
    Text,
    Thinking,
    Usage,
    tool,
)
from cloudllm_core._prices import Account, PriceBook
from cloudllm_core.events import AgentHeldBack, ForeignPartsDropped, LLMContentDelta, LLMWaiting
from cloudllm_core.testing import ScriptedProvider, VirtualLoop, call, run_virtually
from tests.kernel.stories import InTurn, replay, tell


class Cents(PriceBook):
    """A cent a token for models that are called dear, a tenth for others; strangers have no price."""

    name: ClassVar[str] = "cents"

    def cost(self, provider: str, model: str, usage: Usage) -> Decimal | None:
        if model == "stranger":
            return None
        return usage.total * Decimal("0.01" if model == "dear" else "0.001")


def says(text: str, tokens: int | None, provider: str = "", model: str = "") -> Completion:
    usage = None if tokens is None else Usage(output=tokens)
    return Completion(Message.assistant(text), "end", usage, model, provider=provider)


# -- by agent -------------------------------------------------------------------


def test_each_answer_costs_what_its_own_model_costs() -> None:
    """A fallback's answer has the fallback's price."""
    lines = [says("One.", 10), says("Two.", 10, "other", "dear")]
    show = tell(InTurn(2), {"ada": lines}, prices=Cents())
    replay(show)

    assert {"ada": Decimal("0.110")} == show.result.cost_by_agent
    assert Decimal("0.110") == show.result.cost


@pytest.mark.parametrize("line", [says("Two.", None), says("Two.", 10, "other", "stranger")])
def test_what_is_not_known_is_not_nothing(line: Completion) -> None:
    """One answer without usage, or without a price, and the sum is not known."""
    show = tell(InTurn(2), {"ada": [says("One.", 10), line]}, prices=Cents())

    assert {"ada": None} == show.result.cost_by_agent
    assert show.result.cost is None


# -- by task --------------------------------------------------------------------


def test_work_is_charged_to_its_task() -> None:
    """By agent and by task, the failed turn too; what no task is charged with is in none."""

    async def story(hub: Hub) -> None:
        await hub.ask("ada", "One.")
        hub.charge("ada", "a")
        await hub.try_ask("ada", "Two.")
        await hub.ask("bob", "Two.")
        for agent in ("ada", "bob"):
            hub.charge(agent, "b")
        await hub.ask("bob", "Three.")

    @tool(effect="read")
    def look() -> str:
        """Look."""
        return "seen"

    seen = Completion(Message.assistant("", call("look")), "tool_use", Usage(output=5))
    script = {"ada": [says("1", 3), seen, RuntimeError("boom")], "bob": [says("2", 7), says("3", 100)]}
    show = tell(story, script, tools=[look], prices=Cents())
    replay(show)

    assert {"a": Usage(output=3), "b": Usage(output=12)} == show.result.usage_by_task
    assert {"a": Decimal("0.003"), "b": Decimal("0.012")} == show.result.cost_by_task
    assert 115 == show.result.usage.total
    told = show.result.to_json()
    assert ({"a": "0.003", "b": "0.012"}, ["a", "b"]) == (told["cost_by_task"], list(told["usage_by_task"]))


def test_an_account_can_be_emptied_once() -> None:
    """What is taken is no longer in it; what is not known stays so where it goes."""
    account = Account()
    account.add(Usage(input=2), None)
    taken = account.take()

    assert (Account(Usage(input=2), None), Account()) == (taken, account)


# -- private parts of others ----------------------------------------------------


def test_private_parts_of_another_provider_are_an_event() -> None:
    """Once for those that were there, and again for new ones only."""

    async def main() -> list[Any]:
        ada = Agent("ada", ScriptedProvider("Hello.", repeat=True), registry=Registry.of())
        parts = (Thinking("Hm.", "acme"), Text("Hi."), Private("acme", "m", {}), Thinking("Mine.", "scripted"))
        ada.restore([Message.user("Hi."), Message("assistant", parts)])
        events = []
        for _ in range(2):
            async with ada._begin("Go on.", ada.session) as run:
                events += [record.event async for record in run]
        return [event for event in events if isinstance(event, ForeignPartsDropped)]

    assert [ForeignPartsDropped(agent="ada", provider="scripted", parts=2)] == asyncio.run(main())


# -- while it is quiet ----------------------------------------------------------


class Slow(Provider):
    """Says something after 25 seconds, and the rest after 42."""

    name: ClassVar[str] = "slow"

    async def complete(self, request: Request) -> Completion:
        raise NotImplementedError

    async def stream(self, request: Request, emit: Emit) -> Completion:
        await asyncio.sleep(25)
        emit("content", "Hello")
        await asyncio.sleep(17)
        return says("Hello.", 2)


def test_a_quiet_call_is_heard_of_every_ten_seconds() -> None:
    """Unless it said something meanwhile; afterwards no more."""

    async def main(loop: VirtualLoop) -> list[Any]:
        ada = Agent("ada", Slow(), registry=Registry.of())
        run = ada._begin("Hello?", ada.session)
        heard = [signal async for signal in run.signals()]
        await run
        await asyncio.sleep(100)
        return [signal.seconds if isinstance(signal, LLMWaiting) else type(signal) for signal in heard]

    assert [10.0, 20.0, LLMContentDelta, 40.0] == run_virtually(main)


def test_a_call_that_was_held_back_is_an_event() -> None:
    """With the seconds that its provider gave; the others are none."""
    line = Completion(Message.assistant("Hello."), waited=2.5)
    show = tell(InTurn(2), {"ada": [line, "Hello again."]})
    replay(show)

    assert [AgentHeldBack(agent="ada", seconds=2.5)] == show.notebook.events(AgentHeldBack)
