"""The example files are run as a user would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import blueprint
from cloudllm_core import default_registry

DEMO = blueprint.ROOT / "docs" / "examples" / "orchestration_demo.py"


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(DEMO), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_the_demo_runs_all_seven_modes(tmp_path: Path) -> None:
    """One file shows every mode that is installed, and each comes to its end complete."""
    done = run(cwd=tmp_path)

    assert (0, "") == (done.returncode, done.stderr)
    assert sorted(default_registry().names("mode")) == sorted(re.findall(r"^== ([\w-]+):", done.stdout, re.MULTILINE))
    assert 7 == done.stdout.count("-> completed")
    assert [] == list(tmp_path.iterdir()), "it leaves nothing behind"


@pytest.mark.parametrize("mode", ["debate", "agent-teams"])
def test_one_mode_may_be_asked_for(tmp_path: Path, mode: str) -> None:
    """The names of modes choose among them."""
    done = run(mode, cwd=tmp_path)

    assert (0, [mode]) == (done.returncode, re.findall(r"^== ([\w-]+):", done.stdout, re.MULTILINE))


def test_a_mode_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A wrong name is told with the right ones."""
    done = run("debat", cwd=tmp_path)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("There is no mode 'debat' here. Modes: parallel, round-robin, moderated, ")


def test_one_line_makes_its_models_real(tmp_path: Path) -> None:
    """With the line that defines MODEL changed as the comment says, the agents ask that model and nothing else."""
    text = DEMO.read_text(encoding="utf-8")
    line = 'MODEL: str | None = None  # or "openai:gpt-5.6", with your key in OPENAI_API_KEY'
    assert line in text
    changed = tmp_path / "demo.py"
    changed.write_text(text.replace(line, 'MODEL: str | None = "openai:gpt-5.6"'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(changed), "round-robin"],
        capture_output=True, text=True, check=False, timeout=60, env={"PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip

    assert 1 == done.returncode
    assert "-> failed" in done.stdout, "without a key, nobody answers"
