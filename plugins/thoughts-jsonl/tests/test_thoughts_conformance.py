"""The chain, the sink and the command keep the kernel's promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudllm_core import Command, EventSink, ThoughtChain
from cloudllm_core.testing.conformance import CommandContract, EventSinkContract, ThoughtChainContract
from cloudllm_thoughts_jsonl import AutoCommit, JsonlThoughts
from cloudllm_thoughts_jsonl.command import Thoughts


class Reopened(ThoughtChainContract):
    def again(self, chain: ThoughtChain) -> ThoughtChain:
        assert isinstance(chain, JsonlThoughts)
        return JsonlThoughts(chain.location, fsync=chain.fsync, heads=chain.heads, head_every=chain.head_every)


class TestAFile(Reopened):
    @pytest.fixture
    def chain(self, tmp_path: Path) -> ThoughtChain:
        return JsonlThoughts(tmp_path / "ada.jsonl", fsync="never")


class TestAFileWithHeads(Reopened):
    @pytest.fixture
    def chain(self, tmp_path: Path) -> ThoughtChain:
        return JsonlThoughts(tmp_path / "ada.jsonl", fsync="never", heads=tmp_path / "heads", head_every=3)


class TestInAFolder(Reopened):
    @pytest.fixture
    def chain(self, tmp_path: Path) -> ThoughtChain:
        return JsonlThoughts(tmp_path / "notes", fsync=0.01).for_agent({"name": "ada", "expertise": "seas"})


class TestTheSink(EventSinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> EventSink:
        return AutoCommit(location=tmp_path / "notes", fsync="never")


class TestTheCommand(CommandContract):
    examples = (
        ["show", "a.jsonl", "--last", "3", "--json"],
        ["verify", "a.jsonl", "--head", "a.head", "--key", "k.pub"],
        ["import", "old.jsonl", "--into", "new.jsonl"],
        ["head", "a.jsonl", "--out", "a.head", "--key", "k"],
        ["keygen", "example.com/notes", "--out", "k"],
    )

    @pytest.fixture
    def command(self) -> Command:
        return Thoughts()
