"""The console keeps what every event sink promises."""

from __future__ import annotations

import io

import pytest

from cloudllm_core import EventSink
from cloudllm_core.testing.conformance import EventSinkContract
from cloudllm_sink_console import Console


class TestConsole(EventSinkContract):
    """On standard output."""

    @pytest.fixture
    def sink(self) -> EventSink:
        return Console()


class TestVerboseConsole(EventSinkContract):
    """On a stream that can show ASCII only, everything that happens."""

    @pytest.fixture
    def sink(self) -> EventSink:
        return Console(stream=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), verbose=True)
