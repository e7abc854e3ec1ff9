"""
Tools from plain functions: the `tool` decorator, and the protocols that offer them.

`text_of` turns whatever a tool gave back into the text that a model reads.
"""

from __future__ import annotations

import copy
import enum
import functools
import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar, get_args, overload

import attrs

from ._contracts import Effect, Hub, ToolContext, ToolDefinition, ToolProtocol
from ._messages import JsonObject
from ._schema import describe, is_self, parameters_of
from ._secrets import Secret
from ._settings import hints_of, show, structure
from ._threads import in_thread
from .errors import SettingsError, ToolSchemaError, near_miss

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
Q = ParamSpec("Q")
S = TypeVar("S")
F = TypeVar("F")

NEEDS = ("network", "files", "outside", "processes", "secrets")
"""What a tool may say it reaches for."""


class Tool(Generic[P, R]):
    """
    A function that models may call; made by `tool`. People call it as before.

    On a class it acts as a method does: ``obj.look_up`` is the tool of that object.
    """

    __name__: str
    __wrapped__: Callable[P, R]

    def __init__(self, fn: Callable[P, R], definition: ToolDefinition, hidden: dict[str, type]) -> None:
        self.fn = fn
        self.definition = definition
        self.is_async = inspect.iscoroutinefunction(fn)
        self.needs_self = any(map(is_self, inspect.signature(fn).parameters.values()))
        """Whether this is a method that still waits for its object."""
        self._hidden, self._hints = hidden, hints_of(fn)
        functools.update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.definition.name}>"

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...

    @overload
    def __get__(self: Tool[Concatenate[S, Q], F], instance: S, owner: type | None = None) -> Tool[Q, F]: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None or not self.needs_self:
            return self
        bound: Any = copy.copy(self)
        bound.fn, bound.needs_self = self.fn.__get__(instance, owner), False
        functools.update_wrapper(bound, bound.fn)
        return bound

    async def perform(self, arguments: JsonObject, context: ToolContext) -> Any:
        """
        Call the function as a model asked, without blocking the event loop.

        Args:
            arguments: JSON that fits the definition's schema.
            context: what the call knows about itself; given to the parameter annotated with it.

        Raises:
            SettingsError: an argument does not fit. What the function raises comes out as it is.
        """
        values = {name: structure(self._hints.get(name, Any), value, name) for name, value in arguments.items()}
        for name, kind in self._hidden.items():
            values[name] = context if kind is ToolContext else context.hub
        call: Callable[[], Any] = functools.partial(self.fn, **values)
        result = call() if self.is_async else await in_thread(call)
        return await result if inspect.isawaitable(result) else result


@overload
def tool(fn: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float = 30.0,
    effect: Effect = "write",
    needs: Sequence[str] = (),
    untrusted: bool = False,
    approve: bool = False,
    concurrency: int | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """
    Make a typed function, sync or async, a tool: ``@tool``, or ``@tool(timeout=5, effect="read")``.

    Args:
        name: what models call it; the function's own name if not given.
        description: what models read; the docstring without its arguments if not given.
        timeout: seconds one call may take.
        effect: what repeating a call does: ``read`` nothing, ``idempotent`` nothing more, ``write`` it happens
            twice. ``composite`` is async code that may take the `Hub`; it is run again on a replay.
        needs: what it reaches for: ``network``, ``files`` of its workspace, files ``outside`` it, ``processes``
            without a sandbox, ``secrets``.
        untrusted: whether its results bring in text from outside the team (the web, foreign files).
        approve: whether a person must allow each call.
        concurrency: how many calls may run at once in a run.

    Raises:
        ToolSchemaError: the function or an option is not fit for it.
    """
    return _make(fn, **options) if fn is not None else functools.partial(_make, **options)


def _make(fn: Callable[..., Any], **options: Any) -> Tool[..., Any]:
    name = str(options.pop("name", None) or getattr(fn, "__name__", repr(fn)))
    for problem, remedy in _objections(fn, name, options):
        raise ToolSchemaError(name, problem, remedy)
    parameters, hidden = parameters_of(fn)
    if Hub in hidden.values() and options.get("effect") != "composite":
        raise ToolSchemaError(name, "only composite tools are given the hub", "Write @tool(effect='composite').")
    description = options.pop("description", None)
    options["needs"] = _several(options.get("needs", ()))
    told = describe(fn)[0] if description is None else description
    return Tool(fn, ToolDefinition(name=name, description=told, parameters=parameters, **options), hidden)


def _several(needs: Any) -> tuple[Any, ...]:
    return (needs,) if isinstance(needs, str) else tuple(needs)


def _objections(fn: Any, name: str, options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What stands against it, each time with the remedy."""
    known = ["name", "description", "timeout", "effect", "needs", "untrusted", "approve", "concurrency"]
    for option in (option for option in options if option not in known):
        yield f"@tool has no option {option!r}", near_miss(option, known) or f"It has {', '.join(known)}."
    if not inspect.isfunction(fn) and not inspect.ismethod(fn):
        yield "it is not a function", "Put @tool directly above a def, or call tool() with a function."
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        yield "it yields, and a call has one result", "Return a list instead."
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}", name):
        yield "models allow 64 letters, digits, _ and - in a name", "Give it one with @tool(name=...)."
    timeout, effect = options.get("timeout", 30.0), options.get("effect", "write")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        yield f"its timeout is {timeout!r}", "Give seconds, more than 0."
    if effect not in get_args(Effect):
        effects = list(get_args(Effect))
        yield f"its effect {effect!r} is unknown", near_miss(str(effect), effects) or f"Use {', '.join(effects)}."
    if effect == "composite" and not inspect.iscoroutinefunction(fn):
        yield "a composite tool waits for the hub, and this function is not async", "Write async def."
    for need in (need for need in _several(options.get("needs", ())) if need not in NEEDS):
        yield f"its need {need!r} is unknown", near_miss(str(need), NEEDS) or f"Use {', '.join(NEEDS)}."
    many = options.get("concurrency")
    if many is not None and (isinstance(many, bool) or not isinstance(many, int) or many < 1):
        yield f"its concurrency is {many!r}", "Give a whole number from 1, or leave it out."


# -- protocols ----------------------------------------------------------------


class Functions(ToolProtocol):
    """Functions as one protocol: what ``Agent(..., tools=[search, add])`` makes of them."""

    name: ClassVar[str] = "functions"

    def __init__(self, functions: Iterable[Callable[..., Any]], name: str = "functions") -> None:
        """
        Args:
            functions: made by `tool`, or plain ones, which become tools as ``@tool`` would make them.
            name: what errors call this protocol.

        Raises:
            ToolSchemaError: one cannot become a tool, or two have the same name.
        """
        self.name = name  # type: ignore[misc]  # of an instance: each agent's functions are a protocol of their own
        self._tools: dict[str, Tool[..., Any]] = {}
        for made in (fn if isinstance(fn, Tool) else tool(fn) for fn in functions):
            known_as = made.definition.name
            if made.needs_self:
                raise ToolSchemaError(known_as, "it is a method without its object", f"Offer it as thing.{known_as}.")
            if known_as in self._tools:
                problem = f"{name} has another tool of this name"
                raise ToolSchemaError(known_as, problem, "Rename one with @tool(name=...).")
            self._tools[known_as] = made

    def tools(self) -> Sequence[ToolDefinition]:
        return [made.definition for made in self._tools.values()]

    async def call(self, tool: str, arguments: JsonObject, context: ToolContext) -> Any:
        if tool not in self._tools:
            raise LookupError(
                f"There is no tool {tool!r} in {self.name}. {near_miss(tool, list(self._tools))}".rstrip()
            )
        return await self._tools[tool].perform(arguments, context)


class Prefixed(ToolProtocol):
    """*inner*'s tools, their names led by *prefix*: for two protocols whose tools have the same names."""

    name: ClassVar[str] = "prefixed"

    def __init__(self, inner: ToolProtocol, prefix: str) -> None:
        """Raises: SettingsError: *inner* is no tool protocol, or *prefix* cannot stand in a tool's name."""
        if not isinstance(inner, ToolProtocol):
            raise SettingsError("inner", show(inner), "a tool protocol, or in a team file the name of one")
        if not re.fullmatch("[A-Za-z0-9_-]{0,32}", prefix):
            raise SettingsError("prefix", show(prefix), "at most 32 letters, digits, _ and -")
        self.inner, self.prefix = inner, prefix
        self.name = prefix + inner.name  # type: ignore[misc]  # of an instance, as in Functions

    def tools(self) -> Sequence[ToolDefinition]:
        return [attrs.evolve(one, name=self.prefix + one.name) for one in self.inner.tools()]

    async def call(self, tool: str, arguments: JsonObject, context: ToolContext) -> Any:
        if not tool.startswith(self.prefix):
            raise LookupError(f"There is no tool {tool!r} in {self.name}: its tools begin with {self.prefix!r}.")
        return await self.inner.call(tool.removeprefix(self.prefix), arguments, context)

    def secrets(self) -> Iterable[Secret]:
        return self.inner.secrets()

    async def aclose(self) -> None:
        await self.inner.aclose()


# -- results ------------------------------------------------------------------


def text_of(result: Any, cap: int = 100_000) -> tuple[str, int]:
    """
    *result* as text for a model, whatever it is, and how many characters beyond *cap* were cut.

    Text stays, None is empty, what JSON can say becomes JSON, anything else is described.
    """
    text = _text(result)
    cut = max(0, len(text) - cap)
    shown = re.sub("[\ud800-\udfff]", "\ufffd", text[:cap])  # halves of characters, which no encoding takes
    return (f"{shown}\n[{cut} more characters were cut]" if cut else shown), cut


def _text(result: Any) -> str:
    if result is None:
        return ""
    if isinstance(result, str):
        return str.__str__(result)
    if isinstance(result, (bytes, bytearray)):
        text = result.decode("utf-8", "replace")
        return text if "\0" not in text else f"<{len(result)} bytes that are not text>"
    try:
        known = result if isinstance(result, (int, float, list, tuple, dict)) else _opened(result)
        if isinstance(known, str):
            return known
        return json.dumps(known, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_opened)
    except Exception:  # noqa: BLE001  # results run code of their own when they are read
        return _described(result)


def _opened(value: Any) -> Any:
    """What `json` should write for a value it does not know."""
    if attrs.has(type(value)):
        return {field.alias: getattr(value, field.name) for field in attrs.fields(type(value))}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return dict(value) if isinstance(value, Mapping) else _described(value)


def _described(value: Any) -> str:
    kind = type(value)
    try:
        if inspect.iscoroutine(value):
            value.close()  # or Python complains that nobody awaited it
        if isinstance(name := getattr(value, "__qualname__", None), str):
            return f"<{kind.__name__} {name}>"
        shown = str(value)
        return shown if " at 0x" not in shown else f"<{kind.__qualname__}>"  # an address tells nobody anything
    except Exception as problem:  # noqa: BLE001  # likewise
        return f"<{kind.__qualname__} that cannot be shown: {type(problem).__name__}>"
