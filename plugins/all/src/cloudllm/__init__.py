"""
CloudLLM whole: every public name of the kernel and its plugins, each imported when it is first used.

Written by `nox -s sync`; do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudllm_context_trim import (
        Trim,
    )
    from cloudllm_core import (
        Agent,
        Command,
        Completion,
        ContextStrategy,
        ContextView,
        Cut,
        Emit,
        Event,
        EventSink,
        Functions,
        Hub,
        Image,
        Journal,
        JournalText,
        Limits,
        Message,
        Mode,
        Orchestration,
        Outcome,
        PastEnds,
        Prefixed,
        Private,
        Provider,
        Record,
        Registry,
        Reply,
        Request,
        Run,
        RunResult,
        Signal,
        StopReason,
        Text,
        Thinking,
        Tool,
        ToolCall,
        ToolContext,
        ToolDefinition,
        ToolProtocol,
        ToolResult,
        Usage,
        default_registry,
        hookimpl,
        load_records,
        repair_history,
        tool,
        validate_history,
    )
    from cloudllm_journal_jsonl import (
        Jsonl,
    )
    from cloudllm_mode_debate import (
        ConvergenceChecked,
        Debate,
        Scorer,
        jaccard,
    )
    from cloudllm_mode_hierarchical import (
        Hierarchical,
        HierarchicalLayerFailed,
    )
    from cloudllm_mode_moderated import (
        Moderated,
        SpeakerChosen,
    )
    from cloudllm_mode_parallel import (
        Parallel,
    )
    from cloudllm_mode_ralph import (
        Ralph,
        RalphIterationStarted,
        RalphTask,
        RalphTaskCompleted,
        ids_in,
    )
    from cloudllm_mode_round_robin import (
        RoundRobin,
    )
    from cloudllm_provider_openai import (
        OpenAI,
    )
    from cloudllm_provider_script import (
        Line,
        Script,
        read_script,
    )
    from cloudllm_sink_console import (
        Console,
        lines_for,
    )
    from cloudllm_tool_filesystem import (
        FileError,
        FileSystem,
    )

__all__ = [
    "Agent",
    "Command",
    "Completion",
    "Console",
    "ContextStrategy",
    "ContextView",
    "ConvergenceChecked",
    "Cut",
    "Debate",
    "Emit",
    "Event",
    "EventSink",
    "FileError",
    "FileSystem",
    "Functions",
    "Hierarchical",
    "HierarchicalLayerFailed",
    "Hub",
    "Image",
    "Journal",
    "JournalText",
    "Jsonl",
    "Limits",
    "Line",
    "Message",
    "Mode",
    "Moderated",
    "OpenAI",
    "Orchestration",
    "Outcome",
    "Parallel",
    "PastEnds",
    "Prefixed",
    "Private",
    "Provider",
    "Ralph",
    "RalphIterationStarted",
    "RalphTask",
    "RalphTaskCompleted",
    "Record",
    "Registry",
    "Reply",
    "Request",
    "RoundRobin",
    "Run",
    "RunResult",
    "Scorer",
    "Script",
    "Signal",
    "SpeakerChosen",
    "StopReason",
    "Text",
    "Thinking",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolDefinition",
    "ToolProtocol",
    "ToolResult",
    "Trim",
    "Usage",
    "default_registry",
    "hookimpl",
    "ids_in",
    "jaccard",
    "lines_for",
    "load_records",
    "read_script",
    "repair_history",
    "tool",
    "validate_history",
]

_HOMES = {
    "cloudllm_context_trim": [
        "Trim",
    ],
    "cloudllm_core": [
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
    ],
    "cloudllm_journal_jsonl": [
        "Jsonl",
    ],
    "cloudllm_mode_debate": [
        "ConvergenceChecked",
        "Debate",
        "Scorer",
        "jaccard",
    ],
    "cloudllm_mode_hierarchical": [
        "Hierarchical",
        "HierarchicalLayerFailed",
    ],
    "cloudllm_mode_moderated": [
        "Moderated",
        "SpeakerChosen",
    ],
    "cloudllm_mode_parallel": [
        "Parallel",
    ],
    "cloudllm_mode_ralph": [
        "Ralph",
        "RalphIterationStarted",
        "RalphTask",
        "RalphTaskCompleted",
        "ids_in",
    ],
    "cloudllm_mode_round_robin": [
        "RoundRobin",
    ],
    "cloudllm_provider_openai": [
        "OpenAI",
    ],
    "cloudllm_provider_script": [
        "Line",
        "Script",
        "read_script",
    ],
    "cloudllm_sink_console": [
        "Console",
        "lines_for",
    ],
    "cloudllm_tool_filesystem": [
        "FileError",
        "FileSystem",
    ],
}

if not TYPE_CHECKING:  # else a type checker would believe in names that do not exist

    def __getattr__(name):
        """Import the package that *name* lives in, and keep what it says."""
        import importlib
        import sys

        home = next((home for home, names in _HOMES.items() if name in names), None)
        if home is None:
            problem = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(problem, name=name, obj=sys.modules[__name__])
        value = globals()[name] = getattr(importlib.import_module(home), name)
        return value

    def __dir__():
        """Every name there is, imported or not."""
        return sorted({*globals(), *__all__})
