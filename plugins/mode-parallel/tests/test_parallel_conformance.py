"""Parallel keeps what every mode promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Mode, Request
from cloudllm_core.testing import Line
from cloudllm_core.testing.conformance import ModeContract
from cloudllm_mode_parallel import Parallel, Quorum


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


class TestParallelSummedUp(TestParallel):
    """Two rounds, then one of the agents gives the answer."""

    names = ("ada", "bob", "cy")
    fewest = 2

    @pytest.fixture
    def mode(self) -> Mode:
        return Parallel(rounds=2, aggregate="bob")

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 2 * (agents - 1) + 1


class TestParallelFirst(TestParallel):
    """The fastest of the second round gives the answer."""

    names = ("ada", "bob", "cy")

    @pytest.fixture
    def mode(self) -> Mode:
        return Parallel(rounds=2, aggregate="first")


class TestParallelQuorum(TestParallel):
    """Two who agree end the run: agents who do from the second round on, and who never write a word twice alike."""

    names = ("ada", "bob", "cy")
    fewest = 2
    words = ("tuesday", "Tuesday.", "monday")

    @pytest.fixture
    def mode(self) -> Mode:
        return Parallel(rounds=3, aggregate=Quorum(2))

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 3 * agents

    def say(self, agent: str, nth: int, request: Request) -> Line:
        if nth == 1:
            return f"This is {agent}."
        number = self.names.index(agent) * 8 + nth
        return "".join(c.upper() if number >> i & 1 else c for i, c in enumerate("tuesday"))


class TestParallelVote(TestParallelQuorum):
    """The most frequent answer of the second round wins."""

    @pytest.fixture
    def mode(self) -> Mode:
        return Parallel(rounds=2, aggregate="vote")
