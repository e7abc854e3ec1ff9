"""A price book over genai-prices; a user's own table goes before it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Final

import attrs

from cloudllm_core import PriceBook, Usage
from cloudllm_core.errors import SettingsError

KNOWN_AS: Final[Mapping[str, str]] = {"gemini": "google", "grok": "x-ai"}
"""What genai-prices calls a provider, where it is not our word."""

OWN: Final = frozenset({"ollama", "llamacpp", "lmstudio", "vllm"})
"""Servers of one's own: what they cost nobody else knows, and it is not nothing."""

MILLION = Decimal(1_000_000)


def _dollars(value: Any) -> Any:
    if value is None or isinstance(value, Decimal):
        return value
    try:
        found = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        raise SettingsError("price", repr(value), "US dollars a million tokens, such as 0.25") from None
    if not (found.is_finite() and found >= 0):
        raise SettingsError("price", repr(value), "US dollars a million tokens, 0 or more")
    return found


@attrs.frozen(kw_only=True)
class Price:
    """What one model costs, in US dollars a million tokens."""

    input: Any = attrs.field(converter=_dollars)
    output: Any = attrs.field(converter=_dollars)
    cache_read: Any = attrs.field(default=None, converter=_dollars)
    """None: as `input`."""

    cache_write: Any = attrs.field(default=None, converter=_dollars)
    """None: as `input`."""

    def cost(self, usage: Usage) -> Decimal:
        """What *usage* costs in US dollars."""
        read, write = (self.input if price is None else price for price in (self.cache_read, self.cache_write))
        prompt = usage.input * self.input + usage.cache_read * read + usage.cache_write * write
        return Decimal(prompt + usage.output * self.output) / MILLION


@attrs.frozen
class GenaiPrices(PriceBook):
    """
    The prices that genai-prices knows, and those of *models*, which go before.

    Args:
        models: prices by ``provider:model``, such as ``{"openai:my-model": Price(input=0.5, output=2)}``.
    """

    name: ClassVar[str] = "genai"

    models: Mapping[str, Price] = attrs.field(factory=dict)

    @models.validator
    def _named(self, attribute: attrs.Attribute[Any], models: Mapping[str, Any]) -> None:
        for name, price in models.items():
            if ":" not in name:
                raise SettingsError(f"models.{name}", repr(name), "a name of the form 'provider:model'")
            if not isinstance(price, Price):
                raise SettingsError(f"models.{name}", repr(price), "a Price, with input and output")

    def cost(self, provider: str, model: str, usage: Usage) -> Decimal | None:
        """What *usage* costs in US dollars; None if neither table has the model."""
        own = self.models.get(f"{provider}:{model}")
        if own is not None:
            return own.cost(usage)
        if provider in OWN:
            return None
        import genai_prices

        # Its input includes what a cache read and wrote; ours does not.
        told = genai_prices.Usage(
            input_tokens=usage.input + usage.cache_read + usage.cache_write,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
        )
        try:
            return genai_prices.calc_price(told, model, provider_id=KNOWN_AS.get(provider, provider)).total_price
        except LookupError:
            return None
