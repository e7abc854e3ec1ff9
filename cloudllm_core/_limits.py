"""Limits, checked in one place before the effect, by reservation: parallel agents cannot overshoot together."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import attrs

from ._messages import Usage
from ._prices import Tariff
from .errors import LimitReachedError

LEAST = 256
"""Tokens of an answer that are worth asking for, where no cap says otherwise."""


def _positive(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or value <= 0):
        raise ValueError(f"Limits({attribute.name}={value!r}): a limit is a number above 0, or None for no limit")


def _dollars(value: Any) -> Decimal | None:
    if value is None or isinstance(value, Decimal):
        return value
    try:
        return Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        raise ValueError(f"Limits(cost={value!r}): give US dollars, such as '$0.50'") from None


@attrs.frozen(kw_only=True)
class Limits:
    """What one run may use. None is no limit."""

    rounds: int | None = attrs.field(default=None, validator=_positive)
    calls: int | None = attrs.field(default=None, validator=_positive)
    """Model calls, of all agents together."""

    seconds: float | None = attrs.field(default=None, validator=_positive)
    tokens: int | None = attrs.field(default=None, validator=_positive)
    """Tokens read and written, of all agents together."""

    cost: Decimal | str | float | None = attrs.field(default=None, converter=_dollars, validator=_positive)
    """US dollars, such as ``"$0.50"``; needs the prices of all models."""

    @property
    def dollars(self) -> Decimal | None:
        return _dollars(self.cost)


@attrs.frozen
class Reservation:
    """What one model call may use at most."""

    tokens: int
    cost: Decimal
    cap: int
    """Tokens its answer may have."""


@attrs.define(eq=False)
class Ledger:
    """What one run has used and reserved of its `Limits`."""

    limits: Limits
    agents: int = 1
    used: dict[str, Any] = attrs.Factory(dict)

    def reserve(self, limit: str, amount: int = 1) -> None:
        """
        Take *amount* of *limit*, or nothing at all. Asked in the strand, before the effect begins,
        and never given back: an effect that failed may have cost something.

        Raises:
            LimitReachedError: that much is not left.
        """
        used, allowed = self.used.get(limit, 0), getattr(self.limits, limit)
        if allowed is not None and used + amount > allowed:
            raise LimitReachedError(limit, allowed)
        self.used[limit] = used + amount

    def book(self, read: int, cap: int | None, tariff: Tariff | None) -> Reservation | None:
        """
        Take what a model call may use at most: a prompt of *read* tokens, and an answer of *cap*.

        Without a cap the answer gets this agent's share of what is left, so that the others have theirs.

        Returns:
            None where neither tokens nor money are limited.

        Raises:
            LimitReachedError: that much is not left.
        """
        tokens, dollars = self.limits.tokens, self.limits.dollars
        if tokens is None and dollars is None:
            return None
        rooms: list[tuple[str, int]] = []
        if tokens is not None:
            rooms.append(("tokens", tokens - self.used.get("tokens", 0) - read))
        price = Decimal(0)
        if dollars is not None and tariff is not None:
            price = tariff.output(read)
            left = dollars - self.used.get("cost", Decimal(0)) - tariff.most(read)
            rooms.append(("cost", int(left / price) if price else (2**31 if left >= 0 else -1)))
        limit, room = min(rooms, key=lambda one: one[1])
        wanted = min(max(room // self.agents, LEAST), room) if cap is None else cap
        if room < 1 or wanted > room:
            raise LimitReachedError(limit, float(getattr(self.limits, limit)))
        most = (tariff.most(read) if tariff is not None else Decimal(0)) + wanted * price
        taken = Reservation(read + wanted, most, wanted)
        self._move(taken.tokens, taken.cost)
        return taken

    def settle(self, taken: Reservation | None, usage: Usage | None, tariff: Tariff | None) -> None:
        """The call is over: what it used stands instead of what it might have; what is unknown stays as it was."""
        if taken is None or usage is None:
            return
        cost = tariff.cost(usage) if tariff is not None else None
        self._move(usage.total - taken.tokens, Decimal(0) if cost is None else cost - taken.cost)

    def give_back(self, taken: Reservation | None) -> None:
        """The call failed, as a provider says by an error: it used nothing that we know of."""
        if taken is not None:
            self._move(-taken.tokens, -taken.cost)

    def _move(self, tokens: int, cost: Decimal) -> None:
        self.used["tokens"] = self.used.get("tokens", 0) + tokens
        self.used["cost"] = self.used.get("cost", Decimal(0)) + cost
