"""A function decides about each call, and no answer means no."""

from __future__ import annotations

import asyncio
import copy
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, cast

import attrs

from cloudllm_core import ToolContext, ToolProtocol, hookimpl, tool
from cloudllm_core.errors import CloudLLMError, SettingsError

from ._wrapper import Wrapper, known, seconds_of

Decide: TypeAlias = Callable[[str, Mapping[str, Any], ToolContext], Any]
"""Asked with the tool's name, the arguments and the context; gives True, or False or a reason. May be async."""


@attrs.define(eq=False)
class DeniedError(CloudLLMError):
    """A call was not made, because the function that decides did not say True."""

    tool: str
    reason: str
    says = "The call of {self.tool!r} was not made: {self.reason}. Do not try it again."


class Decided(Wrapper):
    """
    *inner*'s tools, each call of which *decide* must allow by answering True.

    It fails closed: whatever else is answered, raised, or not answered in time, is a refusal.
    """

    name: ClassVar[str] = "decided"

    def __init__(self, inner: ToolProtocol, decide: Decide, tools: Sequence[str] = (), seconds: float = 10.0) -> None:
        """
        Args:
            decide: see `Decide`; a text as its answer is the reason of a refusal, which the model reads.
            tools: the names of those it is asked about; all if there are none.
            seconds: how long it may take, within the time of the call.

        Raises:
            SettingsError: *decide* is no function, or *inner* has no tool of such a name.
        """
        super().__init__(inner)
        self._decide, self._chosen, self.seconds = _function(decide), known(inner, tools), seconds_of(seconds)

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        if not self._chosen or tool in self._chosen:

            async def ask() -> str | None:
                return await self._refusal(tool, arguments, context)

            # A composite tool is mode code and awaits nothing but the hub, so that a replay decides as the run did.
            reason = await (ask() if context.hub is None else context.hub.do(f"decide {tool}", ask))
            if reason is not None:
                raise DeniedError(tool, reason)
        return await self.inner.call(tool, arguments, context)

    async def _refusal(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> str | None:
        """Why the call may not be made; None if it may."""
        given = copy.deepcopy(dict(arguments))  # what is allowed is what is done, whatever *decide* does with its copy

        def decide() -> Any:
            return self._decide(name, given, context)

        try:
            async with asyncio.timeout(self.seconds):
                answer = await tool(decide).perform({}, context)  # off the event loop, as any @tool
        except TimeoutError:
            return f"nobody decided about it within {self.seconds:g} s"
        except Exception as problem:  # noqa: BLE001 -- a decider that fails has not said yes
            return f"deciding about it failed ({type(problem).__name__}: {problem})"
        if answer is True:
            return None
        return answer if isinstance(answer, str) and answer else f"the answer was {reprlib.repr(answer)}"


def _function(decide: Any) -> Decide:
    if not callable(decide):
        hint = "A team file cannot hold one; wrap the tools in Python."
        raise SettingsError("decide", reprlib.repr(decide), "a function", hint)
    return cast(Decide, decide)


@hookimpl
def cloudllm_register_tool_protocol() -> type[Decided]:
    return Decided
