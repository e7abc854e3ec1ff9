"""Moderated keeps what every mode promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Mode, Request
from cloudllm_core.testing import Line, call
from cloudllm_core.testing.conformance import ModeContract
from cloudllm_mode_moderated import Moderated


class TestModerated(ModeContract):
    """Two rounds under a moderator who never manages to choose anybody."""

    fewest = 2

    @pytest.fixture
    def mode(self) -> Mode:
        return Moderated("ada", rounds=2)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 2 * 3 + 1


class TestModeratedWithChoices(TestModerated):
    """Three rounds under a moderator who errs first, then chooses the last expert; nobody sums up."""

    @pytest.fixture
    def mode(self) -> Mode:
        return Moderated("ada", rounds=3, synthesize=False)

    def most_turns(self, mode: Mode, agents: int) -> int:
        return 3 * 3

    def say(self, agent: str, nth: int, request: Request) -> Line:
        if agent == "ada" and request.messages[-1].role == "user":
            listed = [line[2:] for line in request.messages[-1].text.splitlines() if line.startswith("- ")]
            names = ["nobody", *listed[-1:]]
            return [f"Ada, call {nth}.", *(call("choose_speaker", name=name, reason=f"call {nth}") for name in names)]
        return f"This is {agent}, call {nth}."


class TestModeratedInTheMiddle(TestModerated):
    """The moderator need not be the first agent."""

    @pytest.fixture
    def mode(self) -> Mode:
        return Moderated("bob", rounds=2)
