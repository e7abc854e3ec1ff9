"""`cloudllm run`: a team file becomes a run, and its result an exit status."""

from __future__ import annotations

import io
import json
import os
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from cloudllm_cli.performing import summary
from cloudllm_core import RunResult

DOWN = '[[agents]]\nname = "ada"\nmodel = "parrot:down"\n'


def test_a_complete_run(cloudllm, team):
    """The run is shown, summed up in one line, and its status is 0."""
    said = cloudllm("run", team(), "Begin.")

    assert (0, "") == (said.status, said.err)
    assert ["paper: I am ada.", "Complete (completed): 1 round, 7 tokens (5 in, 2 out)."] == said.out.splitlines()


def test_an_unreachable_model(cloudllm, team):
    """A run that no model answered is not complete: status 1, and a sentence that names the agent and the cause."""
    said = cloudllm("run", team(agents=DOWN), "Begin.")

    assert 1 == said.status
    assert "Not complete (failed): 1 round, 0 tokens (0 in, 0 out)." == said.out.splitlines()[-1]
    assert (
        "cloudllm: Agent 'ada' failed: ConnectionFailed: parrot:down: the connection was refused. Is it on?\n"
    ) == said.err


def test_debug_shows_what_ended_the_run(cloudllm, team):
    """With `--debug`, the error that a run ended with brings its traceback."""
    said = cloudllm("run", team(agents=DOWN), "Begin.", "--debug")

    assert "Traceback (most recent call last)" in said.err


def test_half_a_team_is_not_complete(cloudllm, team):
    """If one agent of two answers, the status is 1."""
    agents = f'{DOWN}[[agents]]\nname = "bob"\nmodel = "parrot:bob"\n'

    assert 1 == cloudllm("run", team(agents=agents), "Begin.").status


def test_json_is_alone_on_standard_output(cloudllm, team):
    """`--json` prints the result and nothing else; a sink that prints does so on standard error."""
    said = cloudllm("run", team('sinks = ["console"]'), "Begin.", "--json")

    result = json.loads(said.out)
    assert (0, "paper: I am ada.\n") == (said.status, said.err)
    assert (True, "completed", "I am ada.", 1) == tuple(
        result[key] for key in ("complete", "stop_reason", "answer", "rounds")
    )


def test_json_of_a_failed_run(cloudllm, team):
    """The result of a run that failed is JSON as well, with the error in it, and the status is 1."""
    said = cloudllm("run", team(agents=DOWN), "Begin.", "--json")

    assert 1 == said.status
    assert json.loads(said.out)["error"].startswith("Agent 'ada' failed: ConnectionFailed")


@pytest.mark.parametrize(
    ("top", "words", "shown"),
    [
        ("", [], True),
        ("", ["--json"], False),
        ("sinks = []", [], False),
        ("sinks = []", ["--sink", "console"], True),
        ("", ["--sink", "leak"], False),
        ('sinks = ["leak"]', ["--sink", "console"], True),
    ],
)
def test_the_console_is_for_those_who_name_no_sink(cloudllm, team, top, words, shown):
    """The console is used unless the file or the command line says something about sinks, or JSON is wanted."""
    said = cloudllm("run", team(top), "Begin.", *words)

    assert shown == ("paper: I am ada." in said.out + said.err)


def test_what_a_sink_missed_is_said(cloudllm, team):
    """A sink that fails harms nothing; the summary counts what it missed."""
    said = cloudllm("run", team(), "Begin.", "--sink", "leak")

    assert 0 == said.status
    assert "The sink 'leak' missed " in said.out
    assert "ValueError: no ink" in said.out


def test_the_files_prompt_stands_in(cloudllm, team):
    """A prompt in the file is used when none is given, and one that is given comes first."""
    file = team('prompt = "From the file."')

    cloudllm("run", file, "--journal", "a.jsonl")
    cloudllm("run", file, "From me.", "--journal", "b.jsonl")

    prompts = [
        json.loads(Path(name).read_text("utf-8").splitlines()[0])[5]["prompt"] for name in ("a.jsonl", "b.jsonl")
    ]
    assert ["From the file.", "From me."] == prompts


def test_a_dash_reads_standard_input(cloudllm, team, monkeypatch):
    """`-` in place of the prompt takes it from standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO("From a pipe.\n"))

    cloudllm("run", team(), "-", "--journal", "a.jsonl")

    assert '"prompt":"From a pipe.\\n"' in Path("a.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ["team.toml", "Begin.", "--json", "--seed", "7"],
        ["team.toml", "--json", "--seed", "7", "Begin."],
        ["--json", "--seed", "7", "team.toml", "Begin."],
    ],
)
def test_options_may_stand_anywhere(cloudllm, team, words):
    """Options go before, between and after the file and the prompt."""
    team()

    said = cloudllm("run", *words)

    assert (0, "I am ada.") == (said.status, json.loads(said.out)["answer"])


@pytest.mark.parametrize(("words", "what"), [([], "There is no prompt"), ([" "], "The prompt is empty")])
def test_without_a_prompt_nothing_runs(cloudllm, team, words, what):
    """No prompt, or an empty one, is a mistake, and the sentence shows both remedies."""
    said = cloudllm("run", team(), *words)

    assert 2 == said.status
    assert (
        f'cloudllm: {what}. Give one: cloudllm run team.toml "What to do". '
        'Or write it into the file: prompt = "What to do"\n'
    ) == said.err


def test_the_journal_is_new_and_is_said(cloudllm, team):
    """`--journal` writes a file that was not there, says so, and leaves one that was alone."""
    file = team()

    first = cloudllm("run", file, "Begin.", "--journal", "run.jsonl")
    kept = Path("run.jsonl").read_bytes()
    second = cloudllm("run", file, "Begin.", "--journal", "run.jsonl")

    assert (0, "Journal: run.jsonl") == (first.status, first.out.splitlines()[-1])
    assert (2, "") == (second.status, second.out)
    assert second.err.endswith("run.jsonl: File exists.\n")
    assert kept == Path("run.jsonl").read_bytes()


def test_a_wrong_file_leaves_no_journal(cloudllm, team):
    """The journal is made only when the team stands."""
    assert 2 == cloudllm("run", team("sinsk = []"), "Begin.", "--journal", "run.jsonl").status
    assert not Path("run.jsonl").exists()


def test_paths_of_the_file_are_relative_to_it(cloudllm, team, tmp_path, monkeypatch):
    """The run works in the file's folder; the journal lands where the command was given; then all is as before."""
    (tmp_path / "deep").mkdir()
    team(name="deep/team.toml")
    seen = []
    monkeypatch.setattr(
        "cloudllm_cli.run.perform", lambda *_, journal, **__: seen.append((os.getcwd(), journal)) or 1 / 0
    )

    cloudllm("run", "deep/team.toml", "Begin.", "--journal", "run.jsonl")

    folder, journal = seen[0]
    journal.close()
    assert str(tmp_path / "deep") == folder
    assert (str(tmp_path), True) == (os.getcwd(), (tmp_path / "run.jsonl").exists())


def test_a_seed_is_kept(cloudllm, team):
    """`--seed` is what chance is drawn from, as the journal's first record says."""
    cloudllm("run", team(), "Begin.", "--seed", "seven", "--journal", "a.jsonl")

    assert '"seed":"seven"' in Path("a.jsonl").read_text("utf-8")


def test_a_provider_that_will_not_close_loses_no_result(cloudllm, team):
    """When a connection cannot be closed, that is said, and the run's result stands."""
    agents = '[[agents]]\nname = "ada"\nmodel = { name = "parrot:ada", closes = false }\n'

    said = cloudllm("run", team(agents=agents), "Begin.")

    assert (0, "cloudllm: A provider could not be closed: the door is stuck\n") == (said.status, said.err)
    assert said.out.splitlines()[-1].startswith("Complete (completed)")


@pytest.mark.parametrize(
    ("cost", "told"), [("0.5", "$0.5000."), ("12.34567", "$12.3457."), ("0.0000031", "$0.0000031.")]
)
def test_the_summary_says_what_a_run_cost(cost, told):
    """Where prices are known; otherwise it says nothing of money."""
    result = RunResult(run_id="r", answer=None, complete=True, stop_reason="completed")
    priced = attrs.evolve(result, cost_by_agent={"ada": Decimal(cost)})

    assert summary(priced).endswith(f" (0 in, 0 out), {told}")
    assert "$" not in summary(result)
