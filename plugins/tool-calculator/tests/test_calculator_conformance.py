"""The calculator keeps what every tool protocol promises."""

from __future__ import annotations

import pytest

from cloudllm_core import ToolProtocol
from cloudllm_core.testing.conformance import ToolProtocolContract
from cloudllm_tool_calculator import Calculator


class TestCalculator(ToolProtocolContract):
    """Its one tool."""

    words = ("1 + 1", "mean([1, 2])", "9^9^9", "1/0", "(", "pi", "\0", "sin(")
    calls = (("calculator", {"expression": "2 * (3 + 4)"}), ("calculator", {"expression": "std([1, 2.5])"}))

    @pytest.fixture
    def protocol(self) -> ToolProtocol:
        return Calculator()
