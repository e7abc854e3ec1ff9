"""Ralph with commands as checks: a shell judges, unattended, and no evidence gets to be more than a text."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudllm_core import Orchestration, Registry, ToolContext, ToolDefinition, ToolProtocol, hookimpl
from cloudllm_core.errors import SettingsError
from cloudllm_core.events import EffectFinished, EffectStarted, ToolExecutionCompleted
from cloudllm_core.testing import Show, call, rehearse, run_virtually, simulate, stage
from cloudllm_mode_ralph import Ralph, RalphTask, RalphTaskCompleted, RalphTaskRejected
from cloudllm_mode_ralph.shell import script, verdict

COMMAND = "python3 -m pytest -q"
PARAMETERS = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
GOOD = {"exit_code": 0, "duration_ms": 1, "stdout": "", "stderr": ""}
BAD = {"exit_code": 1, "duration_ms": 1, "stdout": "2 failed\n", "stderr": "no canvas\n"}


class Shell(ToolProtocol):
    """A shell that gives the results of a list, or raises them; the last one again and again."""

    name = "fake"

    def __init__(self, *results: Any, **definition: Any) -> None:
        self.results = list(results) or [GOOD]
        self.definition: dict[str, Any] = {"name": "bash", "description": "A shell.", "parameters": PARAMETERS}
        self.definition |= definition
        self.calls: list[tuple[str, dict[str, Any], ToolContext]] = []

    def tools(self) -> Sequence[ToolDefinition]:
        return [ToolDefinition(**self.definition)]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        self.calls.append((tool, dict(arguments), context))
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return await result() if callable(result) else result


def claim(evidence: str = "it is there", id: str = "a") -> Any:
    return call("complete_task", id=id, evidence=evidence)


def ralph(shell: ToolProtocol, *ids: str, **options: Any) -> Ralph:
    tasks = [RalphTask(id, f"Task {id}", check=COMMAND) for id in ids or ("a",)]
    return Ralph(tasks, **{"max_iterations": 1, "shell": shell, **options})


def play(mode: Ralph, *script: Any) -> Show:
    return asyncio.run(rehearse(mode, {"ada": list(script)}, "Build it."))


def feedback(show: Show) -> list[str]:
    return [event.feedback for event in show.notebook.events(RalphTaskRejected)]


def completed(show: Show) -> list[tuple[str, str]]:
    return [(event.agent, event.task_ids[0]) for event in show.notebook.events(RalphTaskCompleted)]


# -- what is run --------------------------------------------------------------


def test_a_command_that_accepts():
    """The shell's tool is called once, with the command behind its variables, and the task is done."""
    shell = Shell(GOOD)
    show = play(ralph(shell), claim("see index.html"), "Done.")

    run = show.result.run_id
    context = ToolContext(agent="ada", run_id=run, call_id="check-1", key=f"{run}/check:a/1", deadline=float("inf"))
    command = f"export TASK_ID=a EVIDENCE='see index.html'\n{COMMAND}"
    assert [("bash", {"command": command}, context)] == shell.calls
    assert ([("ada", "a")], [], True) == (completed(show), feedback(show), show.result.complete)


def test_a_command_that_rejects_and_then_accepts():
    """The model reads the command, its exit code and its output, and may try again in the same turn."""
    show = play(ralph(Shell(BAD, GOOD)), claim(), claim(), "Done.")

    said = f"{COMMAND!r} gave exit code 1.\n2 failed\nno canvas"
    results = [event.result for event in show.notebook.events(ToolExecutionCompleted)]
    assert [f"Task 'a' was not accepted, and stays open: {said}", "All tasks are done."] == results
    assert ([said], [("ada", "a")]) == (feedback(show), completed(show))


def test_a_claim_by_marker():
    """It is judged alike, with the words that stand for evidence."""
    shell = Shell(BAD)
    show = play(ralph(shell), "[TASK_COMPLETE:a]")

    assert [f"export TASK_ID=a EVIDENCE='said so in its reply'\n{COMMAND}"] == [c[1]["command"] for c in shell.calls]
    assert 1 == len(feedback(show))


def test_each_judgement_has_a_key_of_its_own():
    """A shell that knows repetitions by their key takes no second claim for one."""
    shell = Shell(BAD)
    show = play(ralph(shell, "a", "b"), claim(), claim(id="b"), claim(), "Hm.")

    run = show.result.run_id
    assert [f"{run}/check:a/1", f"{run}/check:b/2", f"{run}/check:a/3"] == [c[2].key for c in shell.calls]


def test_functions_and_commands_side_by_side():
    """Each task is judged by its own check."""
    shell = Shell(GOOD)
    tasks = [RalphTask("a", "A", check=COMMAND), RalphTask("b", "B", check=lambda *_: "Not yet."), RalphTask("c", "C")]
    show = play(Ralph(tasks, max_iterations=1, shell=shell), claim(), claim(id="b"), claim(id="c"), "Hm.")

    assert ([("ada", "a"), ("ada", "c")], ["Not yet."]) == (completed(show), feedback(show))
    assert 1 == len(shell.calls)


def test_it_counts_as_writing():
    """A command may leave evidence in a file, so whoever watches where a text gets to must not take it for a look."""
    show = play(ralph(Shell(GOOD)), claim(), "Done.")

    assert [("check a", "idempotent")] == [(e.name, e.effect) for e in show.notebook.events(EffectStarted)]


# -- what is said -------------------------------------------------------------

LONG = "\n".join(f"line {number}" for number in range(5_000))


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (GOOD, True),
        ({**BAD, "exit_code": 0}, True),
        ({"exit_code": 2}, "'x' gave exit code 2."),
        ({"exit_code": 2, "stdout": None, "stderr": " why \n"}, "'x' gave exit code 2.\nwhy"),
        (
            {"exit_code": 124, "stdout": "so far\n", "notice": "Stopped after 5 s."},
            "'x' gave exit code 124.\nso far\nStopped after 5 s.",
        ),
        ({"exit_code": 1, "stdout": LONG}, f"'x' gave exit code 1.\n{LONG[-4000:]}".strip()),
        (
            {"exit_code": False},
            "The check could not be run: its shell gave no exit code, but \"{'exit_code': False}\".",
        ),
        ({"exit_code": "0"}, "The check could not be run: its shell gave no exit code, but \"{'exit_code': '0'}\"."),
        ({}, "The check could not be run: its shell gave no exit code, but '{}'."),
        ("Would run.", "The check could not be run: its shell gave no exit code, but 'Would run.'."),
        (None, "The check could not be run: its shell gave no exit code, but 'None'."),
    ],
)
def test_verdicts(result, said):
    """Exit code 0 accepts and nothing else; of long output, the end is told."""
    assert said == verdict("x", result)


def test_a_shell_that_fails():
    """It is no crash: the model reads that the check could not be run, and why; the run goes on."""
    show = play(ralph(Shell(OSError("No command was run: bubblewrap is not installed."))), claim(), "Hm.")

    assert ["The check could not be run: OSError: No command was run: bubblewrap is not installed."] == feedback(show)
    assert (None, "stalled") == (show.result.error, show.result.stop_reason)


def test_a_shell_that_hangs():
    """It is given up after the time its tool may take, and stopped."""
    stopped: list[float] = []

    async def hang() -> Any:
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(10_000)
        finally:
            stopped.append(asyncio.get_running_loop().time() - began)

    mode = ralph(Shell(hang, GOOD, timeout=7))
    show = run_virtually(lambda loop: rehearse(mode, {"ada": [claim(), claim(), "."]}, "Build it."))

    assert ["The check could not be run: its shell gave no result in time."] == feedback(show)
    assert ([7], [("ada", "a")]) == (stopped, completed(show))
    assert ["cancelled", "ok"] == [event.outcome for event in show.notebook.events(EffectFinished)]


# -- evidence is a text -------------------------------------------------------


@given(st.text(), st.text(alphabet=st.characters(exclude_categories=["C"]), min_size=1))
@example("'; touch pwned; '", "a")
@example("$(touch pwned)`touch pwned`\n touch pwned", "';x;'")
@example("\\", "\\'")
@example("", "a")
def test_evidence_is_one_quoted_word(evidence, id):
    """Whatever it holds, a shell reads three words before the command, and the texts come out as they went in."""
    variables, newline, command = script(COMMAND, id, evidence).rpartition("\n")

    assert (COMMAND, "\n") == (command, newline)
    assert ["export", f"TASK_ID={id}", f"EVIDENCE={evidence.replace(chr(0), '')}"] == shlex.split(variables)


@pytest.mark.parametrize("letter", ["'", "\U0001f600", "x"])
def test_long_evidence_is_cut(letter):
    """What a command gets of it fits on a command line, whatever it is made of."""
    whole = script(COMMAND, "a", letter * 1_000_000)

    assert 10_000 == shlex.split(whole)[2].count(letter)
    assert 60_000 > len(whole.encode())


# -- replays ------------------------------------------------------------------


def team(shell: Shell, parallel: bool) -> Orchestration:
    lines = {"ada": [claim(), [claim(), claim(id="b")], "."], "bob": [claim(id="b"), "[TASK_COMPLETE:b]", "."]}
    return stage(ralph(shell, "a", "b", parallel=parallel, max_iterations=2), lines)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_replay_runs_nothing(parallel, seed):
    """Judgements come from the journal, also those of a shell that failed; the shell is not called."""
    run = simulate(lambda: team(Shell(BAD, OSError("no shell"), GOOD), parallel), seed=seed)
    never = Shell(AssertionError("a replay ran a check"))
    again = asyncio.run(team(never, parallel).replay(run.records))

    assert [] == never.calls
    assert run.result.to_json() | {"sessions_kept": None} == again.to_json() | {"sessions_kept": None}
    assert 2 == sum(isinstance(record.event, RalphTaskRejected) for record in run.records)


# -- settings -----------------------------------------------------------------


def test_settings_name_command_and_shell():
    """They are plain data, equal for equal modes, and open nothing of the shell."""
    one, other = ralph(Shell()), ralph(Shell(BAD))
    settings = one.settings()
    tasks: Any = settings["tasks"]

    assert settings == other.settings() == json.loads(json.dumps(settings))
    assert (COMMAND, "fake") == (tasks[0]["check"], settings["shell"])
    assert None is Ralph([]).settings()["shell"]


NO_SHELL = (
    "The check of task 'a' is a command, 'pytest', and Ralph has no shell to run it in. "
    'Give one: shell = "bash" in a team file, shell=Bash("out") in Python (pip install cloudllm-tool-bash).'
)


def test_a_command_needs_a_shell():
    """Refused when the mode is made, with the remedy, in Python and in a team file alike."""
    with pytest.raises(ValueError, match=f"^{re.escape(NO_SHELL)}$"):
        Ralph([RalphTask("a", "A", check="pytest")])
    with pytest.raises(SettingsError, match=re.escape(NO_SHELL)):
        Ralph.from_settings({"tasks": [{"id": "a", "title": "A", "check": "pytest"}]})


def test_a_name_is_no_shell_in_python():
    """The name of a plugin is for team files; the sentence says what to give."""
    said = (
        "Ralph's shell is 'bash', and must be a tool protocol, such as Bash('out'). "
        "A name, or a table with one, will do in a team file."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
        Ralph([], shell="bash")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("definition", "known"),
    [
        ({"name": "sh"}, "sh"),
        ({"parameters": {**PARAMETERS, "required": ["command", "host"]}}, "bash"),
    ],
)
def test_a_protocol_without_a_shell(definition, known):
    """It is told by name, with the tools that it does have."""
    said = f"Ralph's shell must have a tool 'bash' that takes a command, and 'fake' has none. Its tools: {known}."
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        ralph(Shell(**definition))


@pytest.mark.parametrize(
    ("definition", "wants"),
    [
        ({"approve": True}, "asks a person to allow each call"),
        ({"needs": ("files", "network")}, "needs network"),
        ({"untrusted": True}, "brings in text from outside"),
        (
            {"approve": True, "needs": ("processes", "files", "outside")},
            "asks a person to allow each call and needs processes, outside",
        ),
    ],
)
def test_a_shell_that_may_not_be_left_alone(definition, wants):
    """Nobody is asked before a check, so what a person or a policy would have to allow is refused beforehand."""
    said = (
        "Checks are run unattended, whatever an agent has read, so their shell may reach nothing but its workspace, "
        f"and that of 'fake' {wants}. "
        "Give one in a sandbox, without a network; or, in Python, a function as the check."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        ralph(Shell(**definition))


class Offering:
    """A plugin of this process."""

    def __init__(self, cls: type[Any], kind: str) -> None:
        self.cls = cls
        hook: Callable[[], type[Any]] = hookimpl(lambda: cls)
        setattr(self, f"cloudllm_register_{kind}", hook)


class Named(Shell):
    """A shell with a setting."""

    name = "named"

    def __init__(self, workspace: str = ".") -> None:
        super().__init__()
        self.workspace = workspace


@pytest.mark.parametrize(
    ("shell", "workspace"), [("named", "."), ({"name": "named"}, "."), ({"name": "named", "workspace": "out"}, "out")]
)
def test_a_shell_by_name(shell, workspace):
    """A team file's name, or table, is looked up among the installed tool protocols."""
    registry = Registry.of(Offering(Ralph, "mode"), Offering(Named, "tool_protocol"))
    table = {"name": "ralph", "shell": shell, "tasks": [{"id": "a", "title": "A", "check": COMMAND}]}
    mode = registry.build("mode", table)

    assert (Named, workspace) == (type(mode.shell), mode.shell.workspace)
