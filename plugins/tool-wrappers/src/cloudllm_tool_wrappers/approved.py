"""A person allows each call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from cloudllm_core import ToolDefinition, ToolProtocol, hookimpl

from ._wrapper import Wrapper, known


class Approved(Wrapper):
    """*inner*'s tools, each call of which a person must allow: the kernel asks the run's approver first."""

    name: ClassVar[str] = "approved"

    def __init__(self, inner: ToolProtocol, tools: Sequence[str] = ()) -> None:
        """
        Args:
            tools: the names of those that need it; all if there are none.

        Raises:
            SettingsError: *inner* has no tool of such a name.
        """
        super().__init__(inner)
        self._chosen = known(inner, tools)

    def tools(self) -> Sequence[ToolDefinition]:
        chosen = self._chosen
        return [
            attrs.evolve(one, approve=True) if not chosen or one.name in chosen else one for one in self.inner.tools()
        ]


@hookimpl
def cloudllm_register_tool_protocol() -> type[Approved]:
    return Approved
