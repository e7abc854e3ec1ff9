"""The five tools as a model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from cloudllm_core import ToolDefinition

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")

_EFFECTS: dict[str, Literal["read", "idempotent"]] = {"GET": "read", "PUT": "idempotent", "DELETE": "idempotent"}
_WORDS = {
    "GET": "Fetch what is at an address on the web.",
    "POST": "Send something to an address on the web, such as a form or a new item.",
    "PUT": "Put something at an address on the web, replacing what was there.",
    "DELETE": "Delete what is at an address on the web.",
    "PATCH": "Change parts of what is at an address on the web.",
}
_RESULT = "Gives the status, the body as text and the headers, whatever the status."
_SCALAR = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean")]}


def definition(method: str, allow: Sequence[str], timeout: float, *, untrusted: bool) -> ToolDefinition:
    """The tool of *method*; its time is a little more than *timeout*, so that the request's own end is heard."""
    only = f" Only these hosts: {', '.join(allow)}." if allow else ""
    properties: dict[str, Any] = {
        "url": {"type": "string", "description": f"The address, such as https://example.com/page.{only}"},
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Request headers by name.",
        },
        "query": {
            "type": "object",
            "additionalProperties": _SCALAR,
            "description": "Query parameters by name, added to the address; they need no encoding.",
        },
    }
    if method not in {"GET", "DELETE"}:
        properties["body"] = {"description": "What to send: text as it is, or a JSON value."}
    return ToolDefinition(
        name=f"http_{method.lower()}",
        description=f"{_WORDS[method]} {_RESULT}",
        parameters={"type": "object", "properties": properties, "required": ["url"], "additionalProperties": False},
        effect=_EFFECTS.get(method, "write"),
        timeout=timeout + 5,
        needs=("network",),
        untrusted=untrusted,
    )
