"""Hierarchical keeps what every mode promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Mode
from cloudllm_core.testing.conformance import ModeContract
from cloudllm_mode_hierarchical import Hierarchical


class TestHierarchical(ModeContract):
    """Three layers: one agent in the middle can fail the run, and one of the first is in the last again."""

    fewest = 4

    @pytest.fixture
    def mode(self) -> Mode:
        return Hierarchical([["ada", "bob"], ["cy"], ["dee", "ada"]])

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 5


class TestHierarchicalOfOneLayer(ModeContract):
    """One agent, alone, whoever else there is."""

    @pytest.fixture
    def mode(self) -> Mode:
        return Hierarchical([["ada"]])

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 1


class TestHierarchicalOfOneAgent(TestHierarchicalOfOneLayer):
    """One agent in all layers hears nobody, and goes on."""

    @pytest.fixture
    def mode(self) -> Mode:
        return Hierarchical([["ada"], ["ada"], ["ada"]])

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 3
