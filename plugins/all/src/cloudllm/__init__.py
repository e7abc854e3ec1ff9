"""
CloudLLM: teams of LLM agents that work together.

Every public name of the kernel and its plugins, each imported when it is first used. Begin with
``help(cloudllm.Agent)`` and ``help(cloudllm.Orchestration)``; ``cloudllm plugins list`` in a terminal tells what is
installed. (Written by `nox -s sync`; do not edit.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudllm_context_novelty import (
        Measure,
        NoveltyAware,
        bigram_novelty,
    )
    from cloudllm_context_self_compression import (
        SelfCompression,
        parse_refs,
    )
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
        Desk,
        Effect,
        Emit,
        Event,
        EventSink,
        Functions,
        GeneratedImage,
        Hub,
        Image,
        ImageFormat,
        ImageGenerator,
        Item,
        Journal,
        JournalText,
        Limits,
        Message,
        Mode,
        Orchestration,
        Outcome,
        Part,
        PastEnds,
        Policy,
        Prefixed,
        PriceBook,
        Private,
        Provider,
        Record,
        Registry,
        Reply,
        Request,
        Run,
        RunResult,
        Secret,
        Signal,
        StopReason,
        Store,
        Text,
        Thinking,
        Thought,
        ThoughtChain,
        ThoughtType,
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
    from cloudllm_image_gemini import (
        GeminiImages,
    )
    from cloudllm_image_grok import (
        GrokImages,
    )
    from cloudllm_image_openai import (
        OpenAIImages,
    )
    from cloudllm_journal_jsonl import (
        Jsonl,
    )
    from cloudllm_mode_agent_teams import (
        AgentTeams,
        AnthropicAgentTeams,
        Claim,
        CompletionRefused,
        LeaseExpired,
        Pool,
        PoolError,
        Task,
        TaskClaimed,
        TaskCompleted,
        TaskFailed,
        TaskGivenUp,
        TaskReleased,
        View,
        WorkItem,
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
        Aggregator,
        Parallel,
        Quorum,
        VotesCounted,
    )
    from cloudllm_mode_ralph import (
        Check,
        Ralph,
        RalphIterationStarted,
        RalphTask,
        RalphTaskCompleted,
        RalphTaskRejected,
        ids_in,
    )
    from cloudllm_mode_round_robin import (
        RoundRobin,
    )
    from cloudllm_prices_genai import (
        GenaiPrices,
        Price,
    )
    from cloudllm_provider_anthropic import (
        Anthropic,
    )
    from cloudllm_provider_compatible import (
        Compatible,
    )
    from cloudllm_provider_gemini import (
        Gemini,
    )
    from cloudllm_provider_grok import (
        Grok,
    )
    from cloudllm_provider_openai import (
        OpenAI,
    )
    from cloudllm_provider_openrouter import (
        OpenRouter,
    )
    from cloudllm_provider_resilient import (
        Gate,
        Patience,
        Resilient,
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
    from cloudllm_store_memory import (
        MemoryStore,
    )
    from cloudllm_store_sqlite import (
        SqliteStore,
    )
    from cloudllm_thoughts_jsonl import (
        AutoCommit,
        CutThoughtsError,
        Head,
        JsonlThoughts,
        TamperedThoughtsError,
        ThoughtsFileError,
        Verdict,
        verify,
    )
    from cloudllm_tool_bash import (
        Bash,
        CommandRefusedError,
        Result,
        Sandbox,
        SandboxError,
    )
    from cloudllm_tool_calculator import (
        Calculator,
        CalculatorError,
        evaluate,
    )
    from cloudllm_tool_custom import (
        CustomTools,
        openai_functions,
    )
    from cloudllm_tool_filesystem import (
        FileError,
        FileSystem,
    )
    from cloudllm_tool_http import (
        Http,
        HttpError,
        Refused,
    )
    from cloudllm_tool_image import (
        ImageFault,
        ImageTool,
    )
    from cloudllm_tool_memory import (
        Memory,
        MemoryFault,
    )
    from cloudllm_tool_wrappers import (
        Approved,
        Cached,
        Decided,
        DeniedError,
        DryRun,
        Only,
        RateLimit,
        TooManyCallsError,
        Wrapper,
    )

__all__ = [
    "Agent",
    "AgentTeams",
    "Aggregator",
    "Anthropic",
    "AnthropicAgentTeams",
    "Approved",
    "AutoCommit",
    "Bash",
    "Cached",
    "Calculator",
    "CalculatorError",
    "Check",
    "Claim",
    "Command",
    "CommandRefusedError",
    "Compatible",
    "Completion",
    "CompletionRefused",
    "Console",
    "ContextStrategy",
    "ContextView",
    "ConvergenceChecked",
    "CustomTools",
    "Cut",
    "CutThoughtsError",
    "Debate",
    "Decided",
    "DeniedError",
    "Desk",
    "DryRun",
    "Effect",
    "Emit",
    "Event",
    "EventSink",
    "FileError",
    "FileSystem",
    "Functions",
    "Gate",
    "Gemini",
    "GeminiImages",
    "GenaiPrices",
    "GeneratedImage",
    "Grok",
    "GrokImages",
    "Head",
    "Hierarchical",
    "HierarchicalLayerFailed",
    "Http",
    "HttpError",
    "Hub",
    "Image",
    "ImageFault",
    "ImageFormat",
    "ImageGenerator",
    "ImageTool",
    "Item",
    "Journal",
    "JournalText",
    "Jsonl",
    "JsonlThoughts",
    "LeaseExpired",
    "Limits",
    "Line",
    "Measure",
    "Memory",
    "MemoryFault",
    "MemoryStore",
    "Message",
    "Mode",
    "Moderated",
    "NoveltyAware",
    "Only",
    "OpenAI",
    "OpenAIImages",
    "OpenRouter",
    "Orchestration",
    "Outcome",
    "Parallel",
    "Part",
    "PastEnds",
    "Patience",
    "Policy",
    "Pool",
    "PoolError",
    "Prefixed",
    "Price",
    "PriceBook",
    "Private",
    "Provider",
    "Quorum",
    "Ralph",
    "RalphIterationStarted",
    "RalphTask",
    "RalphTaskCompleted",
    "RalphTaskRejected",
    "RateLimit",
    "Record",
    "Refused",
    "Registry",
    "Reply",
    "Request",
    "Resilient",
    "Result",
    "RoundRobin",
    "Run",
    "RunResult",
    "Sandbox",
    "SandboxError",
    "Scorer",
    "Script",
    "Secret",
    "SelfCompression",
    "Signal",
    "SpeakerChosen",
    "SqliteStore",
    "StopReason",
    "Store",
    "TamperedThoughtsError",
    "Task",
    "TaskClaimed",
    "TaskCompleted",
    "TaskFailed",
    "TaskGivenUp",
    "TaskReleased",
    "Text",
    "Thinking",
    "Thought",
    "ThoughtChain",
    "ThoughtType",
    "ThoughtsFileError",
    "TooManyCallsError",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolDefinition",
    "ToolProtocol",
    "ToolResult",
    "Trim",
    "Usage",
    "Verdict",
    "View",
    "VotesCounted",
    "WorkItem",
    "Wrapper",
    "bigram_novelty",
    "default_registry",
    "evaluate",
    "hookimpl",
    "ids_in",
    "jaccard",
    "lines_for",
    "load_records",
    "openai_functions",
    "parse_refs",
    "read_script",
    "repair_history",
    "tool",
    "validate_history",
    "verify",
]

_HOMES = {
    "cloudllm_context_novelty": [
        "Measure",
        "NoveltyAware",
        "bigram_novelty",
    ],
    "cloudllm_context_self_compression": [
        "SelfCompression",
        "parse_refs",
    ],
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
    ],
    "cloudllm_image_gemini": [
        "GeminiImages",
    ],
    "cloudllm_image_grok": [
        "GrokImages",
    ],
    "cloudllm_image_openai": [
        "OpenAIImages",
    ],
    "cloudllm_journal_jsonl": [
        "Jsonl",
    ],
    "cloudllm_mode_agent_teams": [
        "AgentTeams",
        "AnthropicAgentTeams",
        "Claim",
        "CompletionRefused",
        "LeaseExpired",
        "Pool",
        "PoolError",
        "Task",
        "TaskClaimed",
        "TaskCompleted",
        "TaskFailed",
        "TaskGivenUp",
        "TaskReleased",
        "View",
        "WorkItem",
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
        "Aggregator",
        "Parallel",
        "Quorum",
        "VotesCounted",
    ],
    "cloudllm_mode_ralph": [
        "Check",
        "Ralph",
        "RalphIterationStarted",
        "RalphTask",
        "RalphTaskCompleted",
        "RalphTaskRejected",
        "ids_in",
    ],
    "cloudllm_mode_round_robin": [
        "RoundRobin",
    ],
    "cloudllm_prices_genai": [
        "GenaiPrices",
        "Price",
    ],
    "cloudllm_provider_anthropic": [
        "Anthropic",
    ],
    "cloudllm_provider_compatible": [
        "Compatible",
    ],
    "cloudllm_provider_gemini": [
        "Gemini",
    ],
    "cloudllm_provider_grok": [
        "Grok",
    ],
    "cloudllm_provider_openai": [
        "OpenAI",
    ],
    "cloudllm_provider_openrouter": [
        "OpenRouter",
    ],
    "cloudllm_provider_resilient": [
        "Gate",
        "Patience",
        "Resilient",
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
    "cloudllm_store_memory": [
        "MemoryStore",
    ],
    "cloudllm_store_sqlite": [
        "SqliteStore",
    ],
    "cloudllm_thoughts_jsonl": [
        "AutoCommit",
        "CutThoughtsError",
        "Head",
        "JsonlThoughts",
        "TamperedThoughtsError",
        "ThoughtsFileError",
        "Verdict",
        "verify",
    ],
    "cloudllm_tool_bash": [
        "Bash",
        "CommandRefusedError",
        "Result",
        "Sandbox",
        "SandboxError",
    ],
    "cloudllm_tool_calculator": [
        "Calculator",
        "CalculatorError",
        "evaluate",
    ],
    "cloudllm_tool_custom": [
        "CustomTools",
        "openai_functions",
    ],
    "cloudllm_tool_filesystem": [
        "FileError",
        "FileSystem",
    ],
    "cloudllm_tool_http": [
        "Http",
        "HttpError",
        "Refused",
    ],
    "cloudllm_tool_image": [
        "ImageFault",
        "ImageTool",
    ],
    "cloudllm_tool_memory": [
        "Memory",
        "MemoryFault",
    ],
    "cloudllm_tool_wrappers": [
        "Approved",
        "Cached",
        "Decided",
        "DeniedError",
        "DryRun",
        "Only",
        "RateLimit",
        "TooManyCallsError",
        "Wrapper",
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
