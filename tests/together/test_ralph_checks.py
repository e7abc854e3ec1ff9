"""Ralph's checks as commands, in a sandbox that is really there: team files, hostile evidence, replays."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core import Orchestration, RunResult, default_registry, load_records
from cloudllm_core.errors import PluginError, SettingsError
from cloudllm_core.events import ToolExecutionCompleted
from cloudllm_core.testing import Show, call, rehearse
from cloudllm_mode_ralph import Ralph, RalphTask, RalphTaskCompleted, RalphTaskRejected
from cloudllm_tool_bash import Bash

INSTALL = "bubblewrap is not installed: apt-get install bubblewrap (Linux)"

TEAM = """
mode = { name = "ralph", max_iterations = 5, shell = { name = "bash", workspace = "out" } }

[[agents]]
name = "ada"
model = { name = "script:ada", path = "script.toml" }
tools = [{ name = "bash", workspace = "out" }]

[[tasks]]
id = "page"
title = "The page"
check = "grep canvas index.html"
"""

SCRIPT = """
[[ada]]
call = { tool = "complete_task", arguments = { id = "page", evidence = "'; echo canvas > index.html; '" } }
[[ada]]
call = { tool = "bash", arguments = { command = "echo '<canvas>' > index.html" } }
[[ada]]
call = { tool = "complete_task", arguments = { id = "page", evidence = "index.html" } }
[[ada]]
say = "The page is there."
"""

ANSWERS = [
    """Task 'page' was not accepted, and stays open: 'grep canvas index.html' gave exit code 2.
grep: index.html: No such file or directory""",
    "All tasks are done.",
]


@pytest.fixture(scope="module")
def bubblewrap() -> None:
    """Bubblewrap, without which the claims about it are skipped on a user's machine, and fail in CI."""
    if shutil.which("bwrap") is None:
        if os.environ.get("CLOUDLLM_CI") or os.environ.get("CI"):
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)


@pytest.fixture(scope="module")
def box(bubblewrap: None, tmp_path_factory: pytest.TempPathFactory) -> Bash:
    """One sandbox for all tests that do not need another, so that it is tried only once."""
    return Bash(tmp_path_factory.mktemp("ralph") / "out", timeout=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a team file and its script."""
    (tmp_path / "team.toml").write_text(TEAM, encoding="utf-8")
    (tmp_path / "script.toml").write_text(SCRIPT, encoding="utf-8")
    return tmp_path


def ralph(shell: Bash, check: str, **options: Any) -> Ralph:
    return Ralph([RalphTask("a", "A", check=check)], max_iterations=1, shell=shell, **options)


def play(mode: Ralph, *evidence: str) -> Show:
    script = [*(call("complete_task", id="a", evidence=each) for each in evidence), "That is all."]
    return asyncio.run(rehearse(mode, {"ada": script}, "Build it."))


def feedback(show: Show) -> list[str]:
    return [event.feedback for event in show.notebook.events(RalphTaskRejected)]


# -- team files ---------------------------------------------------------------


def cloudllm(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloudllm_cli", *words], cwd=folder.parent, env={**os.environ, **environment},
        capture_output=True, encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip


def answers(journal: Path) -> list[str | None]:
    """What the claims of a run were answered."""
    text = default_registry().journal("jsonl").read(str(journal))
    events = [record.event for record in load_records(text.lines, text.source)]
    made = [event for event in events if isinstance(event, ToolExecutionCompleted)]
    return [event.result for event in made if event.tool_name == "complete_task"]


def test_a_team_file(bubblewrap: None, folder: Path) -> None:
    """Rejected, mended, accepted: by the command line, in the file's own folder; a replay needs no sandbox."""
    team, journal, nowhere = str(folder / "team.toml"), folder / "run.jsonl", folder / "nowhere"
    nowhere.mkdir()

    run = cloudllm(folder, "run", team, "Build the page.", "--journal", str(journal))
    assert (0, ANSWERS) == (run.returncode, answers(journal)), run.stderr
    assert "<canvas>\n" == (folder / "out/index.html").read_text("utf-8")

    shutil.rmtree(folder / "out")
    again = cloudllm(folder, "replay", str(journal), team, PATH=str(nowhere))
    assert (0, False) == (again.returncode, (folder / "out").exists()), again.stderr


def test_agents_and_checks_share_a_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file names the same shell twice, there is one, so it is tried once."""
    monkeypatch.chdir(folder)
    team = Orchestration.from_settings(tomllib.loads(TEAM))

    assert isinstance(team.mode.shell, Bash)
    assert team.mode.shell is team.agents[0].toolbox.protocols["bash"]


def test_a_machine_without_bubblewrap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No check is run, none is passed over: each claim is answered with what is missing and how to mend it."""
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(folder / "empty"))
    team = Orchestration.from_settings(tomllib.loads(TEAM))

    async def perform() -> tuple[RunResult, list[str]]:
        run = team.run("Build the page.")
        result = await run
        await team.aclose()
        return result, [r.event.feedback for r in run.records if isinstance(r.event, RalphTaskRejected)]

    result, said = asyncio.run(perform())

    assert (False, 2) == (result.complete, len(said))
    for each in said:
        assert each.startswith("The check could not be run: SandboxError: No command was run: ")
        assert "bubblewrap" in each


@pytest.mark.parametrize(
    ("shell", "wants"),
    [
        ('{ name = "bash", workspace = "out", network = true }', "that of 'bash' needs network and brings in text"),
        (
            '{ name = "bash", workspace = "out", sandbox = "none" }',
            "that of 'bash' asks a person to allow each call and needs processes, outside, network and",
        ),
        ('"calculator"', "'calculator' has none. Its tools: "),
        ('"bsah"', "Did you mean 'bash'?"),
        ("3", "mode.shell: found 3, expected a name"),
    ],
)
def test_shells_that_a_file_may_not_name(shell: str, wants: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever may reach out of its workspace, or is no shell, is refused before anything runs."""
    monkeypatch.chdir(folder)
    text = TEAM.replace('shell = { name = "bash", workspace = "out" }', f"shell = {shell}")

    with pytest.raises((SettingsError, PluginError), match=re.escape(wants)):
        Orchestration.from_settings(tomllib.loads(text))


def test_a_file_without_a_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told what to add."""
    monkeypatch.chdir(folder)
    text = TEAM.replace(', shell = { name = "bash", workspace = "out" }', "")

    with pytest.raises(SettingsError, match=r'Give one: shell = "bash" in a team file'):
        Orchestration.from_settings(tomllib.loads(text))


# -- evidence is a text -------------------------------------------------------

HOSTILE = [
    "'; touch pwned; '",
    '"; touch pwned; "',
    "'\"'\"'; touch pwned #",
    "\\'; touch pwned; \\'",
    "$(touch pwned)",
    "`touch pwned`",
    "${IFS:+$(touch pwned)}",
    "a\ntouch pwned\n",
    "a\r\ntouch pwned\r\n",
    "x' y='$(touch pwned)' z='",
    "'\nEOF\ntouch pwned\n'",
    "!!; touch pwned",
    "& touch pwned &",
    "a[$(touch pwned)]",
    "() { :; }; touch pwned",
    "-e x; ~/* {a,b} ?",
    "\\",
    "'",
    "''",
    "%s %n $$ $0 $@",
    "\u2019; touch pwned; \u2018",
    "\x1b]0;touch pwned\x07",
    "line\u2028touch pwned",
]

KEEPS = 'printf %s "$EVIDENCE" > seen; printf %s "$TASK_ID" > id; bash -c \'printf %s "$EVIDENCE"\' | cmp - seen'


@pytest.mark.parametrize("evidence", HOSTILE)
def test_hostile_evidence(evidence: str, box: Bash) -> None:
    """Nothing in it is run; the command, and what it starts, find it in the variable as it was given."""
    show = play(ralph(box, KEEPS), evidence)

    assert ([], True) == (feedback(show), show.result.complete)
    assert evidence.encode() == (box.workspace / "seen").read_bytes()
    assert "a" == (box.workspace / "id").read_text("utf-8")
    assert {"seen", "id"} == {path.name for path in box.workspace.iterdir()}


@pytest.mark.parametrize("odd", ["a\0b", "\ud800 half a character", "'" * 30_000, "\U0001f600" * 30_000])
def test_evidence_that_no_command_line_takes(odd: str, box: Bash) -> None:
    """It is cut or mended, and the check is run all the same."""
    show = play(ralph(box, 'test -n "$EVIDENCE" && test ${#EVIDENCE} -le 10000'), odd)

    assert ([], True) == (feedback(show), show.result.complete)


def test_a_hostile_id(box: Bash) -> None:
    """The id of a task is quoted, too."""
    id = "'; touch pwned; $(touch pwned)"
    mode = Ralph([RalphTask(id, "A", check='printf %s "$TASK_ID" > id')], max_iterations=1, shell=box)
    show = asyncio.run(rehearse(mode, {"ada": [call("complete_task", id=id, evidence="x"), "."]}, "Build it."))

    assert (True, id) == (show.result.complete, (box.workspace / "id").read_text("utf-8"))
    assert not (box.workspace / "pwned").exists()


# -- commands that misbehave --------------------------------------------------


def test_a_check_that_hangs(bubblewrap: None, tmp_path: Path) -> None:
    """It is stopped after the shell's time, with all that it started, and rejects; the next one is run."""
    shell = Bash(tmp_path / "out", timeout=1)
    hangs = "test -e tried && exit; touch tried; sleep 600 & echo waiting; wait"
    show = play(ralph(shell, hangs), "once", "twice")

    (said,) = feedback(show)
    assert said.startswith(f"{hangs!r} gave exit code 124.\nwaiting\n")
    assert ["twice"] == [event.evidence for event in show.notebook.events(RalphTaskCompleted)]


def test_long_output_is_bounded(box: Bash) -> None:
    """The model reads the end of it."""
    show = play(ralph(box, "seq 1000000; echo the end >&2; exit 3"), "x")

    (said,) = feedback(show)
    assert said.endswith("999999\n1000000\nthe end")
    assert 4_100 > len(said)


def test_a_check_stays_in_its_sandbox(box: Bash, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees nothing of this program's environment, no network, and changes nothing beyond the workspace."""
    monkeypatch.setenv("CANARY_KEY", "canary-5c1e")
    outside = box.workspace.parent / "outside"
    check = f"env; cat /proc/self/net/dev; echo x > {outside}; exec 3<>/dev/tcp/127.0.0.1/1; exit 1"
    show = play(ralph(box, check), "x")

    (said,) = feedback(show)
    assert "canary-5c1e" not in said
    assert "eth" not in said
    assert not outside.exists()


# -- journals -----------------------------------------------------------------


def test_a_replay_runs_nothing(box: Bash, tmp_path: Path) -> None:
    """With a shell elsewhere that has never been used the replay gives the same result, and never uses it."""
    script = {"ada": [call("complete_task", id="a", evidence=each) for each in ("no", "yes")] + ["Done."]}
    mode = ralph(box, 'test "$EVIDENCE" = yes || { echo "say yes"; exit 1; }')
    show = asyncio.run(rehearse(mode, script, "Build it."))
    assert (["say yes"], True) == ([said.partition("\n")[2] for said in feedback(show)], show.result.complete)

    elsewhere = Bash(tmp_path / "elsewhere", timeout=3, environment={"KEY": "canary-77d2"})
    again = asyncio.run(
        Orchestration(show.orchestration.agents, ralph(elsewhere, mode.tasks[0].check)).replay(show.records)
    )

    assert show.result.messages == again.messages
    assert not elsewhere.workspace.exists()


def test_settings_hold_nothing_of_the_shell(box: Bash, tmp_path: Path) -> None:
    """A shell that was used and one that was not, here and there, give the same; no value of a variable is written."""
    used, fresh = ralph(box, "true"), ralph(Bash(tmp_path / "x", environment={"KEY": "canary-77d2"}), "true")
    assert play(used, "x").result.complete

    assert used.settings() == fresh.settings()
    assert "canary" not in json.dumps(fresh.settings())


def test_the_model_reads_what_the_command_says(box: Bash) -> None:
    """The feedback is the result of its call, as plain text without escapes."""
    show = play(ralph(box, "printf '\\033[31mred\\033[0m\\n'; exit 1"), "x")

    (event,) = show.notebook.events(ToolExecutionCompleted)
    assert event.result.endswith(" gave exit code 1.\nred")
