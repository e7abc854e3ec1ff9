"""Limits on tokens and money: taken before the call by an upper bound, so that nobody overshoots together."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_core import (
    Agent,
    Completion,
    Hub,
    Limits,
    Message,
    Orchestration,
    Outcome,
    PriceBook,
    Provider,
    Registry,
    Request,
    RunResult,
    Usage,
    hookimpl,
)
from cloudllm_core._limits import LEAST, Ledger
from cloudllm_core._prices import Tariff
from cloudllm_core.errors import LimitReachedError, Overloaded, SetupError
from cloudllm_core.testing import simulate
from tests.kernel.stories import InTurn, Story


@attrs.frozen
class Flat(PriceBook):
    """A dollar a token read, two a token written, for the models it knows."""

    name: ClassVar[str] = "flat"
    known: tuple[str, ...] = ("m",)

    def cost(self, provider: str, model: str, usage: Usage) -> Decimal | None:
        if model not in self.known:
            return None
        read = usage.input + usage.cache_write + Decimal(usage.cache_read) / 10
        return Decimal(read) + 2 * usage.output


class Eater(Provider):
    """Uses as much as it may, or a share of it; notes what it was allowed."""

    name: ClassVar[str] = "eater"

    def __init__(self, share: float = 1.0, fails: int = 0) -> None:
        self.share, self.fails = share, fails
        self.caps: list[int | None] = []
        self.used = Usage()

    async def complete(self, request: Request) -> Completion:
        self.caps.append(request.max_output)
        await asyncio.sleep(0.001)
        if len(self.caps) <= self.fails:
            raise Overloaded("too busy")
        read = sum(len(message.text) for message in request.messages) // 4
        usage = Usage(input=read, output=int((request.max_output or 10) * self.share))
        self.used += usage
        return Completion(Message.assistant("ok"), "end", usage)


async def together(hub: Hub) -> Outcome:
    """All agents at once, again and again."""
    for _ in range(20):
        async with hub.ask_all(hub.agents, "Go.") as replies:
            async for _ in replies:
                pass
    return Outcome(complete=True)


def team(provider: Provider, tell: Any = together, agents: int = 4, **options: Any) -> Orchestration:
    mode = Story(tell) if tell is not None else InTurn(20)
    model = {"model": provider, "registry": Registry.of()}
    members = [Agent(f"a{nth}", **model) for nth in range(agents)]  # type: ignore[arg-type]
    for member in members:
        member.model = "m"
    return Orchestration(members, mode, registry=Registry.of(), **options)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(1_000, 30_000), st.integers(1, 6))
def test_agents_at_once_never_pass_a_limit_on_tokens(seed: int, share: float, tokens: int, agents: int) -> None:
    """Whatever the order in which calls come back, what they used stays below the limit."""
    provider = Eater(share)
    show = simulate(lambda: team(provider, agents=agents, limits=Limits(tokens=tokens)), seed=seed)

    assert provider.used.total <= tokens
    assert provider.used.total == show.result.usage.total


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(2_000, 50_000), st.integers(1, 6))
def test_agents_at_once_never_pass_a_limit_on_money(seed: int, share: float, cost: int, agents: int) -> None:
    """The same in dollars, by the prices of the model."""
    provider = Eater(share)
    limits = Limits(cost=f"${cost}")
    simulate(lambda: team(provider, agents=agents, limits=limits, prices=Flat()), seed=seed)

    assert (Flat().cost("eater", "m", provider.used) or 0) <= cost


@given(st.lists(st.tuples(st.integers(1, 500), st.none() | st.integers(1, 500), st.integers(0, 2)), max_size=30))
def test_a_ledger_knows_what_is_taken(calls: list[tuple[int, int | None, int]]) -> None:
    """Booked, settled or given back: what is used is never more than allowed, and nothing is lost."""
    ledger, kept, spent = Ledger(Limits(tokens=5_000), agents=3), 0, 0
    for read, cap, end in calls:
        try:
            taken = ledger.book(read, cap, None)
        except LimitReachedError:
            continue
        assert taken is not None
        assert cap in (None, taken.cap)
        assert ledger.used["tokens"] <= 5_000
        usage = Usage(input=read, output=taken.cap // 2)
        if end == 0:
            ledger.give_back(taken)
        elif end == 1:
            ledger.settle(taken, usage, None)
            spent += usage.total
        else:
            ledger.settle(taken, None, None)
            kept += taken.tokens
    assert spent + kept == ledger.used.get("tokens", 0)


def test_a_provider_that_takes_more_than_it_may_is_not_asked_again() -> None:
    """What it reports counts; nobody can undo it, but it happens once."""
    provider = Eater(10.0)
    result = run(team(provider, None, agents=2, limits=Limits(tokens=4_000)))

    assert "limit" == result.stop_reason
    assert 1 == len(provider.caps)


def run(orchestration: Orchestration) -> RunResult:
    return orchestration.run_sync("Go.")


def test_the_limit_ends_the_run_and_names_itself() -> None:
    """The stop reason is the limit, and the sentence says which."""
    result = run(team(Eater(), None, limits=Limits(tokens=3_000)))

    assert "limit" == result.stop_reason
    assert "The run reached its limit of 3000 tokens. Raise it with Limits(tokens=...)." == str(result.error)


def test_without_a_cap_an_agent_gets_its_share() -> None:
    """What is left is divided, so that the first call of four does not take all."""
    provider = Eater(0.0)
    run(team(provider, None, limits=Limits(tokens=100_000)))

    assert provider.caps[0] is not None
    assert 24_000 < provider.caps[0] <= 25_000


def test_a_cap_of_the_agent_is_passed_on_and_kept() -> None:
    """With a limit or without, the provider is told the agent's own cap."""
    for limits in (None, Limits(tokens=50_000)):
        provider = Eater()
        ada = Agent("ada", provider, max_output=77, registry=Registry.of())
        Orchestration([ada], InTurn(), limits=limits, registry=Registry.of()).run_sync("Go.")
        assert [77] == provider.caps


def test_without_limits_and_caps_nothing_is_said_to_the_provider() -> None:
    """Its own default counts."""
    provider = Eater()
    run(team(provider, None, agents=1))

    assert {None} == set(provider.caps)


def test_a_failed_call_is_given_back() -> None:
    """An error used nothing that anybody knows of, so others may have it."""
    provider = Eater(fails=3)
    result = run(team(provider, None, agents=1, limits=Limits(tokens=2_000)))

    assert 1 <= len(result.messages)


def test_a_call_whose_usage_is_unknown_counts_as_it_was_bounded() -> None:
    """Unknown is not nothing."""

    class Silent(Eater):
        async def complete(self, request: Request) -> Completion:
            completion = await super().complete(request)
            return attrs.evolve(completion, usage=None)

    provider = Silent(0.0)
    result = run(team(provider, None, agents=1, limits=Limits(tokens=2_000)))

    assert ("limit", 1) == (result.stop_reason, len(provider.caps))


def test_a_little_room_is_still_worth_a_call() -> None:
    """Where the share would be too small, an answer may have the least that is worth asking for."""
    ledger = Ledger(Limits(tokens=1_000), agents=10)
    taken = ledger.book(100, None, None)

    assert taken is not None
    assert LEAST == taken.cap


def test_a_result_says_what_it_cost() -> None:
    """By agent and in all; without prices, or with one that is not known, nothing is made up."""
    priced = run(team(Eater(), None, agents=2, prices=Flat()))
    unknown = run(team(Eater(), None, agents=2, prices=Flat(("other",))))
    without = run(team(Eater(), None, agents=2))

    assert {"a0", "a1"} == set(priced.cost_by_agent)
    assert sum(cost or 0 for cost in priced.cost_by_agent.values()) == priced.cost
    assert str(priced.cost) == priced.to_json()["cost"]
    assert ({"a0": None, "a1": None}, None) == (unknown.cost_by_agent, unknown.cost)
    assert ({}, None) == (without.cost_by_agent, without.cost)


def test_a_limit_on_money_needs_every_price() -> None:
    """Before the run begins, with the model and the remedy."""
    with pytest.raises(SetupError) as caught:
        team(Eater(), None, limits=Limits(cost="$1"), prices=Flat(("other",))).run_sync("Go.")

    assert (
        "The cost is limited, and nobody knows what eater:m costs. Install prices "
        "(pip install cloudllm-prices-genai), give some (prices=), or limit tokens instead."
    ) == str(caught.value)


def test_an_agent_alone_may_be_limited_too() -> None:
    """`send` keeps the agent's own limits, and frees the session when they cannot be kept."""
    ada = Agent("ada", Eater(), limits=Limits(cost="$1"), registry=Registry.of())
    with pytest.raises(SetupError, match="nobody knows what eater:eater costs"):
        ada.send_sync("Go.")
    ada.limits = Limits(tokens=10)
    with pytest.raises(LimitReachedError, match="its limit of 10 tokens"):
        ada.send_sync("Go.")
    ada.limits = Limits()

    assert "ok" == ada.send_sync("Go.").text


def test_installed_prices_are_used_where_money_is_limited() -> None:
    """Nothing need be named; without a limit nothing is looked up."""

    class Prices:
        @hookimpl
        def cloudllm_register_price_book(self) -> type[PriceBook]:
            return Flat

    ada = Agent("ada", Eater(), registry=Registry.of())
    ada.model = "m"
    registry = Registry.of(Prices())

    assert isinstance(Orchestration([ada], InTurn(), limits={"cost": "$9"}, registry=registry).prices, Flat)
    assert Orchestration([ada], InTurn(), registry=registry).prices is None


@pytest.mark.parametrize(
    ("given", "dollars"), [("$0.50", "0.50"), ("0.5", "0.5"), (2, "2"), (0.1, "0.1"), (" $3 ", "3")]
)
def test_money_may_be_written_in_ways(given: Any, dollars: str) -> None:
    """As people write it; never through binary fractions."""
    assert Decimal(dollars) == Limits(cost=given).dollars


@pytest.mark.parametrize("given", ["fifty cents", "$0", "-1", 0])
def test_what_is_no_money_is_refused(given: Any) -> None:
    """With the limit's name."""
    with pytest.raises(ValueError, match="Limits"):
        Limits(cost=given)


def test_a_replay_comes_to_the_same_limit() -> None:
    """What was booked and settled follows from the records."""

    async def main() -> tuple[RunResult, RunResult]:
        orchestration = team(Eater(0.3), None, limits=Limits(tokens=6_000, cost="$20000"), prices=Flat())
        run = orchestration.run("Go.")
        return await run, await orchestration.replay(run.records)

    live, again = asyncio.run(main())

    assert ("limit", live.messages, live.cost) == (again.stop_reason, again.messages, again.cost)


def test_a_tariff_takes_the_dearer_way_to_read() -> None:
    """Whether a prompt is read plainly or written to a cache is not known before."""

    class Cached(Flat):
        def cost(self, provider: str, model: str, usage: Usage) -> Decimal | None:
            return Decimal(usage.input) + Decimal(usage.cache_write) * Decimal("1.25") + usage.output * 5

    tariff = Tariff(Cached(), "x", "m")

    assert (Decimal(125), Decimal(5)) == (tariff.most(100), tariff.output(100))
