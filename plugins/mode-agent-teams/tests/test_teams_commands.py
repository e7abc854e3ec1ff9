"""The commands: what they print, how they end, and Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import cloudllm_mode_agent_teams
from cloudllm_core import Provider, Registry, Store, hookimpl
from cloudllm_core.errors import SettingsError, SetupError
from cloudllm_core.testing import ScriptedProvider, call
from cloudllm_core.testing.conformance import CommandContract
from cloudllm_mode_agent_teams import Pool, WorkItem, show, worker
from cloudllm_mode_agent_teams.show import ShowPool
from cloudllm_mode_agent_teams.worker import Work
from cloudllm_store_memory import MemoryStore

TEAM = """
[[agents]]
name = "ada"
model = "busy:x"

[[tasks]]
id = "a"
description = "First"

[[tasks]]
id = "b"
after = ["a"]
"""


class TestWorkKeepsTheContract(CommandContract):
    """``cloudllm worker``."""

    examples: Sequence[Sequence[str]] = [
        ["team.toml", "--pool", "game", "--store", "sqlite:team.db"],
        ["team.toml", "Be quick.", "--sink", "console", "--sink", "jsonl"],
    ]

    @pytest.fixture
    def command(self):
        return Work()


class TestShowPoolKeepsTheContract(CommandContract):
    """``cloudllm pool``."""

    examples: Sequence[Sequence[str]] = [
        ["show", "--pool", "game", "--store", "sqlite:team.db", "--json"],
        ["list", "--store", "sqlite:team.db"],
    ]

    @pytest.fixture
    def command(self):
        return ShowPool()


class Busy(ScriptedProvider):
    """Claims what there is and completes it."""

    name = "busy"

    def __init__(self):
        super().__init__(self.say, repeat=True)

    def say(self, request):
        last = request.messages[-1]
        if last.role == "user":
            return call("claim_task")
        told = last.tool_results[-1].content
        id = told.partition("[yours] ")[2].partition(":")[0].split("\n")[0]
        return call("complete_task", id=id, result="ok") if id else "Done."


class Shelf(MemoryStore):
    """A store by name that the test can look into."""

    name = "shelf"
    shared: Any = None

    @classmethod
    def from_settings(cls, settings):
        return cls.shared


class Plugin:
    """Offers both."""

    @hookimpl
    def cloudllm_register_provider(self) -> type[Provider]:
        return Busy

    @hookimpl
    def cloudllm_register_store(self) -> type[Store]:
        return Shelf


@pytest.fixture
def store(monkeypatch):
    store = Shelf()
    monkeypatch.setattr(Shelf, "shared", store)
    return store


@pytest.fixture
def cloudllm(tmp_path, monkeypatch, capsys):
    """Calls a command as the command line does, in a folder with a team file."""
    monkeypatch.chdir(tmp_path)
    Path("team.toml").write_text(TEAM, "utf-8")
    registry = Registry.of(cloudllm_mode_agent_teams, worker, show, Plugin())

    def call(name, *words):
        command = registry.command(name)()
        parser = ArgumentParser(prog="cloudllm")
        command.configure(parser)
        arguments = parser.parse_args(words, Namespace(registry=registry, debug=False))
        capsys.readouterr()
        status = command.run(arguments)
        return (status, *capsys.readouterr())

    return call


# -- worker -------------------------------------------------------------------


def test_a_worker_does_the_tasks_of_its_file(cloudllm, store):
    """The file's tasks are put into the pool and done; a second worker finds them done."""
    words = "worker", "team.toml", "--pool", "demo", "--store", "shelf"

    assert (0, "Complete (completed), 100% of the tasks are done.\n", "") == cloudllm(*words)
    before = asyncio.run(store.list("teams:demo:task:"))
    assert (0, "Complete (completed), 100% of the tasks are done.\n", "") == cloudllm(*words)
    assert before == asyncio.run(store.list("teams:demo:task:"))
    assert ["done", "done"] == [item.value["state"] for item in before]


def test_a_worker_brings_no_tasks(cloudllm, store):
    """Without tasks of its own it works on what is there."""
    asyncio.run(Pool(store, "demo").submit([WorkItem("x")]))
    Path("team.toml").write_text(TEAM.partition("[[tasks]]")[0], "utf-8")

    assert 0 == cloudllm("worker", "team.toml", "--pool", "demo", "--store", "shelf")[0]
    assert "done" == asyncio.run(Pool(store, "demo").get("x")).state


def test_a_workers_file_may_say_it_all(cloudllm, store):
    """Pool, store and numbers may stand in the file's mode; a file for another mode is used for its agents."""
    mode = 'mode = { name = "agent-teams", pool_id = "demo", store = "shelf", max_iterations = 1 }\nprompt = "Go."\n'
    Path("team.toml").write_text(mode + TEAM, "utf-8")
    assert (1, "Not complete (max_rounds), 50% of the tasks are done.\n", "") == cloudllm("worker", "team.toml")

    Path("team.toml").write_text('mode = { name = "ralph", max_iterations = 1 }\n' + TEAM, "utf-8")
    words = "worker", "team.toml", "Hurry.", "--pool", "other", "--store", "shelf"
    assert (0, "Complete (completed), 100% of the tasks are done.\n", "") == cloudllm(*words)


def test_a_run_that_fails_says_why(cloudllm, store):
    """What ends a run is said on standard error."""
    asyncio.run(Pool(store, "demo").submit([WorkItem("a", "another")]))
    status, out, err = cloudllm("worker", "team.toml", "--pool", "demo", "--store", "shelf")

    assert (1, "Not complete (failed).\n") == (status, out)
    assert err.startswith("cloudllm: The pool 'demo' cannot be used. It has a task 'a' already, and its description is")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["team.toml", "--store", "shelf"], "There is no pool to work from. Name one: --pool ID"),
        (
            ["team.toml", "--pool", "p"],
            "There is no store, and a worker shares its pool with others. Name one: --store sqlite:team.db",
        ),
        (
            ["nix.toml", "--pool", "p"],
            "nix.toml: it cannot be read (No such file or directory). Give the name of a team file.",
        ),
        (["bad.toml", "--pool", "p"], "bad.toml: this is not TOML: Expected '=' after a key in a key/value pair (at"),
    ],
)
def test_what_is_set_up_wrongly(cloudllm, store, words, sentence):
    """What is missing is named, with the option that gives it."""
    Path("bad.toml").write_text("oh no", "utf-8")
    with pytest.raises(SetupError) as refused:
        cloudllm("worker", *words)
    assert str(refused.value).startswith(sentence)


def test_a_memory_cannot_be_shared(cloudllm):
    """The store that ends with the process is refused, with the reason."""
    registry = Registry.of(__import__("cloudllm_store_memory"))
    with pytest.raises(SetupError) as refused:
        worker.shared_store(registry, "memory")
    assert (
        "The store 'memory' ends with this process, and a worker shares its pool with others. "
        "Name one: --store sqlite:team.db" == str(refused.value)
    )


def test_a_wrong_pool_is_told(cloudllm, store):
    """A pool's id is held to its rule on the command line too."""
    with pytest.raises(SettingsError, match="The id 'a:b' of a pool cannot be part of a key"):
        cloudllm("worker", "team.toml", "--pool", "a:b", "--store", "shelf")


# -- pool ---------------------------------------------------------------------


@pytest.fixture
def filled(store):
    """A pool with a task in each state."""

    async def fill():
        pool = Pool(store, "demo", attempts=1)
        items = [WorkItem(id) for id in "abcd"]
        await pool.submit(items)
        claim = await pool.claim("run/ada", id="a")
        await pool.complete("a", "run/ada", claim.fence, "fine")
        await pool.complete("a", "run/bob", 0, "mine")
        await pool.claim("run/ada", id="b")
        claim = await pool.claim("run/bob", id="d")
        await pool.release("d", "run/bob", claim.fence, "no luck")
        await Pool(store, "other").submit(items)

    asyncio.run(fill())
    return store


def test_a_pool_is_shown(cloudllm, filled):
    """Tasks with state, owner, lease and attempts, and the completions that were refused."""
    status, out, err = cloudllm("pool", "show", "--pool", "demo", "--store", "shelf")

    assert (0, "") == (status, err)
    head, _, table = out.partition("\n\n")
    assert "Pool 'demo': 1 of 4 tasks are done." == head
    rows, _, refused = table.partition("\n\n")
    cells = [line.split() for line in rows.splitlines()]
    assert ["task", "state", "owner", "lease", "attempts"] == cells[0]
    assert ["a", "done", "run/ada", "1"] == cells[1]
    assert ["b", "claimed", "run/ada", "s", "1"] == [*cells[2][:3], *cells[2][4:]]
    assert 0 < float(cells[2][3]) <= 60
    assert ["c", "ready", "0"] == cells[3]
    assert "d dead 1 It was handed out 1 time; the last time: no luck." == " ".join(cells[4])
    assert "Refused completions:\n  a: run/bob, claim none: The task 'a' is done.\n" == refused


def test_a_pool_as_json(cloudllm, filled):
    """The same for programs."""
    shown = json.loads(cloudllm("pool", "show", "--pool", "demo", "--store", "shelf", "--json")[1])

    assert ["pool", "now", "tasks", "refused"] == list(shown)
    assert [("a", "done", 1), ("b", "claimed", 1), ("c", "ready", 0), ("d", "dead", 1)] == [
        (task["id"], task["state"], task["attempts"]) for task in shown["tasks"]
    ]
    assert [None, True, None, None] == [task["lease_left"] and task["lease_left"] > 0 for task in shown["tasks"]]
    assert [("a", "run/bob", 0)] == [(one["task"], one["worker"], one["fence"]) for one in shown["refused"]]


def test_looking_changes_no_task(cloudllm, store):
    """Whoever looks does not know how many attempts others allow: nothing dies of being looked at."""
    asyncio.run(_worn_out(store))
    before = asyncio.run(store.list("teams:demo:task:"))
    assert "1 of 1" not in cloudllm("pool", "show", "--pool", "demo", "--store", "shelf")[1]

    assert before == asyncio.run(store.list("teams:demo:task:"))


async def _worn_out(store):
    pool = Pool(store, "demo", attempts=9)
    await pool.submit([WorkItem("a")])
    for nth in range(5):
        claim = await pool.claim(f"w{nth}")
        await pool.release("a", f"w{nth}", claim.fence, "no")


def test_pools_are_listed(cloudllm, filled):
    """Names and how far each is; a pool that is not there is answered with those that are."""
    assert (0, "demo: 1 of 4 tasks are done\nother: 0 of 4 tasks are done\n", "") == cloudllm(
        "pool", "list", "--store", "shelf"
    )
    assert {"demo": {"done": 1, "claimed": 1, "ready": 1, "dead": 1}, "other": {"ready": 4}} == json.loads(
        cloudllm("pool", "list", "--store", "shelf", "--json")[1]
    )
    assert (1, "The pool 'nix' has no tasks. Pools in this store: demo, other.\n", "") == cloudllm(
        "pool", "show", "--pool", "nix", "--store", "shelf"
    )
    with pytest.raises(SetupError, match="Say which pool to show: --pool ID. Their names: cloudllm pool list"):
        cloudllm("pool", "show", "--store", "shelf")


# -- Ctrl-C -------------------------------------------------------------------

PROGRAM = """
import asyncio, json, sys, threading
from argparse import ArgumentParser
import cloudllm_mode_agent_teams
from cloudllm_core import Registry, hookimpl
from cloudllm_core.testing import ScriptedProvider, call
from cloudllm_mode_agent_teams import worker
from cloudllm_store_memory import MemoryStore

class Shelf(MemoryStore):
    name = "shelf"
    async def aclose(self):
        for item in await self.list("teams:demo:task:"):
            print(item.value["id"], item.value["state"], item.value["attempts"], flush=True)

class Still(ScriptedProvider):
    name = "still"
    def __init__(self):
        super().__init__(call("claim_task"))
    async def complete(self, request):
        if self.requests:
            print("working", flush=True)
            {wait}
        return await super().complete(request)

class Plugin:
    @hookimpl
    def cloudllm_register_provider(self): return Still
    @hookimpl
    def cloudllm_register_store(self): return Shelf

registry = Registry.of(cloudllm_mode_agent_teams, worker, Plugin())
command = worker.Work()
parser = ArgumentParser()
command.configure(parser)
parser.set_defaults(registry=registry, debug=False)
sys.exit(command.run(parser.parse_args(["team.toml", "--pool", "demo", "--store", "shelf"])))
"""
PATIENT = "await asyncio.Event().wait()"
STUBBORN = "await asyncio.to_thread(threading.Event().wait)"
NOTICE = ["\n", "cloudllm: Giving back what is claimed. Press Ctrl-C again to end at once.\n"]


@pytest.fixture
def working(tmp_path):
    """Starts a worker in a process of its own, which has claimed a task and works on it."""
    (tmp_path / "team.toml").write_text(TEAM.replace("busy:x", "still:x"), "utf-8")
    processes = []

    def start(wait):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.replace("{wait}", wait)],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert "working\n" == process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_ctrl_c_gives_back_what_is_held(working):
    """After Ctrl-C the task is ready again, no attempt is lost, and the status is 130."""
    process = working(PATIENT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert "a ready 0\nb ready 0\nNot complete (cancelled).\n" == out
    assert "".join(NOTICE) == err


def test_the_second_ends_at_once(working):
    """Something that cannot be stopped keeps nobody waiting."""
    process = working(STUBBORN)
    process.send_signal(signal.SIGINT)
    assert NOTICE == [process.stderr.readline(), process.stderr.readline()]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert 130 == process.returncode
