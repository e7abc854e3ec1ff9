"""A body as bytes."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from .arguments import sound

HISTORY = ("messages", "input")
"""The fields with the conversation, in one API and the other."""

PLAIN = {"role", "content"}
"""The fields of a message that is nothing but text."""

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
    said = {name: body[name] for name in HISTORY if isinstance(body.get(name), list)}
    rest = _written({name: value for name, value in body.items() if name not in said})[1:-1]
    histories = [f'"{name}":[{",".join(map(_message, found))}]' for name, found in said.items()]
    text = f"{{{','.join(filter(None, (rest, *histories)))}}}"
    try:
        return text.encode()
    except UnicodeEncodeError:
        return sound(text).encode()


def _message(message: Any) -> str:
    if type(message) is dict and message.keys() == PLAIN and type(text := message["content"]) is str:
        return f'{{"role":{encode_basestring(message["role"])},"content":{_quoted(text)}}}'
    return _written(message)


def _quoted(text: str) -> str:
    return _kept(text) if len(text) <= LENGTH else encode_basestring(text)


@functools.lru_cache(maxsize=2048)
def _kept(text: str) -> str:
    return encode_basestring(text)
