"""Whether a failed call is worth another, and in how many seconds: pure arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from cloudllm_core.errors import (
    BadResponse,
    ConnectionFailed,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    StreamTruncated,
)

MENDABLE = (RateLimited, Overloaded, ConnectionFailed, ProviderTimeout, StreamTruncated)
"""What passes by itself."""

PARTIAL = "Part of an answer had been streamed already; it is void."
"""The note of an error that came after pieces of an answer."""

_SPENT = re.compile(r"(?i)waiting does not help|insufficient[ _]quota|quota of the plan|billing|credit|balance")
"""How providers say that money or a plan is used up, in the message or in the adapter's hint."""


@attrs.frozen(kw_only=True)
class Patience:
    """
    How often and how long to try.

    The n-th wait is drawn evenly from 0 to ``first * 2 ** (n - 1)`` seconds, at most *longest* ("full jitter",
    M. Brooker, Exponential Backoff And Jitter, 2015), and comes on top of what the server asks for. After an
    overload it grows faster, ``first * 4 ** n``: such times last minutes.
    """

    attempts: int = 4
    """How many times a call is made in all."""

    first: float = 1.0
    """The longest first wait, in seconds."""

    longest: float = 60.0
    """The longest wait of all, in seconds. A server that asks for more is not waited for."""

    seconds: float = 300.0
    """How long all waits of a call may last together."""

    random: Callable[[], float]
    """Draws from 0 to 1."""

    def wait(self, problem: ProviderError, attempt: int) -> float | None:
        """Seconds to wait after the *attempt*-th failure (from 1), or None if there is nothing to wait for."""
        asked = max(0.0, problem.retry_after or 0.0)
        if attempt >= self.attempts or asked > self.longest or not self._passes(problem, attempt):
            return None
        # nothing is remembered from attempt to attempt: the earlier waits are taken at their longest
        bounds = [self._bound(problem, nth) for nth in range(1, attempt + 1)]
        if sum(bounds) + asked * attempt > self.seconds:
            return None
        return asked + self.random() * bounds[-1]

    def _passes(self, problem: ProviderError, attempt: int) -> bool:
        if isinstance(problem, BadResponse) or PARTIAL in getattr(problem, "__notes__", ()):
            return attempt == 1
        return isinstance(problem, MENDABLE) and not spent(problem)

    def _bound(self, problem: ProviderError, nth: int) -> float:
        doublings = 2 * nth if isinstance(problem, Overloaded) else nth - 1
        return min(self.longest, self.first * (1 << min(doublings, 60)))


def spent(problem: ProviderError) -> bool:
    """Whether *problem* is a quota that is used up: the server names money or a plan, and no time to wait."""
    said = f"{problem.problem} {problem.hint}"
    return isinstance(problem, RateLimited) and problem.retry_after is None and bool(_SPENT.search(said))
