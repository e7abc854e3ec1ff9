"""The contract of price books: what tokens cost, where somebody knows."""

from __future__ import annotations

import abc
from decimal import Decimal
from typing import ClassVar

import attrs

from ._messages import NO_USAGE, Completion, Usage
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

    def of(self, completion: Completion) -> Tariff:
        """The tariff of whoever gave *completion*, where that was another provider than the one asked."""
        if not completion.provider:
            return self
        return Tariff(self.book, completion.provider, completion.model)

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


@attrs.define
class Account:
    """What something has cost so far."""

    usage: Usage = NO_USAGE
    cost: Decimal | None = Decimal(0)
    """US dollars; None once something was added whose price is not known."""

    def add(self, usage: Usage, cost: Decimal | None) -> None:
        self.usage += usage
        self.cost = None if cost is None or self.cost is None else self.cost + cost

    def take(self) -> Account:
        """What is in it, which is then no longer in it."""
        taken = Account(self.usage, self.cost)
        self.usage, self.cost = NO_USAGE, Decimal(0)
        return taken
