"""Which failures are worth another call, and after how long."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    BadResponse,
    ConnectionFailed,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    StreamTruncated,
)
from cloudllm_provider_resilient import Patience

MENDABLE = (RateLimited, Overloaded, ConnectionFailed, ProviderTimeout, StreamTruncated)
HOPELESS = (AuthenticationFailed, BadRequest, ContextTooLong, ContentFiltered, ProviderError)


def patience(draw: float = 1.0, **settings: Any) -> Patience:
    return Patience(random=lambda: draw, **settings)


def waits(problem: ProviderError, patience: Patience) -> list[float | None]:
    return [patience.wait(problem, attempt) for attempt in range(1, 6)]


@pytest.mark.parametrize("cls", [RateLimited, ConnectionFailed, ProviderTimeout, StreamTruncated])
def test_waits_double(cls: type[ProviderError]) -> None:
    """F01, F26: the bounds of the waits are 1, 2, 4 seconds, and the fourth failure is the last."""
    assert [1.0, 2.0, 4.0, None, None] == waits(cls("no"), patience())
    assert [0.5, 1.0, 2.0, None, None] == waits(cls("no"), patience(0.5))


def test_an_overload_is_given_minutes() -> None:
    """F03: waits after an overload grow fourfold, to at most a minute each."""
    assert [4.0, 16.0, 60.0, 60.0, 60.0] == waits(Overloaded("no"), patience(attempts=9))


@pytest.mark.parametrize("cls", HOPELESS)
def test_what_a_retry_cannot_mend_is_not_retried(cls: type[ProviderError]) -> None:
    """F30, F32: neither a wrong key nor a refused request gets better by itself, whatever the server says."""
    assert [None] * 5 == waits(cls("no", retry_after=1.0), patience())


def test_a_bad_response_is_retried_once() -> None:
    """It may have been a moment's confusion of some proxy."""
    assert [1.0, None, None, None, None] == waits(BadResponse("no"), patience())


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(None, 1.0), (0.0, 1.0), (-5.0, 1.0), (math.nan, 1.0), (20.0, 21.0), (60.0, 61.0), (60.1, None), (math.inf, None)],
)
def test_what_the_server_asks_for_is_honoured_up_to_the_cap(asked: float | None, wait: float | None) -> None:
    """F01: at least so long, with jitter on top; nonsense counts as nothing; more than a minute is not waited for."""
    assert wait == patience().wait(RateLimited("no", retry_after=asked), 1)


@pytest.mark.parametrize(
    ("problem", "hint"),
    [
        ("You exceeded your current quota", "Check the plan and the credit of the account; waiting does not help."),
        ("Quota exceeded", "A quota of the plan may be used up; see the limits of the account."),
        ("insufficient_quota", ""),
    ],
)
def test_a_quota_that_is_used_up_is_not_retried(problem: str, hint: str) -> None:
    """Waiting brings no money; but where the server names a time, waiting helps after all."""
    assert patience().wait(RateLimited(problem, hint=hint), 1) is None
    assert 6.0 == patience().wait(RateLimited(problem, hint=hint, retry_after=5.0), 1)


def test_the_budget_in_seconds_ends_the_trying() -> None:
    """F02: with 10 seconds in all, waits of at most 1, 2 and 4 fit and one of 8 does not."""
    assert [1.0, 2.0, 4.0, None, None] == waits(RateLimited("no"), patience(attempts=9, seconds=10.0))
    assert [6.0, None] == waits(RateLimited("no", retry_after=5.0), patience(attempts=9, seconds=10.0))[:2]


@given(
    st.sampled_from(MENDABLE),
    st.none() | st.floats(),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 100),
    st.floats(0, 100),
    st.floats(0, 500),
)
def test_no_budget_is_passed(
    cls: type[ProviderError], asked: float | None, draw: float, attempts: int, longest: float, seconds: float
) -> None:
    """Whatever is asked and drawn, a call is made at most so often, and its waits last at most so long, together."""
    one = patience(draw, attempts=attempts, longest=longest, seconds=seconds)
    given = [wait for n in range(1, 200) if (wait := one.wait(cls("no", retry_after=asked), n)) is not None]

    assert len(given) < attempts
    assert sum(given) <= seconds + 1e-6
    assert all(0 <= wait <= 2 * longest for wait in given)
    assert asked is None or math.isnan(asked) or all(wait >= asked for wait in given)
