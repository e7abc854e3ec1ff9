"""
Plain data to objects and back: how a table of a team file becomes a mode, a sink or a tool source.

`from_settings` reads a class's own parameters and annotations; there is no second list of options
anywhere. `plain` gives the data back, for the journal's first record.
"""

from __future__ import annotations

import enum
import inspect
import re
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from decimal import Decimal
from pathlib import PurePath
from typing import Any, ClassVar, Self, TypeVar, get_args, get_origin

import attrs

from ._secrets import is_secret, masked
from .errors import SettingsError, near_miss

T = TypeVar("T")


def from_settings(make: Callable[..., T], settings: Mapping[str, Any], where: str = "") -> T:
    """
    Call *make* with *settings* as keyword arguments, each checked against its annotation.

    Tables become attrs classes where the annotation names one; values the annotation does not
    describe are passed on as they are, and the class's own validators judge them.

    Raises:
        SettingsError: an unknown or missing setting, or a value of the wrong type.
    """
    given = getattr(make, "name", None)  # of a class with a field `name` it is the slot, not a name
    name = given if isinstance(given, str) else getattr(make, "__name__", str(make))
    parameters = inspect.signature(make).parameters
    hints = hints_of(make)
    known = [p.name for p in parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in settings:
        if key not in known and not open_ended:
            expected = f"one of {', '.join(known)} for {name!r}" if known else f"nothing: {name!r} has no settings"
            raise SettingsError(_at(where, key), f"the unknown setting {key!r}", expected, near_miss(key, known))
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in settings:
            raise SettingsError(where or name, "no " + repr(key), f"{key!r}, which {name!r} needs")
    values = {
        key: structure(hints.get(key, Any), value, _at(where, key)) if key in known else value
        for key, value in settings.items()
    }
    try:
        return make(**values)
    except SettingsError:
        raise
    except (TypeError, ValueError) as problem:
        raise _told(problem, settings, where, name) from problem


class Configurable:
    """Things that can be built from plain data, such as a table of a team file."""

    shorthand: ClassVar[str] = "location"
    """The setting that follows a colon: ``sqlite:team.db`` is a table with the name and this."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """
        Build one from plain data; the default takes the class's own parameters by name.

        Raises:
            SettingsError: an unknown setting (with the near miss), a missing one, or a wrong value.
        """
        return from_settings(cls, settings)


_NAMED = re.compile(r"'?(\w+)'? (must .*?)(?:: \S+|,(?: and)? not .+| \(got .*\))?\.?")
"""How validators say which field is wrong: attrs' own, and ours."""


_SIGNS = (">= ", "at least "), ("> ", "more than "), ("<= ", "at most "), ("< ", "less than ")


def _told(problem: Exception, settings: Mapping[str, Any], where: str, name: str) -> SettingsError:
    """*problem* with the setting that it is about, where that can be told."""
    sentence = _sentence(problem)
    said = _NAMED.fullmatch(sentence)
    if said and said[1] in settings:
        expected = said[2].removeprefix("must be ")
        for sign, words in _SIGNS:
            expected = expected.replace(sign, words)
        return SettingsError(_at(where, said[1]), show(settings[said[1]], said[1]), expected)
    return SettingsError(where or name, ", ".join(settings) or "nothing", f"valid settings for {name!r}", sentence)


def _sentence(problem: Exception) -> str:
    text = str(problem.args[0]) if problem.args else str(problem)
    return text if text.endswith(".") else text + "."


def hints_of(make: Any) -> dict[str, Any]:
    """The annotations of a function, or of what a class is made from; one that cannot be resolved stays text."""
    target = make if typing.is_typeddict(make) else make.__init__ if inspect.isclass(make) else inspect.unwrap(make)
    names = dict(getattr(target, "__globals__", {}))
    for owner in reversed(getattr(make, "__mro__", ())):
        names |= vars(sys.modules[owner.__module__])
    raw = getattr(target, "__annotations__", {})
    return {name: _resolve(hint, names) for name, hint in raw.items()}


def _resolve(hint: Any, names: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": hint})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return hint


def required_keys(cls: Any, hints: Mapping[str, Any]) -> frozenset[str]:
    """The keys a TypedDict needs; its own record misses what `from __future__ import annotations` made text."""
    named = {key for key, hint in hints.items() if get_origin(hint) is typing.Required}
    return frozenset(named | {key for key in cls.__required_keys__ if get_origin(hints[key]) is not typing.NotRequired})


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def structure(annotation: Any, value: Any, where: str = "") -> Any:
    """
    *value* (plain JSON data) as what *annotation* says.

    Knows str, int, float, bool, None, Literal, enums, unions, lists, tuples, sets, mappings,
    TypedDict and attrs classes; anything else passes unchanged.

    Raises:
        SettingsError: the value does not fit.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated or origin in (typing.Required, typing.NotRequired):
        return structure(args[0], value, where)
    if origin in (typing.Union, types.UnionType):
        return _one_of(args, value, where)
    if origin is typing.Literal:
        return _choice(args, value, where)
    if target := getattr(annotation, "__supertype__", None):  # a NewType
        return structure(target, value, where)
    if origin is not None and isinstance(origin, type):
        return _container(origin, args, value, where)
    if isinstance(annotation, type) or annotation is None:
        return _plain_type(annotation or types.NoneType, value, where)
    return value


def _one_of(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    problems = []
    for choice in sorted(choices, key=lambda c: c in (int, float) and type(value) is not c):  # 3 is an int rather
        try:
            return structure(choice, value, where)
        except SettingsError as problem:
            problems.append(problem)
    deepest = max(problems, key=lambda problem: len(problem.where))
    if deepest.where != where:
        raise deepest
    expected = " or ".join(dict.fromkeys(problem.expected for problem in problems))
    raise SettingsError(where, deepest.found, expected, next((p.hint for p in problems if p.hint), ""))


_BUILDERS: dict[type, Callable[[list[Any]], Any]] = {tuple: tuple, frozenset: frozenset, set: set, Set: frozenset}


def _container(origin: type, args: tuple[Any, ...], value: Any, where: str) -> Any:
    if issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise SettingsError(where, show(value, where), "a table")
        of = args[1] if len(args) == 2 else Any
        return {key: structure(of, item, _at(where, str(key))) for key, item in value.items()}
    if issubclass(origin, Collection) or origin is Iterable:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise SettingsError(where, show(value, where), "a list")
        items = list(value)
        each = args if origin is tuple and args and args[-1] is not Ellipsis else (args or (Any,))[:1] * len(items)
        if len(each) != len(items):
            raise SettingsError(where, f"{len(items)} values", f"{len(each)} of them")
        built = [structure(of, item, f"{where}[{i}]") for i, (of, item) in enumerate(zip(each, items, strict=True))]
        try:
            return _BUILDERS.get(origin, list)(built)
        except TypeError as problem:
            raise SettingsError(where, show(built, where), "values that fit in a set", _sentence(problem)) from problem
    return value


_WORDS: dict[type, str] = {str: "text", int: "a whole number", bool: "true or false"}


def _plain_type(cls: type, value: Any, where: str) -> Any:
    if cls is types.NoneType:
        if value is not None:
            raise SettingsError(where, show(value, where), "nothing")
    elif cls is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SettingsError(where, show(value, where), "a number")
        return float(value)
    elif cls is int and type(value) is float and value.is_integer():
        return int(value)  # JSON does not tell 3.0 from 3
    elif cls in (str, int, bool):
        if type(value) is not cls:
            raise SettingsError(where, show(value, where), _WORDS[cls])
    elif issubclass(cls, enum.Enum):
        return _choice(tuple(cls), value, where)
    elif issubclass(cls, PurePath) and isinstance(value, str):
        return cls(value)
    elif typing.is_typeddict(cls):
        return _typed_dict(cls, value, where)
    elif attrs.has(cls) and not isinstance(value, cls):
        if not isinstance(value, Mapping):
            raise SettingsError(where, show(value, where), f"a table for {cls.__name__}")
        return from_settings(cls, value, where)
    elif cls in (list, dict, tuple, set, frozenset) or cls.__module__ == "collections.abc":
        return _container(cls, (), value, where)
    return value


def _choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    raw = [choice.value if isinstance(choice, enum.Enum) else choice for choice in choices]
    for choice, plainly in zip(choices, raw, strict=True):
        if value is choice or (value == plainly and isinstance(value, bool) == isinstance(plainly, bool)):
            return choice
    hint = near_miss(value, [str(one) for one in raw]) if isinstance(value, str) else ""
    raise SettingsError(where, show(value, where), "one of " + ", ".join(map(repr, raw)), hint)


def _typed_dict(cls: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(where, show(value, where), f"a table for {cls.__name__}")
    hints = hints_of(cls)
    if missing := sorted(required_keys(cls, hints) - set(value)):
        raise SettingsError(where, f"no {missing[0]!r}", f"{missing[0]!r}, which {cls.__name__} needs")
    for key in value:
        if key not in hints:
            expected = f"one of {', '.join(hints)}"
            raise SettingsError(_at(where, key), f"the unknown key {key!r}", expected, near_miss(key, list(hints)))
    return {key: structure(hints[key], item, _at(where, key)) for key, item in value.items()}


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


def show(value: Any, where: str = "") -> str:
    """*value* as it stands in an error: short, whatever it is, and without what is called like a secret."""
    if any(map(is_secret, re.split(r"[^A-Za-z0-9_-]+", where))):
        return f"a value of the type {type(value).__name__}"
    return "nothing" if value is None else _REPR.repr(masked(value))


def plain(value: Any) -> Any:
    """*value* as plain JSON data; things with a life of their own are named, not opened."""
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if attrs.has(type(value)):
        return {field.alias: plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    return getattr(value, "name", None) or getattr(value, "__qualname__", None) or type(value).__qualname__
