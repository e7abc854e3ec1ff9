"""The models that the API says it has."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from cloudllm_provider_http import Origin, bad_response

PAGE = 32 * 1024 * 1024
"""Bytes a page of the list may have."""

PAGES = 100
"""Pages it may have; one holds 1000 models."""


async def listed(page: Callable[[str], Awaitable[bytes]], origin: Origin) -> tuple[str, ...]:
    """
    The names of the models that generate content, sorted, from each *page* by its path.

    Raises:
        BadResponse: what came is no list of models, or one without an end.
    """
    names: set[str] = set()
    path = "models?pageSize=1000"
    for _ in range(PAGES):
        body = _parsed(await page(path), origin)
        names |= {model["name"].removeprefix("models/") for model in body.get("models", ()) if _talks(model)}
        if not body.get("nextPageToken"):
            return tuple(sorted(names))
        path = f"models?pageSize=1000&pageToken={quote(str(body['nextPageToken']), safe='')}"
    raise bad_response(f"has more than {PAGES} pages", "", origin)


def _talks(model: Any) -> bool:
    """Whether *model* can be asked; a list without methods does not say, and is believed."""
    if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
        return False
    return "generateContent" in model.get("supportedGenerationMethods", ("generateContent",))


def _parsed(content: bytes, origin: Origin) -> Mapping[str, Any]:
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, Mapping) or not isinstance(body.get("models", []), list):
        raise bad_response("is no list of models", content[:4000].decode("utf-8", "replace"), origin)
    return body
