"""Which distribution of ours brings which name. Written by `nox -s sync`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CATALOGUE: Final[Mapping[tuple[str, str], str]] = {
    ("command", "demo"): "cloudllm-cli",
    ("command", "plugins"): "cloudllm-cli",
    ("command", "replay"): "cloudllm-cli",
    ("command", "run"): "cloudllm-cli",
    ("context_strategy", "trim"): "cloudllm-context-trim",
    ("event_sink", "console"): "cloudllm-sink-console",
    ("journal", "jsonl"): "cloudllm-journal-jsonl",
    ("mode", "debate"): "cloudllm-mode-debate",
    ("mode", "hierarchical"): "cloudllm-mode-hierarchical",
    ("mode", "moderated"): "cloudllm-mode-moderated",
    ("mode", "parallel"): "cloudllm-mode-parallel",
    ("mode", "ralph"): "cloudllm-mode-ralph",
    ("mode", "round-robin"): "cloudllm-mode-round-robin",
    ("provider", "openai"): "cloudllm-provider-openai",
    ("provider", "script"): "cloudllm-provider-script",
    ("tool_protocol", "filesystem"): "cloudllm-tool-filesystem",
}
"""By kind and name; so that an error about a missing plugin can say what to install."""
