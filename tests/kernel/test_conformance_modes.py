"""The conformance kit finds modes that break their promises; each one here breaks one."""

from __future__ import annotations

import asyncio
import random
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_core import Event, Hub, Mode, Outcome
from cloudllm_core.errors import AgentFailedError, DivergenceError
from cloudllm_core.testing.conformance import ModeContract


class Contract(ModeContract):
    """Called by hand, so it needs no fixture."""

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 2 * agents


@attrs.frozen
class Good(Mode):
    """Everybody speaks, twice."""

    name: ClassVar[str] = "good"
    rounds: int = 2

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for _ in range(self.rounds):
            async with hub.round():
                for agent in hub.agents:
                    await self.turn(hub, agent, prompt)
        return Outcome(complete=hub.everyone_spoke)

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        await hub.try_ask(agent, prompt)


@attrs.frozen
class Parrot(Good):
    """Tells agents again what was said, their own words included."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        said = [f"{reply.agent}: {reply.text}" for reply in hub.transcript]
        await hub.try_ask(agent, "\n".join([prompt, *said]))


@attrs.frozen
class Secretive(Good):
    """Does not tell agents what the user wants."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        await hub.try_ask(agent, "Say something.")


@attrs.frozen
class Mindful(Good):
    """Remembers earlier runs."""

    runs: list[int] = attrs.field(factory=list, eq=False)

    def settings(self) -> dict[str, Any]:
        return {"rounds": self.rounds}

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        self.runs.append(1)
        hub.progress(0, len(self.runs))
        return await Good.run(self, hub, prompt)


@attrs.frozen
class Talkative(Good):
    """Goes on until it likes an answer."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        for _ in range(30):
            reply = await hub.try_ask(agent, prompt)
            if reply is not None and reply.text.startswith("This is"):
                return


@attrs.frozen
class Fragile(Good):
    """Falls over the first agent that fails."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        reply = await hub.try_ask(agent, prompt)
        assert reply is not None


@attrs.frozen
class Obstinate(Good):
    """Goes on after a failure though it was told to stop."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        try:
            await hub.ask(agent, prompt)
        except AgentFailedError:
            return


@attrs.frozen
class Deaf(Good):
    """Does not stop when it is cancelled."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        try:
            await hub.try_ask(agent, prompt)
        except asyncio.CancelledError:
            hub.progress(2, 1)


@attrs.frozen
class Unsorted(Good):
    """Goes by the order of a set."""

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        async with hub.round():
            for agent in set(hub.agents):
                await hub.try_ask(agent, prompt)
        return Outcome(complete=hub.everyone_spoke)


@attrs.frozen
class Dicing(Good):
    """Throws dice of its own."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        await hub.try_ask(agent, prompt, note=str(random.random()))


@attrs.frozen
class Sleepy(Good):
    """Waits by the clock of asyncio."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        await asyncio.sleep(0.001)
        await hub.try_ask(agent, prompt)


@attrs.frozen(kw_only=True)
class Spoke(Event):
    """An event whose fields are no plain values."""

    who: Any


@attrs.frozen
class Vague(Good):
    """Announces what a journal cannot give back."""

    async def turn(self, hub: Hub, agent: str, prompt: str) -> None:
        await hub.try_ask(agent, prompt)
        hub.announce(Spoke(who=[agent]))


@attrs.frozen
class Boastful(Good):
    """Says it is complete, whatever happened."""

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        await Good.run(self, hub, prompt)
        return Outcome(complete=True, score=2.0, stop_reason="max_rounds")


@attrs.define
class Melting(Mode):
    """Can be changed."""

    name: ClassVar[str] = "melting"
    rounds: int = 2

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        return await Good(self.rounds).run(hub, prompt)


@attrs.frozen
class Forgetful(Good):
    """Leaves a setting out."""

    def settings(self) -> dict[str, Any]:
        return {}


@attrs.frozen
class Tolerant(Good):
    """Takes any setting."""

    @classmethod
    def from_settings(cls, settings: Any) -> Tolerant:
        return cls(settings.get("rounds", 2))


BROKEN: list[tuple[Mode, str, tuple[Any, ...]]] = [
    (Parrot(), "test_everything_is_heard_once_and_never_by_its_speaker", ()),
    (Secretive(), "test_every_agent_that_is_asked_knows_the_prompt", ()),
    (Mindful(), "test_keeps_nothing_between_runs", ()),
    (Talkative(), "test_ends_whatever_is_said", (3,)),
    (Fragile(), "test_survives_an_agent_that_fails", ("first",)),
    (Obstinate(), "test_stops_at_a_failure_if_asked_to", ()),
    (Deaf(), "test_can_be_cancelled_at_any_record", ()),
    (Unsorted(), "test_replays_in_another_process", ("1",)),
    (Dicing(), "test_replays_to_identical_records", (0,)),
    (Sleepy(), "test_runs_with_any_number_of_agents", ()),
    (Vague(), "test_its_events_can_be_read_back", ()),
    (Boastful(), "test_runs_with_any_number_of_agents", ()),
    (Melting(), "test_is_frozen", ()),
    (Forgetful(rounds=3), "test_settings_are_plain_data", ()),
    (Tolerant(), "test_refuses_unknown_settings", ()),
    (Good(), "test_asks_only_the_hub", ()),
]
"""A broken mode, the claim that finds it, and its parameters. (This file imports asyncio, and `Good` with it.)"""


@pytest.mark.parametrize(
    ("mode", "claim", "parameters"), BROKEN, ids=lambda value: getattr(type(value), "__name__", None)
)
def test_a_broken_promise_is_found(mode, claim, parameters):
    """The claim fails for the mode that breaks it."""
    with pytest.raises((AssertionError, pytest.fail.Exception, DivergenceError)):
        getattr(Contract(), claim)(mode, *parameters)


@pytest.mark.parametrize(
    ("claim", "parameters"),
    [(claim, parameters) for _, claim, parameters in BROKEN if claim != "test_asks_only_the_hub"],
)
def test_a_kept_promise_is_not_disputed(claim, parameters):
    """The same claims hold for a mode that keeps them all."""
    getattr(Contract(), claim)(Good(), *parameters)
