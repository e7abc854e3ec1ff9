"""A body as bytes."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from .arguments import sound

HISTORY = "messages"
"""The field with the conversation."""

LENGTH = 8_000
"""Characters of a text that is kept as it was written; longer ones would make the memory of it large."""

_written = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode(body: Mapping[str, Any]) -> bytes:
    """
    *body* as bytes; lone surrogates, which no encoding knows, are replaced.

    A conversation is sent again with each call; its texts are written once.

    Raises:
        ValueError, TypeError: an option holds what JSON does not have.
    """
    said = body.get(HISTORY)
    rest = _written({name: value for name, value in body.items() if name != HISTORY})[1:-1]
    history = f'"{HISTORY}":[{",".join(map(_message, said))}]' if isinstance(said, list) else ""
    text = f"{{{','.join(filter(None, (rest, history)))}}}"
    try:
        return text.encode()
    except UnicodeEncodeError:
        return sound(text).encode()


def _message(message: dict[str, Any]) -> str:
    return f'{{"role":"{message["role"]}","content":[{",".join(map(_block, message["content"]))}]}}'


def _block(block: dict[str, Any]) -> str:
    if len(block) == 2 and block.get("type") == "text" and type(text := block.get("text")) is str:
        return f'{{"type":"text","text":{_quoted(text)}}}'
    return _written(block)


def _quoted(text: str) -> str:
    return _kept(text) if len(text) <= LENGTH else encode_basestring(text)


@functools.lru_cache(maxsize=2048)
def _kept(text: str) -> str:
    return encode_basestring(text)
