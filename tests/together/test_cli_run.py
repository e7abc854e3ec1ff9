"""`cloudllm run` with the plugins that come with it: wrong files, an unreachable server, Ctrl-C, exit statuses."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest

from cloudllm_core import default_registry

MODES, PROVIDERS, TOOLS, SINKS = (
    ", ".join(default_registry().names(kind)) for kind in ("mode", "provider", "tool_protocol", "event_sink")
)
COMMAND = [sys.executable, "-m", "cloudllm_cli"]
ADA = '[[agents]]\nname = "ada"\nmodel = { name = "script:ada", path = "script.toml" }\n'
BOB = ADA.replace("ada", "bob")
SCRIPT = """
[[ada]]
say = "I look at it."
call = { tool = "write_file", arguments = { path = "a.txt", content = "A" } }
[[ada]]
say = "Done."
[[bob]]
say = "I think about it."
pause = 600
"""


@pytest.fixture
def cloudllm(tmp_path):
    """Runs the command line in a folder with a script and the given team file."""
    (tmp_path / "script.toml").write_text(SCRIPT, "utf-8")

    def call(*words, team=None):
        if team is not None:
            (tmp_path / "team.toml").write_text(team, "utf-8")
        return subprocess.run(
            [*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )  # fmt: skip

    return call


def model(text):
    return f'mode = "round-robin"\n[[agents]]\nname = "ada"\nmodel = {text}\n'


@pytest.mark.parametrize(
    ("team", "sentence"),
    [
        (
            f'mode = "round-robn"\n{ADA}',
            (f"mode: No mode is called 'round-robn' (installed: {MODES}). Did you mean 'round-robin'?"),
        ),
        (
            f'mode = {{ name = "round-robin", ruonds = 2 }}\n{ADA}',
            (
                "mode.ruonds: found the unknown setting 'ruonds', expected one of rounds for 'round-robin'. "
                "Did you mean 'rounds'?"
            ),
        ),
        (
            f'mode = {{ name = "round-robin", rounds = "two" }}\n{ADA}',
            "mode.rounds: found 'two', expected a whole number.",
        ),
        (
            model('"opnai:gpt"'),
            f"agents[0].model: No provider is called 'opnai' (installed: {PROVIDERS}). Did you mean 'openai'?",
        ),
        (
            model('"gpt-5"'),
            (
                "agents[0].model: found 'gpt-5', expected text of the form 'provider:model'. "
                f"Installed providers: {PROVIDERS}."
            ),
        ),
        (
            model('"script:ada"'),
            "agents[0].model: found no 'path', expected 'path', which 'script' needs.",
        ),
        (
            f'mode = "round-robin"\n{ADA}tools = ["filesytem"]\n',
            (
                f"agents[0].tools[0]: No tool protocol is called 'filesytem' (installed: {TOOLS}). "
                "Did you mean 'filesystem'?"
            ),
        ),
        (
            f'mode = "round-robin"\nsinks = ["consol"]\n{ADA}',
            f"sinks[0]: No event sink is called 'consol' (installed: {SINKS}). Did you mean 'console'?",
        ),
        (
            f'mode = "round-robin"\n{ADA}{ADA}',
            "Two agents are called 'ada'; their words could not be told apart. Rename one.",
        ),
    ],
)
def test_a_wrong_file_is_told_in_a_sentence(cloudllm, team, sentence):
    """The sentence names the file, the key, what was found and what was expected; status 2, no traceback."""
    done = cloudllm("run", "team.toml", "Begin.", team=team)

    assert (2, "", f"cloudllm: team.toml: {sentence}\n") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('after = ["plan"]', "The task 'page' comes after 'plan', and there is no such task."),
        ('after = ["page"]', "The task 'page' can never begin: it waits, in a circle, for itself."),
    ],
)
def test_a_wrong_checklist_is_told(cloudllm, table, problem):
    """A checklist that can never be done is refused before anything runs."""
    team = f'mode = "ralph"\n[[tasks]]\nid = "page"\ntitle = "Page"\n{table}\n{ADA}'

    done = cloudllm("run", "team.toml", "Begin.", team=team)

    assert 2 == done.returncode
    assert done.stderr.startswith("cloudllm: team.toml: mode: found ")
    assert done.stderr.endswith(f"{problem}\n")


def test_an_unreachable_server(cloudllm):
    """Where nobody listens, the run is not complete: status 1, and a sentence with the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"

    done = cloudllm("run", "team.toml", "Begin.", team=model(f'{{ name = "openai:x", base_url = "{url}" }}'))

    assert 1 == done.returncode
    assert "Not complete (failed): 1 round, 0 tokens (0 in, 0 out)." == done.stdout.splitlines()[-1]
    assert done.stderr.startswith("cloudllm: Agent 'ada' failed: ConnectionFailed: openai:x: ")
    assert url in done.stderr
    assert 1 == done.stderr.count("\n")


def test_a_script_that_is_not_there(cloudllm):
    """A file that a provider needs and does not find ends the run with a sentence that names it."""
    done = cloudllm("run", "team.toml", "Begin.", team=model('{ name = "script:ada", path = "nix.toml" }'))

    assert 1 == done.returncode
    assert "nix.toml" in done.stderr
    assert 1 == done.stderr.count("\n")


def test_a_run_on_the_console(cloudllm, tmp_path):
    """Without a sink of its own, a team is shown on the console; its tools work in the file's folder."""
    team = f'mode = "round-robin"\n{ADA}tools = [{{ name = "filesystem", root = "out" }}]\n'

    done = cloudllm("run", "team.toml", "Begin.", team=team)

    assert (0, "") == (done.returncode, done.stderr)
    assert "ada: I look at it.\n" in done.stdout
    assert "Complete (completed): 1 round, " in done.stdout
    assert "A" == (tmp_path / "out" / "a.txt").read_text("utf-8")


def test_json_with_a_console(cloudllm):
    """`--json` keeps standard output for the result, even if the file asks for a console."""
    team = f'mode = "round-robin"\nsinks = ["console"]\n{ADA}tools = [{{ name = "filesystem", root = "out" }}]\n'

    done = cloudllm("run", "team.toml", "Begin.", "--json", team=team)

    assert (0, "Done.") == (done.returncode, json.loads(done.stdout)["answer"])
    assert "ada: I look at it.\n" in done.stderr


def test_a_key_is_not_needed_for_a_replay(cloudllm):
    """A team whose provider wants a key, and whose server is gone, is re-enacted without either."""
    team = model('{ name = "openai:x", base_url = "http://127.0.0.1:1/v1" }')
    cloudllm("run", "team.toml", "Begin.", "--journal", "run.jsonl", team=team)

    done = cloudllm("replay", "run.jsonl", "team.toml", team=team.replace("127.0.0.1:1/", "localhost:2/"))

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.endswith(" records re-enacted, identical.\n")


def test_ctrl_c_closes_the_run_and_its_journal(cloudllm, tmp_path):
    """After Ctrl-C in the middle of a run: status 130, a journal that ends with it, and a replay that agrees."""
    tools = 'tools = [{ name = "filesystem", root = "out" }]\n'
    (tmp_path / "team.toml").write_text(f'mode = "round-robin"\n{ADA}{tools}{BOB}', "utf-8")
    words = [*COMMAND, "run", "team.toml", "Begin.", "--journal", "run.jsonl"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert any("ada: Done." in line for line in iter(process.stdout.readline, ""))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()

    assert 130 == process.returncode
    assert ["Not complete (cancelled)", "Journal"] == [line.partition(":")[0] for line in out.splitlines()[-2:]]
    assert "\ncloudllm: Closing the run. Press Ctrl-C again to end at once.\n" == err
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines()
    assert "RunCancelled" == json.loads(lines[-1])[5]["event"]

    done = cloudllm("replay", "run.jsonl", "team.toml")
    assert (0, f"{len(lines)} records re-enacted, identical.\n") == (done.returncode, done.stdout)


def test_what_is_installed_is_listed():
    """Every plugin of ours is in the list, and nothing is wrong with any."""
    done = subprocess.run([*COMMAND, "plugins", "list", "--json"], capture_output=True, check=True, timeout=60)

    told = {(plugin["kind"], plugin["name"]): plugin["status"] for plugin in json.loads(done.stdout)}
    assert {"ok"} == set(told.values())
    assert {("command", "run"), ("mode", "ralph"), ("provider", "openai"), ("journal", "jsonl")} <= set(told)
