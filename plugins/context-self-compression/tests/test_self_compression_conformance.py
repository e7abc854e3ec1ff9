"""SelfCompression keeps what every context strategy promises."""

from __future__ import annotations

import pytest

from cloudllm_context_self_compression import SelfCompression
from cloudllm_core import ContextStrategy
from cloudllm_core.testing.conformance import ContextStrategyContract


class TestSelfCompression(ContextStrategyContract):
    """As it comes."""

    @pytest.fixture
    def strategy(self) -> ContextStrategy:
        return SelfCompression()


class TestSelfCompressionThatKeeps(ContextStrategyContract):
    """With turns that stay word for word."""

    @pytest.fixture
    def strategy(self) -> ContextStrategy:
        return SelfCompression(keep=3)
