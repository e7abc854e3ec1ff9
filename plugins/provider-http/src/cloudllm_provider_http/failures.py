"""What went wrong, as far as every wire says it alike: whose words they are, how long to wait, how they begin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import attrs

from cloudllm_core.errors import BadResponse

from .arguments import sound

PREVIEW = 200
"""Characters of a strange answer that an error shows."""

SENTENCE = 1000
"""Characters of a server's message that an error shows."""


@attrs.frozen(kw_only=True)
class Origin:
    """Whose words these are: what every error of one call has in common."""

    provider: str = ""
    model: str = ""
    status: int | None = None
    request_id: str = ""
    api: str = "the API"
    """What was talked to, and what is good to know of its address."""

    key_hint: str = "Check the API key."
    """What to do about a key that is refused."""

    def facts(self) -> dict[str, Any]:
        """What the errors of the kernel are told."""
        return {
            "provider": self.provider,
            "model": self.model,
            "status": self.status,
            "request_id": self.request_id,
        }


def bad_response(what: str, body: str, origin: Origin) -> BadResponse:
    """An answer that is none: *what* is wrong with it, and how it begins."""
    shown = preview(body)
    began = f"; it begins with {shown!r}" if shown else ""
    hint = f"Check that base_url leads to {origin.api}."
    return BadResponse(**origin.facts(), problem=f"the answer {what}{began}", hint=hint)


def preview(text: str) -> str:
    """The first characters of *text*, on one line."""
    return " ".join(text[: PREVIEW * 4].split())[:PREVIEW]


def sentence(text: str) -> str:
    """A server's message on one line, without the full stop that an error puts itself."""
    text = " ".join(sound(text[: SENTENCE * 4]).split())
    return (text if len(text) <= SENTENCE else text[: SENTENCE - 3] + "...").rstrip(".") or "no explanation"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait, from ``retry-after-ms`` or ``retry-after`` (seconds or a date), or None."""
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def number(value: str | None) -> float | None:
    """The number in *value*, if it is one that a clock can count to."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None
