"""Who an agent is: its tools by name, and what its thought chain remembers of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ._contracts import ToolProtocol
from ._registry import Registry
from ._settings import show
from ._thoughts import ThoughtChain
from ._tool import Functions
from ._toolbox import protocols_of
from .errors import SettingsError, SetupError


def introduced(name: str, expertise: str, personality: str) -> str:
    """How instructions tell an agent who it is."""
    lines = [f"You are {name}."]
    lines += [f"Your expertise: {expertise}"] if expertise else []
    lines += [f"Your approach: {personality}"] if personality else []
    return "\n".join(lines)


def tools_named(registry: Registry, tools: Iterable[Any]) -> list[Any]:
    """*tools* with the names among them looked up. Raises: SetupError, SettingsError, PluginError."""
    if isinstance(tools, str):
        raise SetupError(f"tools={tools!r} is one word; give a list of tools, such as tools=[{tools!r}].")
    named = []
    for nth, tool in enumerate(tools):
        if isinstance(tool, (str, Mapping)):
            named.append(registry.build("tool_protocol", tool, f"tools[{nth}]"))
        elif isinstance(tool, ToolProtocol) or callable(tool):
            named.append(tool)
        else:
            expected = "a function decorated with @tool, a ToolProtocol, or the name of one"
            raise SettingsError(f"tools[{nth}]", show(tool), expected)
    return named


def names_of(protocol: ToolProtocol) -> list[str]:
    """What a tool source is called where it is told of: functions by their own names."""
    return [tool.name for tool in protocol.tools()] if isinstance(protocol, Functions) else [protocol.name]


def remembered(
    thoughts: ThoughtChain, registry: Registry, tools: Iterable[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """
    What to make an agent of that goes on from *thoughts*: who it was, changed by *options*, with its tools.

    Raises:
        SetupError: the chain is empty, or does not say enough; a tool it had is not to be had.
    """
    said = thoughts.thoughts
    if not said:
        raise SetupError("The chain holds no thoughts to resume from. Make a new agent: Agent(..., thoughts=chain)")
    was = {"name": said[-1].agent} | (thoughts.identity() or {}) | dict(options)
    given = tools_named(registry, tools)
    here = {name for protocol in protocols_of(given) for name in names_of(protocol)}
    more = [name for name in was.pop("tools", ()) if name not in here]
    if missing := [name for name in more if name not in registry.names("tool_protocol")]:
        raise SetupError(
            f"{was['name']!r} had the tool {missing[0]!r}, and there is none here. "
            "Give it: Agent.resume_from_latest(..., tools=[...])"
        )
    if "model" not in was:
        raise SetupError(f"The chain does not say which model {was['name']!r} had. Give one: model='provider:model'")
    return was | {"tools": [*given, *more]}
