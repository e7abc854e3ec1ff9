"""What went wrong, by the words of the server: its status, its headers and its error object."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
from cloudllm_provider_http import Origin, retry_after, sentence, written

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


HERE = Origin(provider="anthropic", api="a Messages API")
"""Whose words they are unless somebody says otherwise."""


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


def _sentence(message: Any) -> str:
    return sentence(message if isinstance(message, str) else written(message))
