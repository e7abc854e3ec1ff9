"""
What may go into a store, checked at the door: for whoever writes one.

Every check raises `SettingsError`, which names what was found and what is expected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from ._messages import Json, JsonObject
from ._settings import show
from .errors import SettingsError

KEY_LENGTH = 512
"""Characters a key may have."""

JSON = "JSON: nothing, true, false, finite numbers, text, lists, objects whose keys are text; not too deep"
SNAPSHOT = "a snapshot of a store: {'items': [{'key': ..., 'value': ..., 'ttl': ...}, ...]}"


@attrs.frozen
class Written:
    """A value as text, and what a reader of that text gets."""

    text: str
    copy: Any


Entries: TypeAlias = list[tuple[str, Written, float | None]]
"""What a snapshot holds: keys, values, lifetimes."""


def checked_key(key: Any) -> str:
    """*key*, if it can be one. Raises: SettingsError."""
    if not isinstance(key, str) or not 0 < len(key) <= KEY_LENGTH or not key.isprintable():
        raise SettingsError("key", show(key), f"text of 1 to {KEY_LENGTH} printable characters")
    return key


def checked_prefix(prefix: Any) -> str:
    """*prefix*, if it is text. Raises: SettingsError."""
    if not isinstance(prefix, str):
        raise SettingsError("prefix", show(prefix), "text with which keys begin")
    return prefix


def checked_ttl(ttl: Any) -> float | None:
    """*ttl* in seconds, if it can be a lifetime. Raises: SettingsError."""
    number = isinstance(ttl, (int, float)) and not isinstance(ttl, bool)
    if ttl is not None and not (number and 0 < ttl <= 1e11):
        raise SettingsError("ttl", show(ttl), "seconds above 0 and below 1e11, or nothing")
    return None if ttl is None else float(ttl)


def checked_value(value: Any, where: str = "value") -> Written:
    """
    *value* as JSON text: ASCII, without spaces.

    Raises:
        SettingsError: it is not JSON. What a reader would not get back as it is (tuples, numbers as keys) is not.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        copy = json.loads(text)
        same = copy == value
    except (TypeError, ValueError, RecursionError) as problem:
        raise SettingsError(where, show(value), JSON) from problem
    if not same:
        raise SettingsError(where, show(value), JSON)
    return Written(text, copy)


def checked_snapshot(snapshot: Any) -> Entries:
    """What *snapshot* holds. Raises: SettingsError."""
    items = snapshot.get("items") if isinstance(snapshot, Mapping) else None
    if not isinstance(items, (list, tuple)):
        raise SettingsError("snapshot", show(snapshot), SNAPSHOT)
    checked: dict[str, tuple[str, Written, float | None]] = {}
    for nth, item in enumerate(items):
        if not isinstance(item, Mapping) or not {"key", "value"} <= set(item):
            raise SettingsError(f"snapshot: items[{nth}]", show(item), SNAPSHOT)
        key = checked_key(item["key"])
        if key in checked:
            raise SettingsError(f"snapshot: items[{nth}]", f"the key {key!r} again", "each key once")
        checked[key] = key, checked_value(item["value"]), checked_ttl(item.get("ttl"))
    return list(checked.values())


def checked_where(where: Any) -> dict[str, str]:
    """The fields of *where*, each wanted value as JSON text. Raises: SettingsError."""
    if not isinstance(where, Mapping) or not all(isinstance(name, str) for name in where):
        raise SettingsError("where", show(where), "fields by name")
    return {name: checked_value(want, f"where.{name}").text for name, want in where.items()}


def matches(value: Json, where: JsonObject) -> bool:
    """Whether *value* is an object with these fields; true is not 1."""
    return isinstance(value, dict) and all(
        key in value and value[key] == want and type(value[key]) is type(want) for key, want in where.items()
    )
