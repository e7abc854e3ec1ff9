"""A body as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudllm_provider_http import compact, quoted
from cloudllm_provider_http import encode as encode_body

HISTORY = ("messages",)
"""The field with the conversation."""


def encode(body: Mapping[str, Any]) -> bytes:
    """
    *body* as bytes; lone surrogates, which no encoding knows, are replaced.

    Raises:
        ValueError, TypeError: an option holds what JSON does not have.
    """
    return encode_body(body, HISTORY, _message)


def _message(message: dict[str, Any]) -> str:
    return f'{{"role":"{message["role"]}","content":[{",".join(map(_block, message["content"]))}]}}'


def _block(block: dict[str, Any]) -> str:
    if len(block) == 2 and block.get("type") == "text" and type(text := block.get("text")) is str:
        return f'{{"type":"text","text":{quoted(text)}}}'
    return compact(block)
