"""What all wrappers do: nothing that their own module does not say."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from cloudllm_core import Secret, ToolContext, ToolDefinition, ToolProtocol
from cloudllm_core.errors import SettingsError, near_miss


class Wrapper(ToolProtocol):
    """The tools of *inner*, told, called and closed as they are; a wrapper overrides what it changes."""

    name: ClassVar[str] = "wrapper"

    def __init__(self, inner: ToolProtocol) -> None:
        """
        Args:
            inner: whose tools they are.

        Raises:
            SettingsError: *inner* is no tool protocol.
        """
        self.inner = _protocol(inner)
        # Not the name of *inner*: whoever looks for the tools by it must not get them without the wrapper.
        self.name = f"{type(self).name}-{inner.name}"  # type: ignore[misc]  # of an instance, as in the kernel's Prefixed

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def tools(self) -> Sequence[ToolDefinition]:
        return self.inner.tools()

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        return await self.inner.call(tool, arguments, context)

    def secrets(self) -> Iterable[Secret]:
        return self.inner.secrets()

    async def aclose(self) -> None:
        await self.inner.aclose()

    def effect_of(self, tool: str) -> str | None:
        """What repeating a call of *tool* does; None if *inner* has no such tool now."""
        return next((one.effect for one in self.inner.tools() if one.name == tool), None)


def _protocol(inner: Any) -> ToolProtocol:
    if not isinstance(inner, ToolProtocol):
        hint = "Wrap functions in one: Functions([search])."
        raise SettingsError("inner", reprlib.repr(inner), "a tool protocol, or the name of one", hint)
    return inner


def seconds_of(value: Any) -> float:
    """*value* as a time. Raises: SettingsError: it is none, or not more than 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise SettingsError("seconds", reprlib.repr(value), "a time, more than 0")
    return float(value)


def count_of(where: str, value: Any) -> int:
    """*value* as a number of things. Raises: SettingsError: it is none, or less than 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(where, reprlib.repr(value), "a whole number from 1")
    return value


def known(inner: ToolProtocol, tools: Any) -> frozenset[str]:
    """
    *tools* as a set of names.

    Raises:
        SettingsError: *inner* has no tool of one of these names, so that a slip would leave the meant one as it is.
    """
    if isinstance(tools, str):
        raise SettingsError("tools", repr(tools), "a list of names", f"Write tools=[{tools!r}].")
    names = [one.name for one in inner.tools()]
    for tool in tools:
        if tool not in names:
            hint = near_miss(tool, names) if isinstance(tool, str) else ""
            raise SettingsError("tools", repr(tool), f"names of {inner.name}'s tools ({', '.join(names)})", hint)
    return frozenset(tools)
