"""
JSON Schema: written from annotations and docstrings (`schema_of`, `parameters_of`), and checked (`check`).

What passes `check` for an annotation's schema, `_settings.structure` turns into what the annotation says.
"""

from __future__ import annotations

import enum
import inspect
import json
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from pathlib import PurePath
from typing import Any, get_args, get_origin

import attrs

from ._contracts import Hub, ToolContext
from ._messages import Json
from ._settings import hints_of, required_keys, show
from .errors import ToolSchemaError, near_miss

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}
_SECTION = re.compile(r"(Args|Arguments|Parameters):\s*")
_ENTRY = re.compile(r"\s*(?::param\s+(?:\S+\s+)??)?(?P<name>\w+)\s*(?:\([^)]*\)\s*)?:(?:\s+(?P<text>.*)|$)")


def schema_of(annotation: Any, inside: tuple[type, ...] = ()) -> dict[str, Json]:
    """
    The JSON Schema of what *annotation* allows; *inside* are the classes whose fields led to it.

    Raises:
        TypeError: JSON has no form for it.
        NameError: it names something that cannot be found.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, (str, typing.ForwardRef)):
        text = getattr(annotation, "__forward_arg__", annotation)
        raise NameError(f"its annotation {text!r} is not known where it stands")
    if annotation is Any or annotation is object:
        return {}
    if origin in (typing.Annotated, typing.Required, typing.NotRequired):
        notes = [note for note in args[1:] if isinstance(note, str)]
        return schema_of(args[0], inside) | ({"description": notes[0]} if notes else {})
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(choice, inside) for choice in args]}
    if target := getattr(annotation, "__supertype__", None):  # a NewType
        return schema_of(target, inside)
    cls = types.NoneType if annotation is None else origin or annotation
    schema = _choices(args) if origin is typing.Literal else None
    if isinstance(cls, type):
        schema = _schema_of_class(cls, args, inside)
    if schema is None:
        raise TypeError(f"JSON has no form for its annotation {inspect.formatannotation(annotation)}")
    return schema


def _schema_of_class(cls: type, args: tuple[Any, ...], inside: tuple[type, ...]) -> dict[str, Json] | None:
    if cls in _TYPES:
        return {"type": _TYPES[cls]}
    if issubclass(cls, enum.Enum):
        return _choices(cls)
    if issubclass(cls, PurePath):
        return {"type": "string"}
    if typing.is_typeddict(cls) or attrs.has(cls):
        return _schema_of_fields(cls, (*inside, cls))
    named = cls.__module__ == "collections.abc" and issubclass(cls, Collection)
    if not named and cls not in (list, dict, tuple, set, frozenset, Iterable):
        return None
    if issubclass(cls, Mapping):
        values = schema_of(args[1], inside) if args else {}
        if args and args[0] not in (str, Any):
            return None
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if cls is tuple and args and args[-1] is not Ellipsis:
        each = [schema_of(of, inside) for of in args]
        return {"type": "array", "prefixItems": each, "minItems": len(each), "maxItems": len(each)}
    items = schema_of(args[0], inside) if args else {}
    unique = {"uniqueItems": True} if issubclass(cls, Set) else {}
    return {"type": "array"} | ({"items": items} if items else {}) | unique


def _choices(choices: Iterable[Any]) -> dict[str, Json] | None:
    values = [choice.value if isinstance(choice, enum.Enum) else choice for choice in choices]
    kinds = {_TYPES.get(type(value)) for value in values}
    return None if None in kinds else ({"type": kinds.pop()} if len(kinds) == 1 else {}) | {"enum": values}


def _schema_of_fields(cls: Any, inside: tuple[type, ...]) -> dict[str, Json]:
    if cls in inside[:-1]:
        raise TypeError(f"{cls.__name__} holds itself, and its schema would have no end")
    hints = hints_of(cls)
    if not typing.is_typeddict(cls):
        return _object_of(inspect.signature(cls).parameters.values(), hints, {}, inside)
    properties = {key: schema_of(hint, inside) for key, hint in hints.items()}
    return _object(properties, sorted(required_keys(cls, hints)))


def _object_of(
    parameters: Iterable[inspect.Parameter],
    hints: Mapping[str, Any],
    told: Mapping[str, str],
    inside: tuple[type, ...] = (),
) -> dict[str, Json]:
    properties, required = {}, []
    for p in parameters:
        description = {"description": told[p.name]} if p.name in told else {}
        properties[p.name] = schema = description | schema_of(hints.get(p.name, Any), inside)
        if p.default is p.empty:
            required.append(p.name)
            continue
        try:
            raw = p.default.value if isinstance(p.default, enum.Enum) else p.default
            default = json.loads(json.dumps(raw, allow_nan=False))
        except (TypeError, ValueError):
            continue
        if not check(schema, default):
            schema["default"] = default
    return _object(properties, required)


def _object(properties: dict[str, Json], required: list[str]) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def parameters_of(fn: Callable[..., Any]) -> tuple[dict[str, Json], dict[str, type]]:
    """
    The JSON Schema of *fn*'s arguments; and the arguments the kernel gives (`ToolContext`, `Hub`), by name.

    Raises:
        ToolSchemaError: a parameter that a model could not give.
    """
    tool, hints, hidden = getattr(fn, "__name__", str(fn)), hints_of(fn), dict[str, type]()
    shown: list[inspect.Parameter] = []
    for p in inspect.signature(fn).parameters.values():
        hint, problem, remedy = hints.get(p.name), "", ""
        if is_self(p):
            continue
        if p.kind is p.POSITIONAL_ONLY:
            problem, remedy = f"its parameter {p.name!r} is positional-only", "Remove the / from its signature."
        elif p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            problem, remedy = f"a model cannot name what goes into {str(p).partition(':')[0]}", "Name each parameter."
        elif p.name not in hints:
            problem, remedy = f"its parameter {p.name!r} has no annotation", f"Write {p.name}: str, or what it takes."
        elif given := [kind for kind in (ToolContext, Hub) if hint in (kind, kind | None)]:
            hidden[p.name] = given[0]
        else:
            shown.append(p)
        if problem:
            raise ToolSchemaError(tool, problem, remedy)
    try:
        return _object_of(shown, hints, describe(fn)[1]), hidden
    except NameError as unknown:
        remedy = "Define or import it above the function, at the top of the module, not under TYPE_CHECKING."
        raise ToolSchemaError(tool, str(unknown), remedy) from unknown
    except TypeError as formless:
        remedy = "Use str, int, float, bool, list, dict, Literal, enums, TypedDict or attrs classes."
        raise ToolSchemaError(tool, str(formless), remedy) from formless


def is_self(parameter: inspect.Parameter) -> bool:
    """Whether this is the ``self`` of a method, which nobody annotates."""
    return parameter.name == "self" and parameter.annotation is parameter.empty


def describe(fn: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The docstring without its arguments; and what it says of each (``Args:``, ``name: text``, ``:param name:``)."""
    known, prose, told = inspect.signature(fn).parameters, list[str](), dict[str, str]()
    section, current, margin = False, "", 0
    for line in inspect.cleandoc(fn.__doc__ or "").splitlines():
        indent, entry = len(line) - len(line.lstrip()), _ENTRY.match(line)
        if _SECTION.fullmatch(line):
            section, current = True, ""
        elif entry and entry["name"] in known and not (current and indent > margin):
            current, margin = entry["name"], indent
            told[current] = (entry["text"] or "").strip()
        elif current and indent > margin:
            told[current] = f"{told[current]} {line.strip()}".strip()
        elif section and indent:
            current = ""  # an argument that the function does not have
        elif not (section and not line) and not line.startswith(":type "):
            section, current = False, ""
            prose.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(prose)).strip(), {name: text for name, text in told.items() if text}


# -- checking -----------------------------------------------------------------


def check(schema: Any, value: Any) -> list[str]:
    """
    What is wrong with *value*, in sentences that a model can act on; empty if nothing is.

    Knows what tools use of JSON Schema and ignores the rest. What lies beyond 50 levels or 20,000 steps is
    not judged, nor are patterns that might match for ever; no schema, however odd, makes it raise.
    """
    try:
        return list(_Check(schema).faults(schema, value, ""))
    except RecursionError:
        return ["nested too deeply to be checked"]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    "string": ("text", lambda value: isinstance(value, str)),
    "integer": ("a whole number", lambda value: _number(value) and value % 1 == 0),
    "number": ("a number", _number),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "array": ("a list", lambda value: isinstance(value, (list, tuple))),
    "object": ("an object", lambda value: isinstance(value, Mapping)),
    "null": ("nothing", lambda value: value is None),
}
_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", operator.ge, "at least {}"),
    "maximum": ("number", operator.le, "at most {}"),
    "exclusiveMinimum": ("number", operator.gt, "more than {}"),
    "exclusiveMaximum": ("number", operator.lt, "less than {}"),
    "minLength": ("string", operator.ge, "at least {} characters"),
    "maxLength": ("string", operator.le, "at most {} characters"),
    "minItems": ("array", operator.ge, "at least {} items"),
    "maxItems": ("array", operator.le, "at most {} items"),
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, and true is not 1."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _matches(pattern: str, text: str) -> bool:
    free = re.sub(r"\\.|\(\?", "", pattern)  # `re` backtracks and cannot be stopped: only what must end is tried
    if max(len(text), len(pattern)) > 200 or re.search(r"\)[*+{]", free) or len(re.findall(r"[*+?]|\{\d*,", free)) > 3:
        return True
    try:
        return bool(re.search(pattern, text))
    except (re.error, OverflowError, Warning):  # written for another dialect
        return True


def _say(where: str, text: str) -> str:
    return f"{where}: {text}" if where else text


def _near(word: Any, known: list[Any]) -> str:
    miss = near_miss(word, [one for one in known if isinstance(one, str)]) if isinstance(word, str) else ""
    return miss and f" (d{miss[1:]})"


@attrs.define(eq=False)
class _Check:
    """One check: the schema that references point into, and how many steps are left."""

    root: Any
    left: int = 20_000

    def faults(self, schema: Any, value: Any, where: str, depth: int = 0) -> Iterator[str]:
        self.left -= 1
        if schema is False:
            yield _say(where, f"expected nothing, found {show(value)}")
        if not isinstance(schema, Mapping) or self.left < 0 or depth > 50:
            return
        kinds = _listed(schema.get("type")) or [schema.get("type")]
        known = [_KINDS[kind] for kind in kinds if isinstance(kind, str) and kind in _KINDS]
        if len(known) == len(kinds) and not any(holds(value) for _, holds in known):
            yield _say(where, f"expected {' or '.join(words for words, _ in known)}, found {show(value)}")
            return
        yield from (_say(where, fault) for fault in _faults_of_value(schema, value))
        for branch in (self.target(schema.get("$ref")), *_listed(schema.get("allOf"))):
            yield from self.faults(branch, value, where, depth + 1)
        for keyword in ("anyOf", "oneOf"):
            yield from self.of_choice(keyword, _listed(schema.get(keyword)), value, where, depth + 1)
        if isinstance(value, Mapping):
            yield from self.of_object(schema, value, where, depth + 1)
        if isinstance(value, (list, tuple)):
            first, rest = _listed(schema.get("prefixItems") or schema.get("items")), schema.get("items")
            for index, item in enumerate(value):
                item_schema = first[index] if index < len(first) else rest
                yield from self.faults(item_schema, item, f"{where}[{index}]", depth + 1)

    def target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        node = self.root
        for part in reference.split("/")[1:]:
            node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
        return node

    def of_choice(self, keyword: str, branches: list[Any], value: Any, where: str, depth: int) -> Iterator[str]:
        faults = [list(self.faults(branch, value, where, depth)) for branch in branches]
        begin, end = _say(where, "expected "), f", found {show(value)}"
        if [] in faults:
            if keyword == "oneOf" and faults.count([]) > 1:
                yield _say(where, f"{show(value)} fits {faults.count([])} of the forms allowed here, and may fit one")
        elif near := [some for some in faults if not some[0].endswith(end)]:  # a branch meant, and missed in a detail
            yield from min(near, key=len)
        elif faults:
            words = dict.fromkeys(some[0].removeprefix(begin).removesuffix(end) for some in faults)
            yield f"{begin}{' or '.join(words)}{end}"

    def of_object(self, schema: Mapping[str, Any], value: Mapping[str, Any], where: str, depth: int) -> Iterator[str]:
        properties, rest = schema.get("properties"), schema.get("additionalProperties")
        properties = properties if isinstance(properties, Mapping) else {}
        for key in _listed(schema.get("required")):
            if isinstance(key, str) and key not in value:
                yield _say(where, f"no {key!r}, which is needed")
        for key, item in value.items():
            if key in properties or (rest is not False and "patternProperties" not in schema):
                inside = f"{where}.{key}" if where else str(key)
                yield from self.faults(properties.get(key, rest), item, inside, depth)
            elif rest is False and "patternProperties" not in schema:
                known = [str(name) for name in properties]
                hint = _near(key, known) or f" (known: {', '.join(known) or 'none'})"
                yield _say(where, f"unknown {'key' if where else 'argument'} {str(key)!r}{hint}")


def _faults_of_value(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    choices = [schema["const"]] if "const" in schema else _listed(schema.get("enum"))
    if choices and not any(_same(value, choice) for choice in choices):
        words = ("one of " if len(choices) > 1 else "") + ", ".join(map(show, choices))
        yield f"expected {words}, found {show(value)}{_near(value, choices)}"
    for keyword, (kind, holds, words) in _BOUNDS.items():
        bound = schema.get(keyword)
        if _number(bound) and _KINDS[kind][1](value):
            size = value if kind == "number" else len(value)
            if not holds(size, bound):
                yield f"expected {words.format(bound)}, found {show(size)}"
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and isinstance(value, str) and not _matches(pattern, value):
        yield f"expected text that matches {pattern}, found {show(value)}"
