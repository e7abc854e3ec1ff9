"""Which distribution of ours brings which name. Written by `nox -s sync`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CATALOGUE: Final[Mapping[tuple[str, str], str]] = {
    ("command", "demo"): "cloudllm-cli",
    ("command", "memory"): "cloudllm-tool-memory",
    ("command", "plugins"): "cloudllm-cli",
    ("command", "pool"): "cloudllm-mode-agent-teams",
    ("command", "replay"): "cloudllm-cli",
    ("command", "run"): "cloudllm-cli",
    ("command", "thoughts"): "cloudllm-thoughts-jsonl",
    ("command", "worker"): "cloudllm-mode-agent-teams",
    ("context_strategy", "novelty"): "cloudllm-context-novelty",
    ("context_strategy", "self-compression"): "cloudllm-context-self-compression",
    ("context_strategy", "trim"): "cloudllm-context-trim",
    ("event_sink", "console"): "cloudllm-sink-console",
    ("event_sink", "thoughts"): "cloudllm-thoughts-jsonl",
    ("journal", "jsonl"): "cloudllm-journal-jsonl",
    ("mode", "agent-teams"): "cloudllm-mode-agent-teams",
    ("mode", "debate"): "cloudllm-mode-debate",
    ("mode", "hierarchical"): "cloudllm-mode-hierarchical",
    ("mode", "moderated"): "cloudllm-mode-moderated",
    ("mode", "parallel"): "cloudllm-mode-parallel",
    ("mode", "ralph"): "cloudllm-mode-ralph",
    ("mode", "round-robin"): "cloudllm-mode-round-robin",
    ("provider", "anthropic"): "cloudllm-provider-anthropic",
    ("provider", "gemini"): "cloudllm-provider-gemini",
    ("provider", "grok"): "cloudllm-provider-grok",
    ("provider", "openai"): "cloudllm-provider-openai",
    ("provider", "openrouter"): "cloudllm-provider-openrouter",
    ("provider", "script"): "cloudllm-provider-script",
    ("store", "memory"): "cloudllm-store-memory",
    ("store", "sqlite"): "cloudllm-store-sqlite",
    ("thought_chain", "jsonl"): "cloudllm-thoughts-jsonl",
    ("tool_protocol", "filesystem"): "cloudllm-tool-filesystem",
    ("tool_protocol", "memory"): "cloudllm-tool-memory",
}
"""By kind and name; so that an error about a missing plugin can say what to install."""
