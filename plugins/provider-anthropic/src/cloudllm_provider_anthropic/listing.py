"""The models that a server says it has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from cloudllm_provider_http import Origin, bad_response, read_json

PAGE = 32 * 1024 * 1024
"""Bytes a page of the list may have."""

PAGES = 100
"""Pages it may have; one holds 1000 models."""


async def listed(page: Callable[[str], Awaitable[bytes]], origin: Origin) -> tuple[str, ...]:
    """
    The models' names, sorted, from each *page* by its path.

    Raises:
        BadResponse: what came is no list of models, or one without an end.
    """
    names: set[str] = set()
    path = "/v1/models?limit=1000"
    for _ in range(PAGES):
        body = _parsed(await page(path), origin)
        found = (model.get("id") for model in body["data"] if isinstance(model, Mapping))
        names |= {name for name in found if isinstance(name, str)}
        if body.get("has_more") is not True or not body.get("last_id"):
            return tuple(sorted(names))
        path = f"/v1/models?limit=1000&after_id={quote(str(body['last_id']), safe='')}"
    raise bad_response(f"has more than {PAGES} pages", "", origin)


def _parsed(content: bytes, origin: Origin) -> Mapping[str, Any]:
    try:
        body = read_json(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, Mapping) or not isinstance(body.get("data"), list):
        raise bad_response("is no list of models", content[:4000].decode("utf-8", "replace"), origin)
    return body
