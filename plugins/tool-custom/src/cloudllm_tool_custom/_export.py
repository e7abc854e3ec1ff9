"""Definitions as other programs take them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cloudllm_core import ToolDefinition, ToolProtocol


def openai_functions(tools: ToolProtocol | Iterable[ToolDefinition]) -> list[dict[str, Any]]:
    """
    *tools* as the function tools of OpenAI's Chat Completions API, schemas whole.

    (The original, CloudLLM for Rust, lost what lists hold and objects have in its export.)
    """
    definitions = tools.tools() if isinstance(tools, ToolProtocol) else tools
    return [
        {
            "type": "function",
            "function": {
                "name": one.name,
                "description": one.description,
                "parameters": json.loads(json.dumps(one.parameters)),
            },
        }
        for one in definitions
    ]
