"""A provider that plays a script: says its lines, calls tools, raises, streams in pieces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import attrs

from .._contracts import Emit, Provider, Request
from .._messages import Completion, Message, ToolCall, Usage
from .._session import estimate_tokens
from ..errors import ProviderError

Line: TypeAlias = Any
"""
What a model does in one call: text; a `ToolCall` (see `call`); several of both in a list; an exception to
raise; a `Completion` as it is; or a function of the `Request` that gives one of these.
"""


def call(tool: str, /, **arguments: Any) -> ToolCall:
    """A line in which the model calls *tool*; the provider gives the call its id."""
    return ToolCall("", tool, arguments)


class ScriptedProvider(Provider):
    """
    Plays *lines*, one for each model call.

    Args:
        lines: see `Line`.
        repeat: whether the last line is said again and again; otherwise a call beyond it fails.
    """

    name: ClassVar[str] = "scripted"

    def __init__(self, *lines: Line, repeat: bool = False) -> None:
        self.lines: Sequence[Line] = lines
        self.repeat = repeat
        self.requests: list[Request] = []
        """What it was asked, in order."""

        self._calls = 0

    async def complete(self, request: Request) -> Completion:
        return self._next(request)

    async def stream(self, request: Request, emit: Emit) -> Completion:
        completion = self._next(request)
        for piece in re.findall(r"\S+\s*|\s+", completion.message.text):
            emit("content", piece)
        return completion

    def _next(self, request: Request) -> Completion:
        nth = len(self.requests)
        self.requests.append(request)
        if nth >= len(self.lines) and not (self.repeat and self.lines):
            raise ProviderError(f"the script has {len(self.lines)} lines and this is call {nth + 1}", self.name)
        line = self.lines[min(nth, len(self.lines) - 1)]
        return self._perform(line, request)

    def _perform(self, line: Line, request: Request) -> Completion:
        if isinstance(line, Completion):
            return line
        if isinstance(line, BaseException) or (isinstance(line, type) and issubclass(line, BaseException)):
            raise line
        if callable(line):
            return self._perform(line(request), request)
        items = line if isinstance(line, (list, tuple)) else [line]
        text = "\n".join(item for item in items if isinstance(item, str))
        calls = [self._with_id(item) for item in items if isinstance(item, ToolCall)]
        if len(calls) + sum(isinstance(item, str) for item in items) != len(items):
            raise TypeError(f"{line!r} is not a line of a script: use text, call(...), a list of them, or an exception")
        message = Message.assistant(text, *calls)
        usage = Usage(input=estimate_tokens(request.messages[-1].text), output=estimate_tokens(text))
        return Completion(message, "tool_use" if calls else "end", usage, request.model)

    def _with_id(self, item: ToolCall) -> ToolCall:
        self._calls += 1
        return item if item.id else attrs.evolve(item, id=f"call_{self._calls}")
