"""Whether a definition and a function belong together, by the rules of `@tool` and a few more."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from cloudllm_core import ToolDefinition, tool
from cloudllm_core.errors import ToolSchemaError


def check_definition(definition: ToolDefinition, fn: Callable[..., Any]) -> ToolDefinition:
    """
    *definition*, with a copy of its schema that nobody can change.

    Raises:
        ToolSchemaError: a model or the kernel could not use it, or *fn* could not take the arguments it asks for.
    """
    options = {field.name: getattr(definition, field.name) for field in attrs.fields(ToolDefinition)}
    del options["parameters"]
    definition_of(is_async=inspect.iscoroutinefunction(fn), **options)
    for problem, remedy in itertools.chain(_of_schema(definition.parameters), _of_function(fn, definition.parameters)):
        raise ToolSchemaError(definition.name, problem, remedy)
    return attrs.evolve(definition, parameters=json.loads(json.dumps(definition.parameters)))


def definition_of(*, is_async: bool, **options: Any) -> ToolDefinition:
    """A definition without parameters. Raises: ToolSchemaError: one of *options* is not what `@tool` would take."""
    return tool(**options)(_later if is_async else _now).definition


def _now() -> None:
    """Stands for a function, so that `@tool` judges the rest."""


async def _later() -> None:
    """Likewise, for an async one."""


def _of_schema(schema: Any) -> Iterator[tuple[str, str]]:
    try:
        same = json.loads(json.dumps(schema, allow_nan=False)) == schema
    except (TypeError, ValueError, RecursionError):
        same = False
    remedy = 'Write {"type": "object", "properties": {...}, "required": [...]}.'
    if not same or not isinstance(schema, Mapping):
        yield "its parameters are not plain JSON", remedy
    elif schema.get("type") != "object" or not (
        isinstance(schema.get("properties", {}), Mapping) and isinstance(schema.get("required", []), list)
    ):
        yield "its parameters are not the JSON Schema of an object", remedy


def _of_function(fn: Callable[..., Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What keeps *fn* from taking the arguments that fit *schema*, by name."""
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        yield "its function yields, and a call has one result", "Return a list instead."
    try:
        takes = inspect.signature(fn).parameters
    except (TypeError, ValueError):
        yield "nobody can see which arguments its function takes", "Wrap it in a def."
        return
    known, required = schema.get("properties", {}), schema.get("required", [])
    named = {p.name for p in takes.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        for name in known:
            if name not in named:
                yield f"its function has no parameter {name!r}", f"Add it, or **arguments, or take {name!r} out."
    for p in takes.values():
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) or p.default is not p.empty:
            continue
        if p.name not in named:
            yield f"its function's parameter {p.name!r} is positional-only", "Remove the / from its signature."
        if p.name not in required:
            remedy = f"Name {p.name!r} in 'required', or give it a default."
            yield f"its function needs {p.name!r}, and a model may leave it out", remedy
