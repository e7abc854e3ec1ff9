"""
JSON Schemas as the API's structured output takes them: a part of JSON Schema, and strict about objects.

Bounds and patterns are left out, since the kernel checks the answer anyway; a schema with a place
where anything may stand cannot be enforced, and is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEPT = ("title", "description", "enum", "const", "$ref")
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})


def schema_for(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """*schema* as the API enforces it, or None if it cannot: not an object, open somewhere, or holding itself."""
    try:
        found = _converted(schema, 0)
    except (ValueError, AttributeError, TypeError):
        return None
    return found if found.get("type") == "object" or "$ref" in found else None


def _converted(schema: Mapping[str, Any], level: int) -> dict[str, Any]:
    if level > 64:
        raise ValueError("too deep")
    found: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
    if "$defs" in schema:
        found["$defs"] = {name: _converted(of, level + 1) for name, of in schema["$defs"].items()}
    if "$ref" in found or "enum" in found or "const" in found:
        return found
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return found | {"anyOf": [_converted(choice, level + 1) for choice in schema[key]]}
    kind = schema.get("type")
    if isinstance(kind, list):
        return found | {"anyOf": [_converted({**schema, "type": each}, level + 1) for each in kind]}
    if kind not in _TYPES or "allOf" in schema or "prefixItems" in schema:
        raise ValueError("open")
    return found | {"type": kind} | _inside(schema, kind, level + 1)


def _inside(schema: Mapping[str, Any], kind: str, level: int) -> dict[str, Any]:
    if kind == "string":
        return {"format": schema["format"]} if schema.get("format") in _FORMATS else {}
    if kind == "array":
        return {"items": _converted(schema["items"], level)} if "items" in schema else _open()
    if kind == "object":
        if "properties" not in schema or schema.get("additionalProperties"):
            _open()
        properties = {name: _converted(of, level) for name, of in schema["properties"].items()}
        required = {"required": list(schema["required"])} if schema.get("required") else {}
        return {"properties": properties, **required, "additionalProperties": False}
    return {}


def _open() -> dict[str, Any]:
    raise ValueError("anything may stand here")
