"""The gate: as many at once as the provider takes, in order, whatever is cancelled."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_core import Agent, Completion, Message, Mode, Orchestration, Outcome, Provider, Registry, Request
from cloudllm_core.errors import BadRequest, ConnectionFailed, Overloaded, ProviderError, RateLimited
from cloudllm_core.testing import VirtualLoop, run_virtually
from cloudllm_provider_resilient import Gate, Resilient


class Narrow(Provider):
    """Serves *width* calls at once, each for a tenth of a second, and refuses the others."""

    name = "narrow"

    def __init__(self, width: int, retry_after: float | None = 1.0) -> None:
        self.width, self.retry_after = width, retry_after
        self.inside = self.refusals = self.answers = 0

    async def complete(self, request: Request) -> Completion:
        if self.inside >= self.width:
            self.refusals += 1
            await asyncio.sleep(0.01)
            raise RateLimited("slow down", self.name, request.model, 429, retry_after=self.retry_after)
        self.inside += 1
        try:
            await asyncio.sleep(0.1)
        finally:
            self.inside -= 1
        self.answers += 1
        return Completion(Message.assistant("Yes."), model=request.model)


class AllAtOnce(Mode):
    name = "all_at_once"

    async def run(self, hub: Any, prompt: str) -> Any:
        async with hub.ask_all(hub.agents, prompt) as replies:
            heard = [reply async for reply in replies]
        return Outcome(complete=len(heard) == len(hub.agents))


def crowd(provider: Provider, size: int = 200) -> tuple[bool, float]:
    """Whether all of *size* agents were answered at once, and the seconds it took."""
    agents = [Agent(f"a{n}", provider, registry=Registry.of()) for n in range(size)]
    team = Orchestration(agents, AllAtOnce(), registry=Registry.of())

    async def main(loop: VirtualLoop) -> tuple[bool, float]:
        result = await team.run("Go.")
        return result.complete, loop.time()

    return run_virtually(main)


@pytest.mark.parametrize("width", [1, 3, 8, 50])
def test_a_crowd_gets_through_a_narrow_door(width: int) -> None:
    """Of 200 agents at a server that takes a few, all succeed, and few are refused after the first wave."""
    server = Narrow(width)
    complete, took = crowd(Resilient(server, random=random.Random(1).random))

    assert complete
    assert 200 == server.answers
    assert server.refusals < 64 - width + 60, "the first wave, and now and then one"
    assert took < 120


def test_without_the_gate_the_crowd_is_turned_away() -> None:
    """The claim above is the gate's merit: bare retries do not do it."""
    server = Narrow(8)
    complete, _ = crowd(Resilient(server, random=lambda: 0.5, gate=False))

    assert not complete
    assert server.refusals > 400


def test_one_refusal_makes_all_wait() -> None:
    """Nobody calls before the time is over that one was told."""
    starts: list[float] = []

    class Once(Narrow):
        async def complete(self, request: Request) -> Completion:
            starts.append(asyncio.get_running_loop().time())
            return await super().complete(request)

    async def main(loop: VirtualLoop) -> None:
        provider = Resilient(Once(0, retry_after=30.0))
        refused = await asyncio.gather(*[provider.complete(ask()) for _ in range(2)], return_exceptions=True)
        assert [RateLimited, RateLimited] == [type(problem) for problem in refused]
        provider.inner.width = 3  # type: ignore[attr-defined]
        await asyncio.gather(*[provider.complete(ask()) for _ in range(3)])

    run_virtually(main)
    assert [0.0, 0.0] == starts[:2]
    assert all(start > 30 for start in starts[2:])


def test_a_pause_longer_than_allowed_is_not_made() -> None:
    """When the provider asks for an hour, everyone is told so at once."""

    async def main(loop: VirtualLoop) -> float:
        provider = Resilient(Narrow(0, retry_after=3600.0))
        for _ in range(3):
            await asyncio.gather(provider.complete(ask()), return_exceptions=True)
        return loop.time()

    assert run_virtually(main) < 1


def test_each_model_and_each_loop_has_its_own_gate() -> None:
    """A pause before one model does not hold up another, nor another loop."""
    provider = Resilient(Narrow(0, retry_after=30.0))

    async def main(loop: VirtualLoop) -> float:
        for model in ("a", "b"):
            await asyncio.gather(provider.complete(ask(model)), return_exceptions=True)
        return loop.time()

    assert run_virtually(main) < 1
    assert run_virtually(main) < 1


def ask(model: str = "m") -> Request:
    return Request(model=model, instructions="", messages=(Message.user("Go."),))


@attrs.frozen
class Visit:
    """One caller: when it comes, how long it stays, how it ends, and when it is cancelled, in seconds."""

    comes: int
    stays: int
    ends: type[ProviderError] | None
    retry_after: float | None
    cancelled: int | None


VISITS = st.lists(
    st.builds(
        Visit,
        st.integers(0, 5),
        st.integers(0, 5),
        st.sampled_from([None, None, None, RateLimited, Overloaded, ConnectionFailed, BadRequest]),
        st.sampled_from([None, 0.0, 1.0, 7.0, 100.0, float("inf")]),
        st.none() | st.integers(0, 12),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(VISITS, st.integers(1, 6))
def test_the_gate_stays_sound(visits: list[Visit], maximum: int) -> None:
    """
    Whoever is refused, fails or is cancelled: never more are inside than may be, they enter in the order they came,
    nobody enters while it is shut, all get through, and at the end it is empty and takes the next one.
    """
    entered: dict[int, float] = {}
    came: list[int] = []

    async def main(loop: VirtualLoop) -> None:
        gate = Gate(maximum, 60.0)
        shut_until = shut_at = 0.0
        inside = 0

        async def visit(number: int, it: Visit) -> None:
            nonlocal shut_until, shut_at, inside
            await asyncio.sleep(it.comes)
            came.append(number)
            async with gate.passing():
                entered[number] = now = loop.time()
                assert now >= shut_until - 1e-6 or now == shut_at, "who was let in at the very moment may go on"
                inside += 1
                try:
                    assert inside <= gate.inside <= maximum
                    assert 1 <= gate.limit <= maximum
                    await asyncio.sleep(it.stays)
                    if it.ends:
                        if it.ends in (RateLimited, Overloaded) and it.retry_after and it.retry_after <= 60:
                            shut_until, shut_at = max(shut_until, loop.time() + it.retry_after), loop.time()
                        raise it.ends("no", retry_after=it.retry_after)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(visit(number, it)) for number, it in enumerate(visits)]
        for task, it in zip(tasks, visits, strict=True):
            if it.cancelled is not None:
                loop.call_later(it.cancelled, task.cancel)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, (ProviderError, asyncio.CancelledError)), result
        assert 0 == gate.inside
        async with asyncio.timeout(61):
            async with gate.passing():
                assert 1 == gate.inside

    run_virtually(main)
    moments = [entered[number] for number in came if number in entered]
    assert sorted(moments) == moments, "first come, first served"
    never = set(range(len(visits))) - set(entered)
    assert all(visits[number].cancelled is not None for number in never)


def test_a_refusal_of_many_halves_once_and_success_adds_slowly() -> None:
    """Ten under way, two refused: the limit is five, and a round of five successes adds a quarter."""

    async def main(loop: VirtualLoop) -> tuple[float, float]:
        gate = Gate(10, 60.0)

        async def one(ends: bool, stays: float) -> None:
            async with gate.passing():
                await asyncio.sleep(stays)
                if ends:
                    raise Overloaded("busy")

        await asyncio.gather(*[one(n < 2, 1 if n < 2 else 2) for n in range(10)], return_exceptions=True)
        halved = gate.limit
        await asyncio.gather(*[one(False, 1) for _ in range(5)])
        return halved, gate.limit

    halved, grown = run_virtually(main)
    assert 5 <= halved < 6
    assert halved < grown <= halved + 0.25


def test_one_cancelled_in_the_moment_it_is_let_in_leaves_its_place() -> None:
    """The place it was given is free for the next."""

    async def main(loop: VirtualLoop) -> None:
        gate = Gate(1, 60.0)

        async def one() -> None:
            async with gate.passing():
                raise AssertionError("it was cancelled before")

        async with gate.passing():
            waiting = asyncio.create_task(one())
            await asyncio.sleep(0)
        waiting.cancel()  # its turn has come, and it has not noticed yet
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert 0 == gate.inside
        async with asyncio.timeout(1), gate.passing():
            pass

    run_virtually(main)


def test_a_call_that_waited_says_how_long() -> None:
    """With room for one at a time, the second waits for the first; who did not have to wait says nothing."""

    async def main(loop: VirtualLoop) -> list[float]:
        provider = Resilient(Narrow(2), maximum=1)
        request = Request(model="m", instructions="", messages=(Message.user("Hello."),))
        return [answer.waited for answer in await asyncio.gather(*[provider.complete(request) for _ in range(3)])]

    assert [0.0, 0.1, 0.2] == run_virtually(main)
