"""The tool keeps what every tool protocol promises."""

from __future__ import annotations

import pytest

from cloudllm_core import ToolProtocol
from cloudllm_core.testing.conformance import ToolProtocolContract
from cloudllm_tool_bash import Bash


class TestBash(ToolProtocolContract):
    """In the sandbox."""

    calls = (("bash", {"command": "echo text; ls"}), ("bash", {"command": "exit 3", "timeout": 5}))

    @pytest.fixture
    def protocol(self, box: Bash) -> ToolProtocol:
        return box
