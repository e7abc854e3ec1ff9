"""A JSON Schema as the wire takes it for structured output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KNOWN = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "description"}
    | {"title", "$defs", "$ref"}
)
"""Keywords that strict decoding knows wherever it exists."""

DEEPEST = 10
"""Levels of nesting that OpenAI's strict mode takes."""


class _Loose(Exception):
    """A schema that strict decoding cannot enforce."""


def output_format(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """
    Name, schema and strictness for an answer that must fit *schema*; None where the API takes no such schema.

    Strict decoding wants every object closed and every property required; a schema that is not so is
    sent as it is, for the server to follow as well as it can.
    """
    if schema.get("type") != "object" or "anyOf" in schema:
        return None
    strict = strict_schema(schema)
    return {"name": "answer", "schema": dict(schema) if strict is None else strict, "strict": strict is not None}


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """*schema* with its objects closed, if strict decoding can enforce it without changing what it means."""
    try:
        return _strict(schema, 0)
    except _Loose:
        return None


def _strict(node: Any, depth: int) -> dict[str, Any]:
    if not isinstance(node, Mapping) or not KNOWN.issuperset(node) or depth > DEEPEST:
        raise _Loose
    if "$ref" in node:
        if len(node) > 1:
            raise _Loose
        return dict(node)
    found = dict(node)
    if definitions := node.get("$defs"):
        found["$defs"] = {name: _strict(each, depth) for name, each in definitions.items()}
    if "anyOf" in node:
        return found | {"anyOf": [_strict(each, depth) for each in node["anyOf"]]}
    kind = found["type"] = node["type"] if "type" in node else _kind_of(node)
    if kind == "object" or "properties" in node:
        return found | _closed(node, depth)
    if kind == "array":
        found["items"] = _strict(node.get("items"), depth + 1)
    return found


def _closed(node: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = node.get("properties")
    if not isinstance(properties, Mapping) or node.get("additionalProperties", False) is not False:
        raise _Loose
    if set(node.get("required", ())) != set(properties):
        raise _Loose
    inner = {name: _strict(each, depth + 1) for name, each in properties.items()}
    return {"properties": inner, "additionalProperties": False}


def _kind_of(node: Mapping[str, Any]) -> str:
    """The type of a schema that lists its values instead; strict decoding wants it said."""
    values = [node["const"]] if "const" in node else node.get("enum") or []
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return "string"
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "integer"
    raise _Loose
