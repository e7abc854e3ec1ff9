"""What went wrong, by the words of the server: its status, its headers and its error object."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import attrs

from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    BadResponse,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
)

from .arguments import plain, sound

PREVIEW = 200
"""Characters of a strange answer that an error shows."""

_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The statuses that the API gives with its error types; inside a stream only the type comes."""

_TOO_LONG = re.compile(
    r"(prompt|input|request) is too long|exceeds? (the )?(model's )?(maximum )?context"
    r"|context[ _-]?(window|limit|length)|too many (input |prompt )?tokens",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content filter|usage polic|content polic", re.IGNORECASE)
_NO_CREDIT = re.compile(r"credit balance|billing|payment", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Origin:
    """Whose words these are: what every error of one call has in common."""

    provider: str = "anthropic"
    model: str = ""
    status: int | None = None
    request_id: str = ""
    key_hint: str = "Check the API key."
    """What to do about a key that is refused."""

    def facts(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "model": self.model,
            "status": self.status,
            "request_id": self.request_id,
        }


def failure(body: Any, origin: Origin, headers: Mapping[str, str] | None = None) -> ProviderError:
    """The error that *body* (parsed JSON or text) means, with everything the caller can act on."""
    message, kind = _told(body)
    if not origin.request_id and isinstance(body, Mapping) and isinstance(body.get("request_id"), str):
        origin = attrs.evolve(origin, request_id=body["request_id"])
    facts = origin.facts() | {"problem": message}
    wait = retry_after(headers or {})
    status = _STATUS_OF_TYPE.get(kind, 500)
    if origin.status is not None and origin.status >= 400 and not (origin.status >= 500 and kind == "rate_limit_error"):
        status = origin.status
    if status == 402 or kind == "billing_error" or (status in (400, 403) and _NO_CREDIT.search(message)):
        return AuthenticationFailed(**facts, hint="Check the plan and the credit of the account.")
    if status in (401, 403):
        return AuthenticationFailed(**facts, hint=origin.key_hint)
    if status in (400, 413, 422) and _TOO_LONG.search(message):
        return ContextTooLong(**facts, hint="Shorten the session, or give the agent a context strategy.")
    if status == 400 and _FILTERED.search(message):
        return ContentFiltered(**facts, hint="Change the wording of what is asked.")
    if status == 429:
        return RateLimited(**facts, retry_after=wait)
    if status in (408, 504) and kind in ("timeout_error", ""):
        return ProviderTimeout(**facts, retry_after=wait)
    if status in (409, 425) or status >= 500:  # a conflict or "too early" passes, as an overload does
        return Overloaded(**facts, retry_after=wait)
    return _refused(status, facts)


def _refused(status: int, facts: dict[str, Any]) -> ProviderError:
    if status == 404:
        return BadRequest(**facts, hint="Check the model's name and base_url.")
    if status == 408:
        return ProviderTimeout(**facts)
    if status == 413:
        return BadRequest(**facts, hint="The request is too big; send fewer or smaller images.")
    return BadRequest(**facts) if status >= 400 else BadResponse(**facts)


def _told(body: Any) -> tuple[str, str]:
    """The message and the type in *body*: the API's error object, or what proxies make of it."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return _sentence(body), ""
    inner = body.get("error") or body
    if not isinstance(inner, Mapping):
        return _sentence(inner), ""
    message = inner.get("message") or inner.get("detail") or inner
    kind = inner.get("type")
    return _sentence(message), kind if isinstance(kind, str) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait, from ``retry-after-ms`` or ``retry-after`` (seconds or a date), or None."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def bad_response(what: str, body: str, origin: Origin) -> BadResponse:
    """An answer that is none: *what* is wrong with it, and how it begins."""
    shown = preview(body)
    began = f"; it begins with {shown!r}" if shown else ""
    return BadResponse(
        **origin.facts(),
        problem=f"the answer {what}{began}",
        hint="Check that base_url leads to a Messages API.",
    )


def preview(text: str) -> str:
    """The first characters of *text*, on one line."""
    return " ".join(text[: PREVIEW * 4].split())[:PREVIEW]


def _sentence(message: Any) -> str:
    text = sound(message) if isinstance(message, str) else json.dumps(plain(message), ensure_ascii=False)
    text = " ".join(text[:4000].split())
    return (text if len(text) <= 1000 else text[:997] + "...").rstrip(".") or "no explanation"
