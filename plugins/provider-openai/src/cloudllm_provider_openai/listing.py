"""The models that a server says it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cloudllm_provider_http import Origin, bad_response

LONGEST = 32 * 1024 * 1024
"""Bytes a list may have; OpenRouter's has one megabyte."""


def names(content: bytes, origin: Origin) -> tuple[str, ...]:
    """
    The models' names in *content*, sorted.

    Raises:
        BadResponse: it is no list of models.
    """
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    models = body.get("data") if isinstance(body, Mapping) else body  # Together sends the bare list
    if not isinstance(models, list):
        raise bad_response("is no list of models", content[:4000].decode("utf-8", "replace"), origin)
    found = (model.get("id") for model in models if isinstance(model, Mapping))
    return tuple(sorted({name for name in found if isinstance(name, str)}))
