"""The contract of price books: what tokens cost, where somebody knows."""

from __future__ import annotations

import abc
from decimal import Decimal
from typing import ClassVar

import attrs

from ._messages import Usage
from ._settings import Configurable


class PriceBook(Configurable, abc.ABC):
    """
    Knows what tokens cost.

    Write a price book::                            Offer it::

        class Flat(PriceBook):                          @hookimpl
            name = "flat"                               def cloudllm_register_price_book() -> type[Flat]:
            def cost(self, provider, model, usage): ...     return Flat
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def cost(self, provider: str, model: str, usage: Usage) -> Decimal | None:
        """
        What *usage* costs in US dollars; None where the price is not known, which is not nothing.

        More tokens never cost less. *provider* and *model* are the words of ``provider:model``.
        """


MOST = Usage(output=1_000_000)


@attrs.frozen
class Tariff:
    """What one model's tokens cost, by *book*."""

    book: PriceBook
    provider: str
    model: str

    def cost(self, usage: Usage) -> Decimal | None:
        return self.book.cost(self.provider, self.model, usage)

    def most(self, read: int) -> Decimal:
        """What *read* tokens of a prompt cost at most: also writing them to a cache has a price."""
        found = [self.cost(Usage(input=read)), self.cost(Usage(cache_write=read))]
        return max((cost for cost in found if cost is not None), default=Decimal(0))

    def output(self, read: int) -> Decimal:
        """What one token of an answer costs at most, after a prompt of *read* tokens."""
        whole = self.cost(attrs.evolve(MOST, input=read)) or Decimal(0)
        return (whole - (self.cost(Usage(input=read)) or Decimal(0))) / MOST.output
