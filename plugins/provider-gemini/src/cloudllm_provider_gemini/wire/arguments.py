"""What a model wrote as arguments of a call, read strictly: a guess would be a call nobody asked for."""

from __future__ import annotations

import json
import math
from typing import Any

from cloudllm_provider_http import DEPTH, Malformed, sound


class Doubled(dict[str, Any]):
    """An object that was written with a key twice."""

    key: str = ""


def parse_json(text: str) -> Any:
    """
    The value in *text*; where it may hold a call, what is wrong with its arguments stays visible.

    This wire sends arguments as an object within the answer, not as text, so a key written twice or
    a number too large must be noticed when the answer itself is read. Such an object is a `Doubled`,
    and such a number is infinite.

    Raises:
        ValueError: it is not JSON. RecursionError: it is nested too deeply to be read.
    """
    if "functionCall" not in text:
        return json.loads(text)
    return json.loads(text, parse_int=_integer, object_pairs_hook=_object)


def _integer(text: str) -> float:
    try:
        return int(text)
    except ValueError:  # more digits than Python reads
        return math.inf


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled, seen = Doubled(found), set()
    for key, _ in pairs:
        if key in seen:
            doubled.key = key
        seen.add(key)
    return doubled


def checked(value: Any) -> dict[str, Any]:
    """
    The arguments in *value*; none at all is the wire's way to say that there are none.

    Raises:
        Malformed: not an object, NaN or Infinity, a key twice, or nested too deeply.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"the arguments are JSON but not an object: {type(value).__name__}")
    open_values: list[tuple[Any, int]] = [(value, 1)]
    while open_values:
        item, depth = open_values.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise Malformed("the arguments contain a number that is NaN, infinite or too large")
        if isinstance(item, Doubled):
            raise Malformed(f"the arguments have the key {sound(item.key)!r} twice")
        if isinstance(item, (dict, list)):
            if depth > DEPTH:
                raise Malformed(f"the arguments are nested deeper than {DEPTH} levels")
            open_values += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    found: dict[str, Any] = _sound(value)
    return found


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, list):
        return [_sound(item) for item in value]
    if isinstance(value, dict):
        found = {sound(key): _sound(item) for key, item in value.items()}
        if len(found) < len(value):
            raise Malformed("the arguments have two keys that differ only in broken characters")
        return found
    return value


def plain(value: Any) -> Any:
    """*value*, kept for its own sake, as JSON that a journal can hold; what is none is replaced by the reason."""
    try:
        return checked({"it": value})["it"]
    except Malformed as problem:
        return {"unreadable": str(problem)}


def written(value: Any) -> str:
    """*value* as JSON again, for the model to read what it wrote; empty where that cannot be done."""
    try:
        return sound(json.dumps(value, ensure_ascii=False))
    except (ValueError, RecursionError):
        return ""
