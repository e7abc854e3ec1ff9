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

PREVIEW = 200
"""Characters of a strange answer that an error shows."""

_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|maximum (input|prompt) length|(prompt|input) is too long|request too large"
    r"|too[ _]many (prompt |input )?tokens|too_many_prompt_tokens|total length of all messages is too long"
    r"|reduce the length of (the|your) (messages|prompt|input)",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[_ ]?filter|content_policy|bio_policy|policy_violation|content management policy|responsibleaipolicy"
    r"|data_inspection_failed",
    re.IGNORECASE,
)
_MODERATED = re.compile(r"moderation|flagged", re.IGNORECASE)
_BAD_KEY = re.compile(r"(incorrect|invalid) api[ _-]?key", re.IGNORECASE)
_NO_CREDIT = re.compile(r"insufficient_quota|billing|credit|balance", re.IGNORECASE)

_STATUS_OF_WORD: tuple[tuple[str, int], ...] = (
    ("rate_limit", 429),
    ("too_many_requests", 429),
    ("insufficient_quota", 429),
    ("resource_exhausted", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("insufficient_system_resource", 503),
    ("timeout", 408),
    ("auth", 401),
    ("invalid_api_key", 401),
    ("permission", 403),
    ("not_found", 404),
    ("invalid", 400),
    ("bad_request", 400),
    ("unsupported", 400),
    ("image", 400),
    ("residency", 400),
    ("server", 500),
    ("internal", 500),
)
"""What a status would have said, by a word of the error's code or type; the first that fits."""


@attrs.frozen(kw_only=True)
class Origin:
    """Whose words these are: what every error of one call has in common."""

    provider: str = "openai"
    model: str = ""
    status: int | None = None
    request_id: str = ""
    api: str = "a Chat Completions API"
    """What was talked to."""

    key_hint: str = "Check the API key."
    """What to do about a key that is refused."""

    def facts(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "model": self.model,
            "status": self.status,
            "request_id": self.request_id,
        }


@attrs.frozen
class Trouble:
    """An error object, as far as it says anything."""

    message: str
    words: str
    """Its code, type and the codes inside, in one string."""

    status: int | None
    """The status it claims for itself, inside a 200 for instance."""


def trouble_in(body: Any) -> Trouble:
    """The error in *body*, whatever its shape: nested, bare, a string, a list, a page of HTML."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return Trouble(preview(body if isinstance(body, str) else json.dumps(body)) or "no explanation", "", None)
    inner = body.get("error") or body
    if not isinstance(inner, Mapping):
        return Trouble(_sentence(inner), " ".join(str(body[name]) for name in ("code", "type") if body.get(name)), None)
    message = inner.get("message") or inner.get("detail") or inner.get("msg") or inner
    deeper = inner.get("innererror") or inner.get("metadata")
    more = [deeper.get("code"), deeper.get("error_type")] if isinstance(deeper, Mapping) else []
    codes = [inner.get("code"), inner.get("type"), inner.get("status"), *more]
    statuses = [_status(inner.get(name)) for name in ("status_code", "raw_status_code", "code", "status")]
    return Trouble(
        _sentence(message), " ".join(str(code) for code in codes if code), next(filter(None, statuses), None)
    )


def failure(body: Any, origin: Origin, headers: Mapping[str, str] | None = None) -> ProviderError:
    """The error that *body* (parsed JSON or text) means, with everything the caller can act on."""
    trouble = trouble_in(body)
    facts = origin.facts() | {"problem": trouble.message}
    status = origin.status if origin.status and origin.status >= 400 else _implied(trouble)
    said = f"{trouble.words} {trouble.message}"
    if _FILTERED.search(trouble.words) or (status in (400, 403) and _FILTERED.search(said)):
        return ContentFiltered(**facts, hint="Change the wording of what is asked.")
    if status == 403 and _MODERATED.search(said):
        return ContentFiltered(**facts, hint="Change the wording of what is asked.")
    if status in (400, 413, 422) and _TOO_LONG.search(said):
        return ContextTooLong(**facts, hint="Shorten the session, or give the agent a context strategy.")
    if status == 402:
        return AuthenticationFailed(**facts, hint="Check the plan and the credit of the account.")
    if status in (401, 403) or (status == 400 and _BAD_KEY.search(said)):
        return AuthenticationFailed(**facts, hint=origin.key_hint)
    if status == 429:
        hint = "Check the plan and the credit of the account; waiting does not help." if _NO_CREDIT.search(said) else ""
        return RateLimited(**facts, hint=hint, retry_after=retry_after(headers or {}))
    return _by_status(status, facts)


def _by_status(status: int, facts: dict[str, Any]) -> ProviderError:
    if status == 404:
        return BadRequest(**facts, hint="Check the model's name and base_url (for most servers it ends with '/v1').")
    if status == 408:
        return ProviderTimeout(**facts)
    if status in (409, 425) or status >= 500:  # a conflict or "too early" passes, as an overload does
        return Overloaded(**facts)
    if status == 413:
        return BadRequest(**facts, hint="The request is too big; send fewer or smaller images.")
    if status >= 400:
        return BadRequest(**facts)
    return BadResponse(**facts)


def _implied(trouble: Trouble) -> int:
    if trouble.status:
        return trouble.status
    words = trouble.words.lower()
    return next((status for word, status in _STATUS_OF_WORD if word in words), 500)


def _status(value: Any) -> int | None:
    try:
        status = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return status if 400 <= status < 600 else None


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
        hint=f"Check that base_url leads to {origin.api} (for most servers it ends with '/v1').",
    )


def preview(text: str) -> str:
    """The first characters of *text*, on one line."""
    return " ".join(text[: PREVIEW * 4].split())[:PREVIEW]


def _sentence(message: Any) -> str:
    text = message if isinstance(message, str) else json.dumps(message, default=str)
    text = " ".join(text[:4000].split())
    return (text if len(text) <= 1000 else text[:997] + "...").rstrip(".") or "no explanation"
