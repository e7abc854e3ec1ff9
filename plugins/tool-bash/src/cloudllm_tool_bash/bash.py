"""The tool: bash in a sandbox, for agents, and as a check of their work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs

from cloudllm_core import ToolContext, ToolDefinition, ToolProtocol

from .process import GRACE
from .sandbox import Sandbox, fit
from .words import Lists, entries

ALLOWANCE = 4 * GRACE
"""Seconds beyond a command's own time in which it is started, ended and, the first time, the sandbox tried."""

AT_ONCE = 16
"""Commands of one run that are going on at a time; others wait for their turn."""

HELD = (
    "Run a bash command in a sandbox, in the workspace, which is the current directory. Only files in it can be "
    "changed and kept; the system is read-only, /tmp is empty each time. Nothing that is started outlives the call. "
)
FREE = "Run a bash command on the user's machine, without a sandbox; a person approves each call. "


@attrs.define(eq=False)
class Bash(Sandbox, ToolProtocol):
    """
    The tool ``bash``: a command in, ``{exit_code, duration_ms, stdout, stderr}`` out.

    A command that fails is a result too, with its exit code; so is one that was stopped, with a ``notice``
    (exit code 124 for its time, 137 for output or memory).
    """

    name: ClassVar[str] = "bash"

    allow: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=entries)
    """Programs that may be named in a command, such as ``git``, or ``git status``; empty is all. See `Lists`."""

    deny: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=entries)
    """Programs that may not, whatever *allow* says."""

    def tools(self) -> Sequence[ToolDefinition]:
        free = self.sandbox == "none"
        net = "" if free else "It may use the network. " if self.network else "There is no network. "
        only = f" Only these programs may be used: {', '.join(self.allow)}." if self.allow else ""
        never = f" These may not: {', '.join(self.deny)}." if self.deny else ""
        bounds = f"It is stopped after {self.timeout:g} seconds. Of long output, the last part is given."
        description = f"{FREE if free else HELD}{net}{bounds}{only}{never}"
        needs = (
            ("processes", "files", "outside", "network")
            if free
            else ("files", "network")
            if self.network
            else ("files",)
        )
        return [
            ToolDefinition(
                name="bash",
                description=description,
                parameters={
                    "type": "object",
                    "properties": {
                        "command": {"type": "string", "description": "The command, as for bash -c.", "minLength": 1},
                        "timeout": {
                            "type": "number",
                            "description": "Seconds it may take, where that is to be less than usual.",
                            "exclusiveMinimum": 0,
                            "maximum": self.timeout,
                        },
                    },
                    "required": ["command"],
                    "additionalProperties": False,
                },
                effect="write",
                timeout=self.timeout + ALLOWANCE,
                needs=needs,
                untrusted=free or self.network,
                approve=free,
                concurrency=AT_ONCE,
            )
        ]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> dict[str, Any]:
        if tool != "bash":
            raise LookupError(f"There is no tool {tool!r} here; there is 'bash'.")
        command = fit(arguments["command"])
        if self.allow or self.deny:
            await asyncio.to_thread(Lists(self.allow, self.deny).judge, command)  # a long one takes its time
        return (await self.run(command, timeout=arguments.get("timeout"))).to_json()
