"""Parallel keeps what every mode promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Mode
from cloudllm_core.testing.conformance import ModeContract
from cloudllm_mode_parallel import Parallel


class TestParallel(ModeContract):
    """Two rounds, everybody at once."""

    @pytest.fixture
    def mode(self) -> Mode:
        return Parallel(rounds=2)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 2 * agents


class TestParallelStoppingEarly(TestParallel):
    """As soon as two have answered, the others are cancelled."""

    fewest = 2

    @pytest.fixture
    def mode(self) -> Mode:
        return Parallel(rounds=2, require=2, stop_early=True)
