"""A journal by the name of its file, from Python."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cloudllm_core import default_registry
from cloudllm_core.errors import DivergenceError, JournalError, SetupError
from cloudllm_core.testing import stage
from cloudllm_mode_round_robin import RoundRobin


def team(rounds: int = 1):
    return stage(RoundRobin(rounds=rounds), {"ada": ["A", "A2"], "bob": ["B", "B2"]}, registry=default_registry())


def test_a_run_is_kept_and_replayed_by_the_name_of_a_file(tmp_path: Path) -> None:
    """One word keeps a run, one word re-enacts it, and another team is told where it differs."""
    file = tmp_path / "run.jsonl"

    result = team().run_sync("Begin.", journal=file)

    assert result.messages == asyncio.run(team().replay(file)).messages
    assert result.messages == asyncio.run(team().replay(str(file))).messages
    with pytest.raises(DivergenceError, match="settings.rounds"):
        asyncio.run(team(2).replay(file))


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    file = tmp_path / "run.jsonl"
    file.write_text("mine")

    with pytest.raises(JournalError, match="never written over"):
        team().run_sync("Begin.", journal=file)
    assert "mine" == file.read_text()


def test_what_is_set_up_wrongly_leaves_no_file(tmp_path: Path) -> None:
    """The file is made last."""
    file = tmp_path / "run.jsonl"

    with pytest.raises(SetupError, match="The prompt is empty"):
        team().run_sync(" ", journal=file)
    assert not file.exists()
