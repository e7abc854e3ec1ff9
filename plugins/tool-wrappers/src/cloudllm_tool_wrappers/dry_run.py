"""A rehearsal: what only reads is done, and what would change something is told."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from cloudllm_core import ToolContext, hookimpl

from ._wrapper import Wrapper

MOST_TOLD = 2_000
"""Characters of arguments that an answer repeats."""


class DryRun(Wrapper):
    """*inner*'s tools, of which those with effect ``read`` run; the others answer what they would have done."""

    name: ClassVar[str] = "dry-run"

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        effect = self.effect_of(tool)
        if effect is None:
            raise LookupError(f"There is no tool {tool!r} in {self.name}.")
        if effect == "read":
            return await self.inner.call(tool, arguments, context)
        told = json.dumps(arguments, ensure_ascii=False, default=repr)
        told = told if len(told) <= MOST_TOLD else f"{told[:MOST_TOLD]}..."
        return f"This is a dry run: {tool} was not called and nothing has changed. It would have been given {told}"


@hookimpl
def cloudllm_register_tool_protocol() -> type[DryRun]:
    return DryRun
