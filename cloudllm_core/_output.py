"""Structured output: the type an answer must have, how a model is told, and the answer read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

import attrs

from ._journal import encode
from ._messages import JsonObject
from ._schema import check, schema_of
from ._settings import structure
from .errors import CloudLLMError, SettingsError

FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)

ASK = "Give your final answer as JSON alone, without any words around it, fitting this JSON Schema:\n{schema}"
REPAIR = "That answer cannot be used: {problem}. Give it again, whole, as JSON alone that fits the schema."


@attrs.frozen
class Shape:
    """The type of an answer."""

    type: Any
    schema: JsonObject
    build: Callable[[Any], Any]

    @classmethod
    def of(cls, type: Any, where: str = "output") -> Shape:
        """
        The shape of an attrs class, a TypedDict, a pydantic model or any annotation that JSON has a form for.

        Raises:
            SettingsError: it has none.
        """
        if hasattr(type, "model_json_schema") and hasattr(type, "model_validate"):  # pydantic's, if the user brings it
            return cls(type, type.model_json_schema(), type.model_validate)
        try:
            schema = schema_of(type)
        except (CloudLLMError, TypeError, NameError) as problem:
            expected = "an attrs class, a TypedDict, a pydantic model, or an annotation such as list[str]"
            raise SettingsError(where, getattr(type, "__name__", repr(type)), expected, f"{problem}") from problem
        return cls(type, schema, lambda value: structure(type, value, "answer"))

    @property
    def instruction(self) -> str:
        """What a model is told, also one whose provider knows of no schemas."""
        return ASK.format(schema=encode(dict(self.schema)))

    def read(self, text: str) -> Any:
        """
        The answer in *text*, which may stand in a fence of code.

        Raises:
            ValueError: it is none, in words for the model.
        """
        fenced = FENCED.fullmatch(text)
        try:
            value = json.loads(fenced[1] if fenced else text, parse_constant=_refuse, object_pairs_hook=_object)
        except (ValueError, RecursionError) as problem:
            raise ValueError(f"it is not JSON ({problem})") from problem
        if problems := check(self.schema, value):
            raise ValueError("; ".join(problems))
        try:
            return self.build(value)
        except (CloudLLMError, ValueError, TypeError) as problem:
            raise ValueError(str(problem).rstrip(".")) from problem


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        repeated = next(key for key, _ in pairs if [other for other, _ in pairs].count(key) > 1)
        raise ValueError(f"the key {repeated!r} comes twice")
    return value
