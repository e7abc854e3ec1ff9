"""A body as bytes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping
from json.encoder import encode_basestring
from typing import Any

from .arguments import sound

LENGTH = 8_000
"""Characters of a text that is kept as it was written; longer ones would make the memory of it large."""

compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""A value as JSON without spaces. Raises: ValueError, TypeError: it holds what JSON does not have."""


def encode(body: Mapping[str, Any], history: Collection[str], message: Callable[[Any], str]) -> bytes:
    """
    *body* as bytes; lone surrogates, which no encoding knows, are replaced.

    A conversation is sent again with each call, so its texts are written once: in the fields that *history* names,
    each item is what *message* makes of it, with `quoted` and `compact`.

    Raises:
        ValueError, TypeError: an option holds what JSON does not have.
    """
    said = {name: body[name] for name in history if isinstance(body.get(name), list)}
    rest = compact({name: value for name, value in body.items() if name not in said})[1:-1]
    histories = [f'"{name}":[{",".join(map(message, found))}]' for name, found in said.items()]
    text = f"{{{','.join(filter(None, (rest, *histories)))}}}"
    try:
        return text.encode()
    except UnicodeEncodeError:
        return sound(text).encode()


def quoted(text: str) -> str:
    """*text* as JSON."""
    return _kept(text) if len(text) <= LENGTH else encode_basestring(text)


@functools.lru_cache(maxsize=2048)
def _kept(text: str) -> str:
    return encode_basestring(text)
