"""What models cost, by the tables and by the user's own."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloudllm_prices_genai
from cloudllm_core import Agent, Hub, Mode, Orchestration, Outcome, Registry, Usage
from cloudllm_core.errors import SettingsError
from cloudllm_core.testing import ScriptedProvider
from cloudllm_prices_genai import GenaiPrices, Price, cloudllm_register_price_book

COUNTS = st.integers(0, 2_000_000)
MODELS = [("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-5"), ("gemini", "gemini-2.5-flash"), ("grok", "grok-4")]


class Once(Mode):
    name = "once"

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        await hub.try_ask(hub.agents[0], prompt)
        return Outcome(complete=True)


def team(**options):
    agents = [Agent("ada", ScriptedProvider("Hello."), registry=Registry.of())]
    return Orchestration(agents, Once(), **options)


def test_the_hook_gives_the_class():
    """The registry finds it by its name."""
    assert ("genai", GenaiPrices) == (GenaiPrices.name, cloudllm_register_price_book())


@pytest.mark.parametrize(("provider", "model"), MODELS)
def test_the_great_providers_are_known_by_our_words(provider, model):
    """Each has a price above zero for reading and for writing, and a cache reads cheaper."""
    prices = GenaiPrices()
    read, written, cached = (
        prices.cost(provider, model, usage) for usage in (Usage(input=1000), Usage(output=1000), Usage(cache_read=1000))
    )

    assert 0 < cached < read < written


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.sampled_from(MODELS))
def test_more_tokens_never_cost_less(read, written, cached, kept, model):
    """What a reservation relies on: the cost grows with each count."""
    prices = GenaiPrices()
    base = prices.cost(*model, Usage(read, written, cached, kept))
    for more in (Usage(input=1000), Usage(output=1000), Usage(cache_read=1000), Usage(cache_write=1000)):
        assert prices.cost(*model, Usage(read, written, cached, kept) + more) >= base


def test_the_sum_is_that_of_the_table():
    """Cached tokens are part of the prompt there and beside it here; none counts twice."""
    cost = GenaiPrices().cost("anthropic", "claude-sonnet-4-5", Usage(input=800, cache_read=200, output=100))

    assert Decimal("0.00396") == cost


@pytest.mark.parametrize(("provider", "model"), [("openai", "nobody"), ("nobody", "gpt-5"), ("ollama", "llama3")])
def test_what_nobody_knows_is_unknown(provider, model):
    """None, and never zero."""
    assert GenaiPrices().cost(provider, model, Usage(1, 1)) is None


def test_ones_own_prices_go_first():
    """Also for a model that the tables know, and for a server of one's own that costs nothing."""
    prices = GenaiPrices.from_settings(
        {"models": {"openai:gpt-5": {"input": "$1", "output": 2}, "ollama:llama3": {"input": 0, "output": 0}}}
    )

    assert Decimal(5) == prices.cost("openai", "gpt-5", Usage(1_000_000, 1_000_000, 1_000_000, 1_000_000))
    assert Decimal(0) == prices.cost("ollama", "llama3", Usage(5, 5))


def test_a_cache_has_prices_of_its_own_where_they_are_given():
    """Else it is read and written at the price of the prompt."""
    price = Price(input=1, output=2, cache_read=0.1, cache_write="1.25")

    assert Decimal("1.35") == price.cost(Usage(cache_read=1_000_000, cache_write=1_000_000))


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ({"gpt-5": {"input": 1, "output": 1}}, "models.gpt-5"),
        ({"openai:gpt-5": {"input": 1}}, "'output'"),
        ({"openai:gpt-5": {"input": "much", "output": 1}}, "'much'"),
        ({"openai:gpt-5": {"input": -1, "output": 1}}, "-1"),
        ({"openai:gpt-5": {"input": 1, "output": 1, "cach_read": 1}}, "Did you mean 'cache_read'?"),
    ],
)
def test_a_wrong_table_is_told(models, told):
    """By the name of the model, or what was found there."""
    with pytest.raises(SettingsError) as caught:
        GenaiPrices.from_settings({"models": models})

    assert told in str(caught.value)


def test_it_is_found_where_money_is_limited():
    """It need not be named; otherwise it is not even looked for."""
    registry = Registry.of(cloudllm_prices_genai)

    assert isinstance(team(limits={"cost": "$1"}, registry=registry).prices, GenaiPrices)
    assert team(registry=registry).prices is None


def test_a_run_has_a_cost():
    """Of the tokens that its provider reported."""
    prices = GenaiPrices({"scripted:scripted": Price(input=1, output=1)})
    result = team(prices=prices, registry=Registry.of()).run_sync("Hi.")

    assert Decimal(result.usage.total) / 1_000_000 == result.cost
