"""
JSON as a model or a server wrote it, read strictly: a guess would be a call nobody asked for.

A whole answer carries its arguments as JSON within JSON, where a plain reader forgets what was odd
about them (a key twice, NaN). So odd places are read as an `Odd` that says what it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import attrs

DEPTH = 64
"""Deeper nesting than this is refused."""

_DIGITS = 4300
"""Digits of a whole number; Python refuses more, since reading them takes a time that grows with their square."""

_LONE = re.compile("[\ud800-\udfff]")


class Malformed(ValueError):
    """Arguments that must not be run; the message says why, for the model to read."""


@attrs.frozen
class Odd:
    """A value that JSON does not have, or not twice."""

    why: str


def sound(text: str) -> str:
    """*text* with split surrogate pairs joined and lone surrogates replaced, so that it can be encoded."""
    if not _LONE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_json(text: str | bytes) -> Any:
    """
    The value in *text*; what is odd in it is an `Odd`.

    Raises:
        ValueError: it is no JSON. RecursionError: it is nested beyond what Python can read.
    """
    return json.loads(text, parse_constant=_constant, parse_float=_float, parse_int=_int, object_pairs_hook=_object)


def parse_arguments(raw: str) -> dict[str, Any]:
    """
    The arguments in *raw*; an empty text is the wire's way to say that there are none.

    Raises:
        Malformed: not JSON, not an object, NaN or Infinity, a key twice, or nested too deeply.
    """
    if not raw.strip():
        return {}
    try:
        value = read_json(raw)
    except RecursionError:
        raise Malformed(f"the arguments are nested deeper than {DEPTH} levels") from None
    except ValueError as problem:
        raise Malformed(f"the arguments are not valid JSON: {problem}") from None
    return checked(value)


def checked(value: Any) -> dict[str, Any]:
    """
    *value*, as `read_json` gave it, if it may be run.

    Raises:
        Malformed: it may not.
    """
    if isinstance(value, Odd):
        raise Malformed(f"the arguments {value.why}")
    if not isinstance(value, dict):
        raise Malformed(f"the arguments are JSON but not an object: {type(value).__name__}")
    return {sound(key): _checked(item, 2) for key, item in value.items()}


def _checked(value: Any, level: int) -> Any:
    if isinstance(value, Odd):
        raise Malformed(f"the arguments {value.why}")
    if isinstance(value, str):
        return sound(value)
    if not isinstance(value, (dict, list)):
        return value
    if level > DEPTH:
        raise Malformed(f"the arguments are nested deeper than {DEPTH} levels")
    if isinstance(value, list):
        return [_checked(item, level + 1) for item in value]
    return {sound(key): _checked(item, level + 1) for key, item in value.items()}


def plain(value: Any, depth: int = DEPTH) -> Any:
    """
    *value* as JSON that can be written again: what is odd is null, what lies deeper than *depth* as well.

    For what a server says beside calls; nothing is done because of it.
    """
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, Odd):
        return None
    if not isinstance(value, (Mapping, list)):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return [plain(item, depth - 1) for item in value]
    return {sound(key): plain(item, depth - 1) for key, item in value.items()}


def written(value: Any) -> str:
    """*value* as text, for a person or a model to see what was there."""
    return json.dumps(plain(value), ensure_ascii=False)


def _constant(word: str) -> Odd:
    return Odd(f"contain {word}, which JSON does not have")


def _float(text: str) -> float | Odd:
    value = float(text)
    return Odd(f"hold the number {text[:40]}, which is too large") if value in (float("inf"), float("-inf")) else value


def _int(text: str) -> int | Odd:
    return Odd(f"hold a number of {len(text)} digits") if len(text) > _DIGITS else int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Odd:
    found: dict[str, Any] = {}
    for written_key, value in pairs:
        key = sound(written_key)
        if key in found:
            return Odd(f"have the key {key!r} twice")
        found[key] = value
    return found
