"""Some of the tools, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from cloudllm_core import ToolContext, ToolDefinition, ToolProtocol, hookimpl
from cloudllm_core.errors import SettingsError, near_miss

from ._wrapper import Wrapper, known


class Only(Wrapper):
    """Those of *inner*'s tools that are named in *tools*."""

    name: ClassVar[str] = "only"

    def __init__(self, inner: ToolProtocol, tools: Sequence[str]) -> None:
        """Raises: SettingsError: *tools* is empty, or *inner* has no tool of such a name."""
        super().__init__(inner)
        self._chosen = known(inner, tools)
        if not self._chosen:
            raise SettingsError("tools", "no name", f"names of {inner.name}'s tools")

    def tools(self) -> Sequence[ToolDefinition]:
        return [one for one in self.inner.tools() if one.name in self._chosen]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        if tool not in self._chosen:
            names = sorted(self._chosen)
            near = near_miss(tool, names)
            raise LookupError(f"There is no tool {tool!r} in {self.name} ({', '.join(names)}). {near}".rstrip())
        return await self.inner.call(tool, arguments, context)


@hookimpl
def cloudllm_register_tool_protocol() -> type[Only]:
    return Only
