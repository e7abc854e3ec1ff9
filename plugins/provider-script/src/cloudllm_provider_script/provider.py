"""The provider: each model name is a role of the script, and each role plays its lines in order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import attrs

from cloudllm_core import Completion, Message, Provider, Request, ToolCall, Usage
from cloudllm_core.errors import BadRequest, Overloaded, SettingsError, near_miss

from .script import Line, read_script


@attrs.define(eq=False)
class Script(Provider):
    """
    Plays the script in the file at *path*; ``script:architect`` is the role ``architect``.

    Args:
        path: the TOML file, see `read_script`.
        loop: begin a role's lines again when they are over; otherwise a call beyond them fails.
    """

    name: ClassVar[str] = "script"
    path: Path = attrs.field(converter=Path)
    loop: bool = False
    _lines: dict[str, tuple[Line, ...]] | None = attrs.field(default=None, init=False)
    _next: dict[str, int] = attrs.field(factory=dict, init=False)

    async def complete(self, request: Request) -> Completion:
        line, number = self._line(request.model)
        if line.pause:
            await asyncio.sleep(line.pause)
        if line.fail is not None:
            raise Overloaded(line.fail, self.name, request.model)
        calls = [
            ToolCall(f"{request.model}-{number}-{nth}", call.tool, dict(call.arguments))
            for nth, call in enumerate(line.call, 1)
        ]
        heard = sum(len(part.text) for part in request.messages[-1].parts if hasattr(part, "text"))
        return Completion(
            Message.assistant(line.say, *calls),
            "tool_use" if calls else "end",
            Usage(input=max(1, heard // 4), output=max(1, len(line.say) // 4)),
            request.model,
        )

    async def stream(
        self, request: Request, emit: Callable[[Literal["content", "reasoning"], str], None]
    ) -> Completion:
        completion = await self.complete(request)
        for piece in re.findall(r"\S+\s*|\s+", completion.message.text):
            emit("content", piece)
        return completion

    def _line(self, role: str) -> tuple[Line, int]:
        """The next line of *role*, and its number."""
        if self._lines is None:
            try:
                self._lines = read_script(self.path)
            except SettingsError as problem:
                raise BadRequest(f"the script cannot be played: {str(problem).rstrip('.')}", self.name) from problem
        lines = self._lines.get(role)
        if not lines:
            roles = tuple(self._lines)
            hint = near_miss(role, roles)
            raise BadRequest(
                f"{self.path} has no role {role!r} (roles: {', '.join(roles) or 'none'})", self.name, hint=hint
            )
        nth = self._next.get(role, 0)
        if nth >= len(lines) and not self.loop:
            hint = "Write more lines, or set loop = true."
            raise BadRequest(f"the script of {role!r} is over after {len(lines)} lines", self.name, role, hint=hint)
        self._next[role] = nth + 1
        return lines[nth % len(lines)], nth + 1
