"""Tools of one's own keep what every tool protocol promises."""

from __future__ import annotations

import pytest

from cloudllm_core import ToolProtocol
from cloudllm_core.testing.conformance import ToolProtocolContract
from cloudllm_tool_custom import CustomTools


def add(a: int, b: float = 1) -> float:
    """Add two numbers.

    Args:
        a: one
        b: the other
    """
    return a + b


async def count(**words: int) -> int:
    return sum(words.values())


class TestCustomTools(ToolProtocolContract):
    """One by annotations, one by a schema, async and not."""

    calls = (("add", {"a": 1}), ("count", {"one-word": 2}))

    @pytest.fixture
    def protocol(self) -> ToolProtocol:
        tools = CustomTools()
        tools.register(add, effect="read")
        words = {"one-word": {"type": "integer", "description": "How often."}}
        tools.register_json("count", "Count.", {"type": "object", "properties": words}, count, effect="read")
        return tools
