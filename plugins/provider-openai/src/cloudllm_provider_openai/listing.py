"""The models that a server says it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .connection import answered
from .wire import Origin, bad_response

if TYPE_CHECKING:
    from openai import AsyncOpenAI

LONGEST = 32 * 1024 * 1024
"""Bytes a list may have; OpenRouter's has one megabyte."""


async def listed(client: AsyncOpenAI, origin: Origin) -> tuple[str, ...]:
    """
    The models' names, sorted.

    Raises:
        BadResponse: what came is no list of models. And what the SDK raises.
    """
    content = bytearray()
    async with answered(client, "/models") as response:
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > LONGEST:
                raise bad_response(f"is longer than {LONGEST} bytes", "", origin)
    return _names(bytes(content), origin)


def _names(content: bytes, origin: Origin) -> tuple[str, ...]:
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    models = body.get("data") if isinstance(body, Mapping) else body  # Together sends the bare list
    if not isinstance(models, list):
        raise bad_response("is no list of models", content[:4000].decode("utf-8", "replace"), origin)
    names = (model.get("id") for model in models if isinstance(model, Mapping))
    return tuple(sorted({name for name in names if isinstance(name, str)}))
