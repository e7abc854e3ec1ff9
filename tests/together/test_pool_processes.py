"""Two real workers at one pool in a file, one of which dies; and the pool's contract on that store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from cloudllm_mode_agent_teams.conformance import PoolContract
from cloudllm_store_sqlite import SqliteStore

TEAM = """
mode = {{ name = "agent-teams", lease = 1.0 }}
sinks = ["console"]

[[agents]]
name = "{name}"
model = {{ name = "script:{role}", path = "script.toml", loop = true }}

[[tasks]]
id = "a"

[[tasks]]
id = "b"

[[tasks]]
id = "c"
after = ["b"]
"""
COMPLETE = ", ".join(
    f'{{ tool = "complete_task", arguments = {{ id = "{id}", result = "by {{role}}" }} }}' for id in "abc"
)
SCRIPT = "".join(
    f"""
[[{role}]]
call = {{ tool = "claim_task", arguments = {{}} }}

[[{role}]]
pause = {pause}
call = [{COMPLETE.replace("{role}", role)}]

[[{role}]]
say = "That was all."
"""
    for role, pause in (("slow", 600), ("quick", 0))
)


class TestPoolOnSqlite(PoolContract):
    """The pool in a file."""

    seeds = 5
    steps = 40

    @pytest.fixture
    def store(self, tmp_path):
        return SqliteStore(tmp_path / "pool.db", synchronous="normal")


@pytest.fixture
def cloudllm(tmp_path):
    """Starts the command line in a process of its own."""
    (tmp_path / "script.toml").write_text(SCRIPT, "utf-8")
    processes = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "cloudllm_cli", *words], cwd=tmp_path, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        return process

    def worker(name, role):
        (tmp_path / f"{name}.toml").write_text(TEAM.format(name=name, role=role), "utf-8")
        return start("worker", f"{name}.toml", "--pool", "game", "--store", "sqlite:team.db")

    yield start, worker
    for process in processes:
        process.kill()
        process.communicate()


def until(process, words):
    """Read what *process* prints until *words* are in it."""
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_one_worker_ends_and_the_other_goes_on(cloudllm, ending):
    """Killed in the middle of a task, or interrupted: the other worker does the task too, and each is done once."""
    start, worker = cloudllm
    slow = worker("ada", "slow")
    until(slow, "The task is yours now.")
    quick = worker("bob", "quick")
    until(quick, "The task 'b' is done.")
    slow.send_signal(ending)
    _, err = slow.communicate(timeout=60)
    out, problems = quick.communicate(timeout=60)

    assert (-9 if ending == signal.SIGKILL else 130) == slow.returncode
    assert "Traceback" not in err
    assert (0, "") == (quick.returncode, problems)
    assert out.endswith("Complete (completed), 100% of the tasks are done.\n")
    shown, _ = start("pool", "show", "--pool", "game", "--store", "sqlite:team.db", "--json").communicate(timeout=60)
    attempts = 2 if ending == signal.SIGKILL else 1  # who is killed cannot give it back without blame
    assert [
        ("a", "done", "by quick", 2, attempts),
        ("b", "done", "by quick", 1, 1),
        ("c", "done", "by quick", 1, 1),
    ] == [
        (task["id"], task["state"], task["result"], task["fence"], task["attempts"])
        for task in json.loads(shown)["tasks"]
    ]
