"""Trim keeps what every context strategy promises."""

from __future__ import annotations

import pytest

from cloudllm_context_trim import Trim
from cloudllm_core import ContextStrategy
from cloudllm_core.testing.conformance import ContextStrategyContract


class TestTrim(ContextStrategyContract):
    """By the budget."""

    @pytest.fixture
    def strategy(self) -> ContextStrategy:
        return Trim()


class TestTrimByTurns(ContextStrategyContract):
    """By the number of turns."""

    @pytest.fixture
    def strategy(self) -> ContextStrategy:
        return Trim(turns=2)
