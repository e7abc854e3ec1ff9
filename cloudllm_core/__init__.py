"""
CloudLLM: teams of LLM agents that work together, on a kernel that says what it guarantees.

Public are this package, `cloudllm_core.events`, `cloudllm_core.errors` and `cloudllm_core.testing`.
"""

from ._agent import Agent
from ._contracts import (
    ContextStrategy,
    ContextView,
    Cut,
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
from ._events import Event, Signal
from ._history import repair_history, validate_history
from ._hookspecs import hookimpl
from ._journal import load as load_records
from ._limits import Limits
from ._messages import (
    Completion,
    Image,
    Message,
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
from ._records import Record
from ._registry import Registry, default_registry
from ._run import Run, RunResult
from ._tape import PastEnds
from ._tool import Functions, Prefixed, Tool, tool

__all__ = [
    "Agent",
    "Command",
    "Completion",
    "ContextStrategy",
    "ContextView",
    "Cut",
    "Emit",
    "Event",
    "EventSink",
    "Functions",
    "Hub",
    "Image",
    "Journal",
    "JournalText",
    "Limits",
    "Message",
    "Mode",
    "Orchestration",
    "Outcome",
    "PastEnds",
    "Prefixed",
    "Private",
    "Provider",
    "Record",
    "Registry",
    "Reply",
    "Request",
    "Run",
    "RunResult",
    "Signal",
    "StopReason",
    "Text",
    "Thinking",
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
