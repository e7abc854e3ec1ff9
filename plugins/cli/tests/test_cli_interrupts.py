"""Ctrl-C: the first closes the run, the second ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

PROGRAM = """
import asyncio, sys, threading
from cloudllm_cli import run
from cloudllm_cli.main import main
from cloudllm_core import Mode, Outcome, Provider, Registry, hookimpl

class Still(Provider):
    name = "still"
    async def complete(self, request):
        print("waiting", flush=True)
        {wait}

class Once(Mode):
    name = "once"
    async def run(self, hub, prompt):
        return Outcome(complete=await hub.try_ask(hub.agents[0], prompt) is not None)

class Plugin:
    @hookimpl
    def cloudllm_register_provider(self): return Still
    @hookimpl
    def cloudllm_register_mode(self): return Once

sys.exit(main(["run", "team.toml", "Begin."], registry=Registry.of(run, Plugin())))
"""
PATIENT = "await asyncio.Event().wait()"
STUBBORN = "await asyncio.to_thread(threading.Event().wait)"
TEAM = 'mode = "once"\nsinks = []\n[[agents]]\nname = "ada"\nmodel = "still:x"\n'


@pytest.fixture
def running(tmp_path):
    """Starts a run in a process of its own, and waits until its model is being asked."""
    (tmp_path / "team.toml").write_text(TEAM, "utf-8")

    @contextmanager
    def start(wait):
        code = PROGRAM.format(wait=wait)
        with subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert "waiting\n" == process.stdout.readline()
                yield process
            finally:
                process.kill()

    return start


def test_the_first_closes_the_run(running):
    """After one Ctrl-C the run ends cleanly, is summed up as cancelled, and the status is 130; no traceback."""
    with running(PATIENT) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert "Not complete (cancelled): 0 rounds, 0 tokens (0 in, 0 out).\n" == out
    assert "\ncloudllm: Closing the run. Press Ctrl-C again to end at once.\n" == err


def test_the_second_ends_the_process(running):
    """Something that cannot be stopped keeps nobody waiting: the second Ctrl-C ends the process, with status 130."""
    with running(STUBBORN) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert ["\n", "cloudllm: Closing the run. Press Ctrl-C again to end at once.\n"] == [
            process.stderr.readline(), process.stderr.readline(),
        ]  # fmt: skip
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert (130, "") == (process.returncode, err)


def test_ctrl_c_is_given_back(cloudllm, team):
    """After a run that was not interrupted, Ctrl-C does what it did before."""
    before = signal.getsignal(signal.SIGINT)

    cloudllm("run", team(), "Begin.")

    assert before is signal.getsignal(signal.SIGINT)
