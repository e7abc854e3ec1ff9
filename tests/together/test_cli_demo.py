"""The demo, as a new user sees it: run in a process of its own, with every plugin installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GAME = [
    "PLAN.md",
    "README.md",
    "index.html",
    "js/drawing.js",
    "js/game.js",
    "js/levels.js",
    "js/rules.js",
    "js/sound.js",
    "js/tests.js",
    "style.css",
    "tests.html",
]


def cloudllm(*words, cwd, **environment):
    """Run the command line in a fresh process; no key and no address of a provider is known to it."""
    return subprocess.run(
        [sys.executable, "-m", "cloudllm_cli", *map(str, words)],
        cwd=cwd, env={"PATH": "", **environment}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The folder of one demo, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, cloudllm("demo", "--dir", "here", "--journal", "run.jsonl", cwd=folder)


def test_ten_tasks_are_completed(shown):
    """The team completes its ten tasks, and the exit status says so."""
    _, done = shown

    assert (0, "") == (done.returncode, done.stderr)
    assert "[10/10]\n" in done.stdout
    assert "\nComplete (completed): 3 rounds, " in done.stdout


def test_it_says_what_is_scripted(shown):
    """Before anything else, the output says plainly that no model is asked."""
    _, done = shown

    assert "The model side is scripted: " in done.stdout.partition("==")[0]
    assert "No network, no key" in done.stdout.partition("==")[0]


def test_the_files_are_real(shown):
    """Every file of the plan is on disk, and listed with its size and folder."""
    folder, done = shown
    game = folder / "here" / "star-catcher"

    found = sorted(path.relative_to(game).as_posix() for path in game.rglob("*") if path.is_file())
    assert GAME == sorted(name for name in found if not Path(name).name.startswith("."))
    assert f"11 files in {game}:" in done.stdout
    for name in GAME:
        assert f"{(game / name).stat().st_size:8,}  {name}\n" in done.stdout


@pytest.mark.parametrize("page", ["index.html", "tests.html"])
def test_the_pages_have_what_they_need(shown, page):
    """Each file that a page names is there, and each element that the game asks the page for."""
    game = shown[0] / "here" / "star-catcher"
    text = (game / page).read_text("utf-8")

    named = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert [] == [name for name in named if not (game / name).is_file()]
    if page == "index.html":
        wanted = set(re.findall(r'getElementById\("(\w+)"\)', (game / "js/game.js").read_text("utf-8")))
        assert wanted == set(re.findall(r'id="(\w+)"', text))


def test_each_script_uses_what_another_adds(shown):
    """No script asks the shared object for something that none of them adds to it."""
    scripts = "\n".join(path.read_text("utf-8") for path in (shown[0] / "here/star-catcher/js").glob("*.js"))

    used = set(re.findall(r"\bgame\.(\w+)", scripts))
    assert used == set(re.findall(r"\bgame\.(\w+) = ", scripts))


def test_the_tester_mended_a_file_of_the_engineer(shown):
    """What one agent wrote another has read and changed: the rim of the basket counts."""
    rules = (shown[0] / "here/star-catcher/js/rules.js").read_text("utf-8")

    assert "<= basket.width / 2;" in rules


def test_completion_before_its_time_is_refused(shown):
    """An agent that claims a task too early is told so, and the task stays open."""
    assert "Task 'game' comes after drawing, which is not done yet." in shown[1].stdout


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_it_can_be_re_enacted(shown, tmp_path, seed):
    """The journal, with the team file alone (no script beside it), gives identical records under any hash seed."""
    folder, _ = shown
    (tmp_path / "team.toml").write_bytes((folder / "here" / "team.toml").read_bytes())

    done = cloudllm("replay", folder / "run.jsonl", "team.toml", cwd=tmp_path, PYTHONHASHSEED=seed)

    count = (folder / "run.jsonl").read_bytes().count(b"\n")
    assert (0, f"{count} records re-enacted, identical.\n", "") == (done.returncode, done.stdout, done.stderr)
    assert ["team.toml"] == [path.name for path in tmp_path.iterdir()]


def test_its_team_file_is_an_example(shown, tmp_path):
    """The demo's team file runs by `cloudllm run` as well, prompt included, and does the same."""
    for name in ("team.toml", "script.toml"):
        (tmp_path / name).write_bytes((shown[0] / "here" / name).read_bytes())

    done = cloudllm("run", tmp_path / "team.toml", cwd=shown[0])

    assert 0 == done.returncode
    assert (tmp_path / "star-catcher" / "index.html").is_file()


def test_without_a_folder_it_takes_a_new_one(tmp_path):
    """Without `--dir` the files go to a new temporary folder, which the output names."""
    done = cloudllm("demo", cwd=tmp_path, TMPDIR=str(tmp_path))

    assert 0 == done.returncode
    assert [f"Play it:   open {tmp_path}/cloudllm-demo-"] == re.findall(r"Play it:   open .*demo-", done.stdout)
