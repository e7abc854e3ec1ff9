"""Debate keeps what every mode promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Mode, Request
from cloudllm_core.testing import Line
from cloudllm_core.testing.conformance import ModeContract
from cloudllm_mode_debate import Debate


class TestDebate(ModeContract):
    """Three rounds, by agents who never agree that far."""

    fewest = 2

    @pytest.fixture
    def mode(self) -> Mode:
        return Debate(max_rounds=3, convergence_threshold=0.9)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 3 * agents


class TestDebateThatConverges(TestDebate):
    """Agents who come closer, and agree in the third round."""

    @pytest.fixture
    def mode(self) -> Mode:
        return Debate(max_rounds=4, convergence_threshold=0.5)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 4 * agents

    def say(self, agent: str, nth: int, request: Request) -> Line:
        both = "we sail at noon with the tide and come back at night " * (nth > 2)
        return f"{both}{agent}{nth}"
