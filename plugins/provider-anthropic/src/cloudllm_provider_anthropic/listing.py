"""The models that a server says it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .connection import answered
from .wire import Origin, bad_response, read_json

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

PAGE = 32 * 1024 * 1024
"""Bytes a page of the list may have."""

PAGES = 100
"""Pages it may have; one holds 1000 models."""


async def listed(client: AsyncAnthropic, origin: Origin) -> tuple[str, ...]:
    """
    The models' names, sorted.

    Raises:
        BadResponse: what came is no list of models, or one without an end. And what the SDK raises.
    """
    names: set[str] = set()
    path = "/v1/models?limit=1000"
    for _ in range(PAGES):
        page = await _page(client, path, origin)
        found = (model.get("id") for model in page["data"] if isinstance(model, Mapping))
        names |= {name for name in found if isinstance(name, str)}
        if page.get("has_more") is not True or not page.get("last_id"):
            return tuple(sorted(names))
        path = f"/v1/models?limit=1000&after_id={quote(str(page['last_id']), safe='')}"
    raise bad_response(f"has more than {PAGES} pages", "", origin)


async def _page(client: AsyncAnthropic, path: str, origin: Origin) -> Mapping[str, Any]:
    content = bytearray()
    async with answered(client, path) as response:
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > PAGE:
                raise bad_response(f"is longer than {PAGE} bytes", "", origin)
    try:
        body = read_json(bytes(content))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, Mapping) or not isinstance(body.get("data"), list):
        raise bad_response("is no list of models", content[:4000].decode("utf-8", "replace"), origin)
    return body
