"""
CloudLLM: teams of LLM agents that work together, on a kernel that says what it guarantees.

Public are this package, `cloudllm_core.events`, `cloudllm_core.errors` and `cloudllm_core.testing`.

Names are fetched from their modules when they are first asked for, so that whoever needs one of them
(a plugin its contract, say) does not pay for all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._agent import Agent
    from ._contracts import (
        Effect,
        Emit,
        Hub,
        Mode,
        Outcome,
        Provider,
        Request,
        ToolContext,
        ToolDefinition,
        ToolProtocol,
    )
    from ._events import Event
    from ._history import repair_history, validate_history
    from ._hookspecs import hookimpl
    from ._images import GeneratedImage, ImageFormat, ImageGenerator
    from ._journal import load_records
    from ._limits import Limits
    from ._messages import (
        Completion,
        Image,
        Message,
        Part,
        Private,
        Reply,
        StopReason,
        Text,
        Thinking,
        ToolCall,
        ToolResult,
        Usage,
    )
    from ._orchestration import Orchestration
    from ._outlets import Command, EventSink, Journal, JournalText
    from ._policy import Policy
    from ._prices import PriceBook
    from ._records import Record
    from ._registry import Registry, default_registry
    from ._run import Run, RunResult
    from ._secrets import Secret
    from ._signals import Signal
    from ._stores import Item, Store
    from ._strategies import ContextStrategy, ContextView, Cut, Desk
    from ._tape import PastEnds
    from ._thoughts import Thought, ThoughtChain, ThoughtType
    from ._tool import Functions, Prefixed, Tool, tool

__all__ = [
    "Agent",
    "Command",
    "Completion",
    "ContextStrategy",
    "ContextView",
    "Cut",
    "Desk",
    "Effect",
    "Emit",
    "Event",
    "EventSink",
    "Functions",
    "GeneratedImage",
    "Hub",
    "Image",
    "ImageFormat",
    "ImageGenerator",
    "Item",
    "Journal",
    "JournalText",
    "Limits",
    "Message",
    "Mode",
    "Orchestration",
    "Outcome",
    "Part",
    "PastEnds",
    "Policy",
    "Prefixed",
    "PriceBook",
    "Private",
    "Provider",
    "Record",
    "Registry",
    "Reply",
    "Request",
    "Run",
    "RunResult",
    "Secret",
    "Signal",
    "StopReason",
    "Store",
    "Text",
    "Thinking",
    "Thought",
    "ThoughtChain",
    "ThoughtType",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolDefinition",
    "ToolProtocol",
    "ToolResult",
    "Usage",
    "default_registry",
    "hookimpl",
    "load_records",
    "repair_history",
    "tool",
    "validate_history",
]

_HOMES = {
    "_agent": "Agent",
    "_contracts": "Effect Emit Hub Mode Outcome Provider Request ToolContext ToolDefinition ToolProtocol",
    "_events": "Event",
    "_history": "repair_history validate_history",
    "_hookspecs": "hookimpl",
    "_images": "GeneratedImage ImageFormat ImageGenerator",
    "_journal": "load_records",
    "_limits": "Limits",
    "_messages": "Completion Image Message Part Private Reply StopReason Text Thinking ToolCall ToolResult Usage",
    "_orchestration": "Orchestration",
    "_outlets": "Command EventSink Journal JournalText",
    "_policy": "Policy",
    "_prices": "PriceBook",
    "_records": "Record",
    "_registry": "Registry default_registry",
    "_run": "Run RunResult",
    "_secrets": "Secret",
    "_signals": "Signal",
    "_stores": "Item Store",
    "_strategies": "ContextStrategy ContextView Cut Desk",
    "_tape": "PastEnds",
    "_thoughts": "Thought ThoughtChain ThoughtType",
    "_tool": "Functions Prefixed Tool tool",
}
"""Which module a name lives in."""


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names.split():
            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
