"""RoundRobin keeps what every mode promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Mode
from cloudllm_core.testing.conformance import ModeContract
from cloudllm_mode_round_robin import RoundRobin


class TestRoundRobin(ModeContract):
    """Two rounds, one agent after the other."""

    @pytest.fixture
    def mode(self) -> Mode:
        return RoundRobin(rounds=2)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 2 * agents
