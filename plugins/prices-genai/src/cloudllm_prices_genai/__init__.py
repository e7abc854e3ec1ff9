"""What models cost: the tables of genai-prices, and whatever you know better."""

from __future__ import annotations

from cloudllm_core import hookimpl

from .book import GenaiPrices, Price

__all__ = ["GenaiPrices", "Price"]


@hookimpl
def cloudllm_register_price_book() -> type[GenaiPrices]:
    return GenaiPrices
