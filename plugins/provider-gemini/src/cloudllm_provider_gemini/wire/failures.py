"""What went wrong, by the words of the server: its status, its headers and its error object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
)
from cloudllm_provider_http import Origin, number, preview, retry_after, sentence, sound

from .arguments import written

_TOO_LONG = re.compile(
    r"(input )?token count.{0,40}exceeds|maximum number of (input )?tokens|exceeds the maximum.{0,30}tokens"
    r"|context[ _-]?(length|window)|(prompt|input) is too long",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"responsible ai|prohibited[ _](content|use)|safety (filter|setting|polic)", re.IGNORECASE)
_KEY = re.compile(r"API_KEY_|ACCESS_TOKEN_|api key (not valid|expired|not found)|invalid api key", re.IGNORECASE)
_QUOTA = re.compile(r"perday|per day|billing|free[ _]tier", re.IGNORECASE)

_STATUS_OF_WORD = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "DATA_LOSS": 500,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The HTTP status of each google.rpc code, as google/rpc/code.proto gives them."""


HERE = Origin(provider="gemini", api="a Gemini API (without the version at its end)")
"""Whose words they are unless somebody says otherwise."""


@attrs.frozen
class Trouble:
    """An error object, as far as it says anything."""

    message: str
    words: str
    """Its status and the reasons in its details, in one string."""

    status: int | None
    """The status it claims for itself, inside a 200 for instance."""

    retry_after: float | None
    quotas: tuple[str, ...] = ()
    """The names of the quotas that are used up."""


def trouble_in(body: Any) -> Trouble:
    """The error in *body*, whatever its shape: nested, bare, in a list, a string, a page of HTML."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return Trouble(preview(body if isinstance(body, str) else written(body)) or "no explanation", "", None, None)
    inner = body.get("error") or body
    if not isinstance(inner, Mapping):
        return Trouble(_sentence(inner), "", None, None)
    found = inner.get("details")
    details = [detail for detail in found if isinstance(detail, Mapping)] if isinstance(found, list) else []
    word = inner.get("status")
    reasons = [reason for detail in details if isinstance(reason := detail.get("reason"), str)]
    quotas = tuple(quota for detail in details for quota in _quotas(detail.get("violations")))
    status = _status(inner.get("code")) or (_STATUS_OF_WORD.get(word) if isinstance(word, str) else _status(word))
    delays = [delay for detail in details if (delay := _delay(detail.get("retryDelay"))) is not None]
    words = " ".join([word if isinstance(word, str) else "", *reasons])
    return Trouble(_sentence(inner.get("message") or inner), words, status, max(delays, default=None), quotas)


def _quotas(violations: Any) -> list[str]:
    found = violations if isinstance(violations, list) else []
    quotas = [each.get("quotaId") for each in found if isinstance(each, Mapping)]
    return [preview(sound(quota)) for quota in quotas if isinstance(quota, str)]


def failure(body: Any, origin: Origin, headers: Mapping[str, str] | None = None) -> ProviderError:
    """The error that *body* (parsed JSON or text) means, with everything the caller can act on."""
    trouble = trouble_in(body)
    facts = origin.facts() | {"problem": trouble.message}
    status = origin.status if origin.status and origin.status >= 400 else trouble.status or 500
    said = f"{trouble.words} {trouble.message}"
    if status in (400, 413) and _TOO_LONG.search(said):
        return ContextTooLong(**facts, hint="Shorten the session, or give the agent a context strategy.")
    if status in (401, 402, 403) or (status == 400 and _KEY.search(said)):
        return AuthenticationFailed(**facts, hint=origin.key_hint)
    if status == 400 and _FILTERED.search(said):
        return ContentFiltered(**facts, hint="Change the wording of what is asked.")
    if status == 429:
        wait = trouble.retry_after if trouble.retry_after is not None else retry_after(headers or {})
        return RateLimited(**facts | _spent(trouble, said), retry_after=wait)
    return _by_status(status, facts, trouble.retry_after)


def _spent(trouble: Trouble, said: str) -> dict[str, str]:
    """What to say of a limit: its name, and whether it may be the plan's rather than this minute's."""
    new = [quota for quota in dict.fromkeys(trouble.quotas) if quota not in trouble.message]
    problem = f"{trouble.message} (quota {', '.join(new[:5])})" if new else trouble.message
    spent = _QUOTA.search(" ".join(trouble.quotas) or said)
    hint = "A quota of the plan may be used up; see the limits of the account." if spent else ""
    return {"problem": problem, "hint": hint}


def _by_status(status: int, facts: dict[str, Any], wait: float | None) -> ProviderError:
    if status == 404:
        hint = "Check the model's name and base_url; previews and names such as ...-latest need api_version='v1beta'."
        return BadRequest(**facts, hint=hint)
    if status == 408:
        return ProviderTimeout(**facts)
    if status == 501:
        return BadRequest(**facts)
    if status in (409, 425, 499) or status >= 500:  # a conflict or a cancellation passes, as an overload does
        return Overloaded(**facts, retry_after=wait)
    if status == 413:
        return BadRequest(**facts, hint="The request is too big; send fewer or smaller images.")
    return BadRequest(**facts)


def _status(value: Any) -> int | None:
    return value if type(value) is int and 400 <= value < 600 else None


def _delay(value: Any) -> float | None:
    """Seconds in a google.protobuf.Duration, such as ``12.5s``."""
    return number(value[:-1]) if isinstance(value, str) and value.endswith("s") else None


def _sentence(message: Any) -> str:
    return sentence(message if isinstance(message, str) else written(message))
