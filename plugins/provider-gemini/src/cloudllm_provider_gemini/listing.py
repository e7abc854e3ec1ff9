"""The models that the API says it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs

from .connection import Connections, Door, answered, request_id
from .wire import Origin, bad_response, failure, parse_json

PAGE = 32 * 1024 * 1024
"""Bytes a page of the list may have."""

PAGES = 100
"""Pages it may have; one holds 1000 models."""


async def listed(connections: Connections, door: Door, origin: Origin) -> tuple[str, ...]:
    """
    The names of the models that generate content, sorted.

    Raises:
        ProviderError: it is no list of models, or has no end, or the API refuses. And what the transport raises.
    """
    names: set[str] = set()
    path = "models?pageSize=1000"
    for _ in range(PAGES):
        page = await _page(connections, door, path, origin)
        names |= {model["name"].removeprefix("models/") for model in page.get("models", ()) if _talks(model)}
        if not page.get("nextPageToken"):
            return tuple(sorted(names))
        path = f"models?pageSize=1000&pageToken={quote(str(page['nextPageToken']), safe='')}"
    raise bad_response(f"has more than {PAGES} pages", "", origin)


def _talks(model: Any) -> bool:
    """Whether *model* can be asked; a list without methods does not say, and is believed."""
    if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
        return False
    return "generateContent" in model.get("supportedGenerationMethods", ("generateContent",))


async def _page(connections: Connections, door: Door, path: str, origin: Origin) -> Mapping[str, Any]:
    content = bytearray()
    async with answered(connections, door, path, origin) as response:
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > PAGE:
                raise bad_response(f"is longer than {PAGE} bytes", "", origin)
    text = content.decode("utf-8", "replace")
    try:
        body: Any = parse_json(text)
    except (ValueError, RecursionError):
        body = text
    if response.status_code != 200:
        own = attrs.evolve(origin, status=response.status_code, request_id=request_id(response.headers))
        raise failure(body, own, response.headers)
    if not isinstance(body, Mapping) or not isinstance(body.get("models", []), list):
        raise bad_response("is no list of models", text[:4000], origin)
    return body
