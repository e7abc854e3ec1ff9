"""Limits, checked in one place before the effect, by reservation: parallel agents cannot overshoot together."""

from __future__ import annotations

from typing import Any

import attrs

from .errors import LimitReachedError


def _positive(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or value <= 0):
        raise ValueError(f"Limits({attribute.name}={value!r}): a limit is a number above 0, or None for no limit")


@attrs.frozen(kw_only=True)
class Limits:
    """What one run may use. None is no limit."""

    rounds: int | None = attrs.field(default=None, validator=_positive)
    calls: int | None = attrs.field(default=None, validator=_positive)
    """Model calls, of all agents together."""

    seconds: float | None = attrs.field(default=None, validator=_positive)


@attrs.define(eq=False)
class Ledger:
    """What one run has used and reserved of its `Limits`."""

    limits: Limits
    used: dict[str, int] = attrs.Factory(dict)

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
