"""
Toolboxes: the tools of one agent, from as many protocols as it has, each call bounded and answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import attrs

from ._contracts import ToolContext, ToolDefinition, ToolProtocol
from ._journal import digest, encode
from ._messages import Json, JsonObject, ToolCall, ToolResult
from ._schema import check
from ._session import estimate_tokens
from ._tool import Functions, Tool, text_of
from .errors import SetupError, ToolConflictError, near_miss

OUTPUT_CAP = 100_000
"""Characters of a result that reach the model; how much was cut is said."""


def protocols_of(tools: Iterable[Any]) -> list[ToolProtocol]:
    """*tools* as protocols: protocols stay as they are, functions become one of their own."""
    protocols: list[ToolProtocol] = []
    functions = []
    for tool in tools:
        if isinstance(tool, type) and issubclass(tool, ToolProtocol):
            raise SetupError(f"{tool.__name__} is a class; give an instance of it: {tool.__name__}(...)")
        if isinstance(tool, ToolProtocol):
            protocols.append(tool)
        elif isinstance(tool, Tool) or callable(tool):
            functions.append(tool)
        else:
            raise SetupError(
                f"{tool!r} is not a tool. Give a function decorated with @tool, a ToolProtocol, or the name of one."
            )
    return [*protocols, *([Functions(functions)] if functions else [])]


class Recorded(ToolProtocol):
    """In a replay: tools that were offered then. What they did stands in the journal."""

    name = "recorded"

    def __init__(self, definitions: Sequence[JsonObject], sources: Sequence[str] = ("recorded",)) -> None:
        self._tools = [ToolDefinition(**definition) for definition in definitions]
        self.name = sources[0]  # type: ignore[misc]  # of an instance: what it was called then, and what it wrapped
        self.inner = Recorded((), sources[1:]) if sources[1:] else None

    def tools(self) -> Sequence[ToolDefinition]:
        return self._tools

    async def call(self, tool: str, arguments: JsonObject, context: ToolContext) -> Any:
        raise SetupError(f"{tool!r} belongs to a replay and cannot be called.")


def recorded_tools(body: Mapping[str, Any]) -> Toolbox:
    """The toolbox that an input of a journal tells of."""
    sources = body.get("sources") or [["recorded"]] * len(body["tools"])
    pairs = zip(body["tools"], sources, strict=True)
    groups = [(names, [tool for tool, _ in group]) for names, group in groupby(pairs, lambda pair: pair[1])]
    return Toolbox.of([Recorded(tools, names) for names, tools in groups])


@attrs.frozen
class OwnWords(ToolResult):
    """An error in which a tool says nothing but its own words, so that it exposes nobody."""


@attrs.frozen
class Offer:
    """One tool and where it comes from."""

    definition: ToolDefinition
    protocol: ToolProtocol


@attrs.define(eq=False)
class Toolbox:
    """Which tools there are, by name."""

    protocols: dict[str, ToolProtocol] = attrs.Factory(dict)
    offers: dict[str, Offer] = attrs.Factory(dict)
    _digest: str | None = None
    _tokens: int | None = None

    @classmethod
    def of(cls, protocols: Iterable[ToolProtocol]) -> Toolbox:
        box = cls()
        for protocol in protocols:
            box.add(protocol)
        return box

    def add(self, protocol: ToolProtocol, name: str | None = None) -> str:
        """
        Offer the tools of *protocol* too; returns the name it can be removed by.

        Raises:
            ToolConflictError: a tool of that name is offered already; nothing was added.
        """
        name = name or self._free(protocol.name)
        if name in self.protocols:
            raise SetupError(f"A tool protocol called {name!r} is here already. Remove it first, or give another name.")
        offers = {definition.name: Offer(definition, protocol) for definition in protocol.tools()}
        for tool in offers:
            if tool in self.offers:
                raise ToolConflictError(tool, (self.offers[tool].protocol.name, protocol.name))
        self.protocols[name] = protocol
        self.offers |= offers
        self._digest = self._tokens = None
        return name

    def _free(self, name: str) -> str:
        """*name*, numbered if it is taken: two file roots are two protocols."""
        names = [name, *(f"{name}-{n}" for n in range(2, len(self.protocols) + 3))]
        return next(free for free in names if free not in self.protocols)

    def remove(self, name: str) -> ToolProtocol:
        """Withdraw a protocol and its tools. Raises: SetupError: there is none of that name."""
        if name not in self.protocols:
            known = ", ".join(self.protocols) or "none"
            raise SetupError(
                f"No tool protocol called {name!r} is here ({known}). {near_miss(name, list(self.protocols))}".rstrip()
            )
        protocol = self.protocols.pop(name)
        self.offers = {tool: offer for tool, offer in self.offers.items() if offer.protocol is not protocol}
        self._digest = self._tokens = None
        return protocol

    def copy(self) -> Toolbox:
        return Toolbox(dict(self.protocols), dict(self.offers), digest=self._digest)

    def with_more(self, protocols: Iterable[ToolProtocol]) -> Toolbox:
        """A toolbox with *protocols* on top, for one turn; this one stays as it is."""
        box = self.copy()
        for protocol in protocols:
            box.add(protocol)
        return box

    @property
    def definitions(self) -> tuple[ToolDefinition, ...]:
        return tuple([offer.definition for offer in self.offers.values()])

    @property
    def digest(self) -> str:
        """Stands for the tools as a model sees them."""
        if self._digest is None:
            self._digest = digest(self.to_json())
        return self._digest

    @property
    def tokens(self) -> int:
        """The estimate for all schemas together."""
        if self._tokens is None:
            self._tokens = sum(estimate_tokens(encode(definition)) for definition in self.to_json())
        return self._tokens

    def to_json(self) -> list[Json]:
        return [definition.to_json() for definition in self.definitions]

    def refusal(self, call: ToolCall) -> str | None:
        """Why *call* cannot be made, for the model to read; None if it can."""
        if call.problem is not None:
            return f"The call was not made: its arguments cannot be read ({call.problem}). Send them again, whole."
        offer = self.offers.get(call.name)
        if offer is None:
            known = ", ".join(sorted(self.offers)[:20]) or "none"
            near = near_miss(call.name, list(self.offers))
            return f"There is no tool called {call.name!r}. Your tools: {known}. {near}".rstrip()
        if problems := check(offer.definition.parameters, dict(call.arguments)):
            return f"The call was not made: {'; '.join(problems)}."
        return None

    async def call(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Make *call*; whatever happens becomes its result. Only a cancellation passes through."""
        offer = self.offers[call.name]
        try:
            return await self._bounded(offer, call, context)
        except Exception as problem:  # noqa: BLE001 -- for the model to read
            kind = OwnWords if getattr(problem, "own_words", False) is True else ToolResult
            return kind(call.id, text_of(f"{type(problem).__name__}: {problem}", OUTPUT_CAP)[0], is_error=True)
        except (SystemExit, GeneratorExit) as problem:  # a tool may not end the program
            return ToolResult(call.id, f"The tool tried to end the program ({type(problem).__name__}).", is_error=True)

    async def _bounded(self, offer: Offer, call: ToolCall, context: ToolContext) -> ToolResult:
        timeout = offer.definition.timeout
        clock = asyncio.timeout(timeout)
        try:
            async with clock:
                value = await offer.protocol.call(call.name, call.arguments, context)
        except TimeoutError:
            if not clock.expired():
                raise
            message = f"No result within {timeout:g} s; the call was given up, and what it did so far stands."
            return ToolResult(call.id, message, is_error=True)
        return ToolResult(call.id, text_of(value, OUTPUT_CAP)[0])
