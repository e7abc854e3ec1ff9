"""What a model wrote as arguments of a call, read strictly: a guess would be a call nobody asked for."""

from __future__ import annotations

import json
import re
from typing import Any

DEPTH = 64
"""Deeper nesting than this is refused."""

_LONE = re.compile("[\ud800-\udfff]")


class Malformed(ValueError):
    """Arguments that must not be run; the message says why, for the model to read."""


def sound(text: str) -> str:
    """*text* with split surrogate pairs joined and lone surrogates replaced, so that it can be encoded."""
    if not _LONE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encodable(value: Any) -> Any:
    """*value*, parsed JSON that is kept as it came, `sound` wherever there is text in it."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(sound(text)) if _LONE.search(text) else value


def parse_arguments(raw: str) -> dict[str, Any]:
    """
    The arguments in *raw*; an empty text is the wire's way to say that there are none.

    Raises:
        Malformed: not JSON, not an object, NaN or Infinity, a key twice, or nested too deeply.
    """
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_constant, parse_float=_float, object_pairs_hook=_object)
    except Malformed:
        raise
    except RecursionError:
        raise Malformed(f"the arguments are nested deeper than {DEPTH} levels") from None
    except ValueError as problem:
        raise Malformed(f"the arguments are not valid JSON: {problem}") from None
    if not isinstance(value, dict):
        raise Malformed(f"the arguments are JSON but not an object: {type(value).__name__}")
    if _depth(value) > DEPTH:
        raise Malformed(f"the arguments are nested deeper than {DEPTH} levels")
    return {key: _sound(item) for key, item in value.items()}


def _constant(word: str) -> Any:
    raise Malformed(f"the arguments contain {word}, which JSON does not have")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Malformed(f"the number {text[:40]} in the arguments is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for written, value in pairs:
        key = sound(written)
        if key in found:
            raise Malformed(f"the arguments have the key {key!r} twice")
        found[key] = value
    return found


def _depth(value: Any) -> int:
    deepest, open_values = 0, [(value, 1)]
    while open_values:
        item, depth = open_values.pop()
        if isinstance(item, (dict, list)):
            deepest = max(deepest, depth)
            open_values += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, list):
        return [_sound(item) for item in value]
    if isinstance(value, dict):
        return {key: _sound(item) for key, item in value.items()}
    return value
