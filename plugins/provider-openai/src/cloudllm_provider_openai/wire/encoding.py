"""A body as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudllm_provider_http import compact, quoted
from cloudllm_provider_http import encode as encode_body

HISTORY = ("messages", "input")
"""The fields with the conversation, in one API and the other."""

PLAIN = {"role", "content"}
"""The fields of a message that is nothing but text."""


def encode(body: Mapping[str, Any]) -> bytes:
    """
    *body* as bytes; lone surrogates, which no encoding knows, are replaced.

    Raises:
        ValueError, TypeError: an option holds what JSON does not have.
    """
    return encode_body(body, HISTORY, _message)


def _message(message: Any) -> str:
    if type(message) is dict and message.keys() == PLAIN and type(text := message["content"]) is str:
        return f'{{"role":{quoted(message["role"])},"content":{quoted(text)}}}'
    return compact(message)
