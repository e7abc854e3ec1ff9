"""The five commands keep what every command promises."""

from __future__ import annotations

import pytest

from cloudllm_cli.demo import Demo
from cloudllm_cli.models import Models
from cloudllm_cli.plugins import Plugins
from cloudllm_cli.replay import Replay
from cloudllm_cli.run import Run
from cloudllm_core import Command
from cloudllm_core.testing.conformance import CommandContract


class TestRun(CommandContract):
    """`cloudllm run`."""

    examples = (
        ["team.toml"],
        ["team.toml", "Build the game"],
        ["team.toml", "-", "--json"],
        ["team.toml", "Go.", "--journal", "run.jsonl", "--sink", "console", "--sink", "bell", "--seed", "7"],
    )

    @pytest.fixture
    def command(self) -> Command:
        return Run()


class TestReplay(CommandContract):
    """`cloudllm replay`."""

    examples = (["run.jsonl", "team.toml"], ["run.jsonl", "team.toml", "Build the game"])

    @pytest.fixture
    def command(self) -> Command:
        return Replay()


class TestPlugins(CommandContract):
    """`cloudllm plugins`."""

    examples = ([], ["list"], ["list", "--json"])

    @pytest.fixture
    def command(self) -> Command:
        return Plugins()


class TestModels(CommandContract):
    """`cloudllm models`."""

    examples = (["openai"], ["compatible", "--base-url", "http://127.0.0.1:8080/v1", "--json"])

    @pytest.fixture
    def command(self) -> Command:
        return Models()


class TestDemo(CommandContract):
    """`cloudllm demo`."""

    examples = ([], ["--dir", "here", "--journal", "run.jsonl"])

    @pytest.fixture
    def command(self) -> Command:
        return Demo()
