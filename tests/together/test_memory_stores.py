"""The memory tool over a SQLite file: agents, team files, processes, and `cloudllm memory` beside them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core import Agent, Orchestration, ToolContext
from cloudllm_core.testing import ScriptedProvider, call
from cloudllm_mode_round_robin import RoundRobin
from cloudllm_store_sqlite import SqliteStore
from cloudllm_tool_memory import Memory, MemoryFault

COMMAND = [sys.executable, "-W", "error", "-m", "cloudllm_cli"]
CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)
TRICKY = 'two  words\n"quoted" {"n": 5} é😀 60'
TEAM = """
mode = "round-robin"

[[agents]]
name = "ada"
model = { name = "script:ada", path = "script.toml" }
tools = [{ name = "memory", store = "sqlite:team.db", namespace = "plan" }]

[[agents]]
name = "bob"
model = { name = "script:bob", path = "script.toml" }
tools = [{ name = "memory", store = "sqlite:team.db", namespace = "plan", read_only = true }]
"""
SCRIPT = """
[[ada]]
say = "I store it."
call = { tool = "memory", arguments = { command = "PUT", key = "title", value = "The sea at 5" } }
[[ada]]
say = "Stored."
[[bob]]
say = "I read it."
call = { tool = "memory_get", arguments = { key = "title" } }
[[bob]]
say = "Read."
"""


@pytest.fixture
def cloudllm(tmp_path: Path) -> Any:
    """Runs the command line in a folder of its own; gives its status and what it printed."""

    def ran(*words: str, given: str | None = None) -> tuple[int, str, str]:
        done = subprocess.run(
            [*COMMAND, *words], cwd=tmp_path, input=given, capture_output=True, encoding="utf-8", timeout=60,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return ran


def test_a_value_passes_between_command_agent_and_process(cloudllm: Any, tmp_path: Path) -> None:
    """Put in one process, read by an agent in another, changed by it, and read again: nothing is cut or added."""
    on = ("--store", "sqlite:team.db")
    assert (0, "", "") == cloudllm("memory", "put", "k", "-", *on, given=TRICKY)
    memory = Memory(SqliteStore(tmp_path / "team.db"))
    ada = ScriptedProvider(
        [call("memory", command="G k"), call("memory_put", key="n", value={"a": [1, None]}, ttl=1000)], "Done."
    )

    async def main() -> None:
        result = await Orchestration([Agent("ada", ada, tools=[memory])], RoundRobin()).run("Begin.")
        assert result.complete
        await memory.aclose()

    asyncio.run(main())
    assert {"value": TRICKY} == json.loads(ada.requests[-1].messages[-1].tool_results[0].content)
    assert (0, TRICKY + "\n", "") == cloudllm("memory", "get", "k", *on)
    assert (0, '{"a": [1, null]}\n', "") == cloudllm("memory", "get", "n", *on)
    lives = {
        one["key"]: one["expires_in"] for one in json.loads(cloudllm("memory", "list", "--meta", "--json", *on)[1])
    }
    assert lives["k"] is None
    assert 0 < lives["n"] <= 1000


def test_a_team_file_names_a_store(cloudllm: Any, tmp_path: Path) -> None:
    """Its agents meet in the file, in their namespace; what they stored outlives them."""
    (tmp_path / "team.toml").write_text(TEAM, "utf-8")
    (tmp_path / "script.toml").write_text(SCRIPT, "utf-8")

    status, out, err = cloudllm("run", "team.toml", "Begin.", "--json", "--journal", "run.jsonl")
    assert (0, True) == (status, json.loads(out)["complete"]), err
    assert '\\"value\\":\\"The sea at 5\\"' in (tmp_path / "run.jsonl").read_text("utf-8")
    at = ("--store", "sqlite:team.db", "--namespace", "plan")
    assert (0, "The sea at 5\n", "") == cloudllm("memory", "get", "title", *at)
    assert (0, "memory:plan:title\n", "") == cloudllm("memory", "list", "--store", "sqlite:team.db")

    # a replay needs neither the file nor what was in it
    (tmp_path / "team.db").unlink()
    assert (0, "") == cloudllm("replay", "run.jsonl", "team.toml")[::2]
    assert not (tmp_path / "team.db").exists()


def test_a_snapshot_goes_from_file_to_file(cloudllm: Any, tmp_path: Path) -> None:
    """Whole, or a namespace of it; a snapshot that is none leaves everything as it was."""
    first, second = ("--store", "sqlite:one.db"), ("--store", "sqlite:two.db")
    cloudllm("memory", "put", "k", TRICKY, *first)
    cloudllm("memory", "put", "title", "5", "--json", "--namespace", "plan", *first)
    cloudllm("memory", "put", "old", "v", *second)
    (tmp_path / "all.json").write_text(cloudllm("memory", "snapshot", *first)[1], "utf-8")
    (tmp_path / "none.json").write_text('{"items": [{"key": "k", "value": 1, "ttl": -1}]}', "utf-8")

    status, out, err = cloudllm("memory", "restore", "none.json", *second)
    assert (2, "") == (status, out)
    assert err.startswith("cloudllm: none.json is no snapshot, and nothing was changed. ")
    assert (0, "old\n", "") == cloudllm("memory", "list", *second)
    assert (0, "Restored 2 keys.\n", "") == cloudllm("memory", "restore", "all.json", *second)
    assert (0, "k\nmemory:plan:title\n", "") == cloudllm("memory", "list", *second)
    assert (0, TRICKY + "\n", "") == cloudllm("memory", "get", "k", *second)


def test_exit_statuses(cloudllm: Any) -> None:
    """0 found, 1 not found, 2 used wrongly; each with a sentence and no traceback."""
    on = ("--store", "sqlite:team.db")
    wrong = {
        ("get", "k"): "Say which store it is about, for example: cloudllm memory get KEY --store sqlite:team.db",
        ("get", "k", "--store", "sqlite:no/such/folder/team.db"): "The store",
        ("get", *on): "get takes KEY: cloudllm memory get KEY --store sqlite:team.db",
        ("put", "teams:x:claimed:1", "me", *on): "Keys that begin with 'teams:' can only be read here. ",
        ("look", *on): "Argument what: invalid choice: 'look'",
    }

    assert (1, "", "cloudllm: Nothing is stored under 'k'.\n") == cloudllm("memory", "get", "k", *on)
    for words, sentence in wrong.items():
        status, out, err = cloudllm("memory", *words)
        assert (2, "") == (status, out), err
        assert err.startswith(f"cloudllm: {sentence}"), err
        assert 1 == len(err.splitlines())


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two hundred tasks of two stores on one file, in two namespaces, putting and listing while lifetimes end."""

    async def work(memory: Memory, nth: int) -> None:
        await memory.call("memory", {"command": f"P kept:{nth} old 1"}, CONTEXT)
        await memory.call("memory", {"command": f"P kept:{nth} v{nth}"}, CONTEXT)
        await memory.put(f"short:{nth}", nth, ttl=1e-6)
        assert f"kept:{nth}" in (await memory.call("memory_list", {"prefix": "kept:"}, CONTEXT))["keys"]
        with pytest.raises(MemoryFault, match="ERR:NOT_FOUND"):
            await memory.call("memory", {"command": f"G elsewhere:{nth}"}, CONTEXT)

    async def main() -> None:
        memories = [Memory(SqliteStore(tmp_path / "team.db", synchronous="normal"), namespace=n) for n in ("a", "b")]
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for nth in range(200):
                group.create_task(work(memories[nth % 2], nth))
        for which, memory in enumerate(memories):
            expected = {f"kept:{nth}": f"v{nth}" for nth in range(which, 200, 2)}
            assert expected == {item.key: item.value for item in await memory.list()}
            await memory.aclose()

    asyncio.run(main())
