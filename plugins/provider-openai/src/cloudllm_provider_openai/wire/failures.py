"""What went wrong, by the words of the server: its status, its headers and its error object."""

from __future__ import annotations

import json
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
from cloudllm_provider_http import Origin, preview, retry_after, sentence

_V1 = "(for most servers it ends with '/v1')"
CALLED = {
    "chat": f"a Chat Completions API {_V1}",
    "responses": f"a Responses API {_V1}",
    "images": f"an Images API {_V1}",
}
"""The APIs on these wires, and what is good to know of their address."""

_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|maximum (input|prompt) length|(prompt|input) is too long|request too large"
    r"|too[ _]many (prompt |input )?tokens|too_many_prompt_tokens|total length of all messages is too long"
    r"|reduce the length of (the|your) (messages|prompt|input)",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[_ ]?filter|content[_ ](policy|moderation)|bio_policy|policy_violation|content management policy"
    r"|responsibleaipolicy|data_inspection_failed|moderation[_ ]blocked|safety[_ ](system|violation)"
    r"|rejected by (the )?moderation",
    re.IGNORECASE,
)
_MODERATED = re.compile(r"moderation|flagged", re.IGNORECASE)
_BAD_KEY = re.compile(r"(incorrect|invalid) api[ _-]?key", re.IGNORECASE)
_NO_CREDIT = re.compile(
    r"insufficient[_ ](quota|balance|credit|fund)|exceeded_current_quota|billing[_ ](hard[_ ])?limit"
    r"|(credits?|balance) (balance )?(is|are|has|have|was|were) (been )?(too low|exhaust|used up|deplet|insufficient)"
    r"|(no|not enough|out of|requires more) (credit|balance|fund)|exceeded your (monthly )?(included )?credit",
    re.IGNORECASE,
)
"""Words of an account that is empty; that a plan or its billing is mentioned says nothing, for any limit may."""

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


HERE = Origin(provider="openai", api=CALLED["chat"])
"""Whose words they are unless somebody says otherwise."""


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


def _sentence(message: Any) -> str:
    return sentence(message if isinstance(message, str) else json.dumps(message, default=str))
