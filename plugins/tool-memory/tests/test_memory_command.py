"""`cloudllm memory`: what it prints, its exit statuses, and its sentences."""

from __future__ import annotations

import asyncio
import io
import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core import Registry, hookimpl
from cloudllm_core.errors import CloudLLMError, SetupError, StoreError
from cloudllm_store_memory import MemoryStore
from cloudllm_tool_memory import Memory
from cloudllm_tool_memory.command import MemoryCommand

Run = Callable[..., tuple[int, str, str]]
ITEMS = {"a:1": "one", "a:2": {"n": [1, "é"]}, "b": None, "memory:plan:k": "hidden", "teams:x:task:1": "pool"}


@pytest.fixture
def store(clock: Any) -> MemoryStore:
    store = MemoryStore(clock)
    for key, value in ITEMS.items():
        asyncio.run(store.put(key, value, 90 if key == "a:1" else None))
    return store


@pytest.fixture
def run(store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on a store that is called ``shelf``; gives its status and what it printed, and told as wrong."""

    class Shelf(MemoryStore):
        name = "shelf"

        @classmethod
        def from_settings(cls, settings: Mapping[str, Any]) -> Any:
            return store

    class Plugin:
        @hookimpl
        def cloudllm_register_store(self) -> type[Shelf]:
            return Shelf

    def ran(*words: str, on: str | None = "shelf:here") -> tuple[int, str, str]:
        command, parser = MemoryCommand(), ArgumentParser()
        command.configure(parser)
        parser.set_defaults(registry=Registry.of(Plugin()), debug=False)
        arguments = parser.parse_intermixed_args([*words, *(["--store", on] if on else [])])
        status = command.run(arguments)
        return status, *capsys.readouterr()

    return ran


def refused(run: Run, *words: str, **more: Any) -> str:
    """The sentence it ends with; every one of these means status 2."""
    with pytest.raises(SetupError) as caught:
        run(*words, **more)
    return str(caught.value)


# -- looking ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["get", "a:1"], "one\n"),
        (["get", "a:1", "--json"], '"one"\n'),
        (["get", "a:2"], '{"n": [1, "é"]}\n'),
        (["get", "b"], "null\n"),
        (["get", "teams:x:task:1"], "pool\n"),
        (["get", "memory:plan:k"], "hidden\n"),
        (["get", "k", "--namespace", "plan"], "hidden\n"),
        (["list"], "a:1\na:2\nb\nmemory:plan:k\nteams:x:task:1\n"),
        (["list", "a:"], "a:1\na:2\n"),
        (["list", "nothing"], ""),
        (["list", "nothing", "--json"], "[]\n"),
        (["list", "--namespace", "plan"], "k\n"),
        (["list", "a:", "--json"], '["a:1", "a:2"]\n'),
        (
            ["list", "a:", "--meta"],
            (
                "KEY  STORED (UTC)               SECONDS LEFT\n"
                "a:1  2023-11-14T22:13:20+00:00  60\n"
                "a:2  2023-11-14T22:13:20+00:00\n"
            ),
        ),
        (
            ["list", "a:", "--meta", "--json"],
            (
                '[{"key": "a:1", "added_utc": "2023-11-14T22:13:20+00:00", "expires_in": 60.0}, '
                '{"key": "a:2", "added_utc": "2023-11-14T22:13:20+00:00", "expires_in": null}]\n'
            ),
        ),
    ],
)
def test_looking_prints_what_is_there(run: Run, clock: Any, words: list[str], out: str) -> None:
    """Text as it is, anything else as JSON; the owner of a store sees all of it."""
    clock.now += 30

    assert (0, out, "") == run(*words)


@pytest.mark.parametrize(
    "words",
    [["get", "nothing"], ["delete", "nothing"], ["get", "nothing", "--json"], ["get", "nothing", "--namespace=a"]],
)
def test_what_is_not_there_is_status_one(run: Run, words: list[str]) -> None:
    """And a sentence on standard error, with nothing on standard output."""
    assert (1, "", "cloudllm: Nothing is stored under 'nothing'.\n") == run(*words)


# -- changing -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["put", "k", " two  words\n60"], " two  words\n60"),
        (["put", "k", "5"], "5"),
        (["put", "k", ""], ""),
        (["put", "k", "5", "--json"], 5),
        (["put", "k", '{"n": [1]}', "--json"], {"n": [1]}),
        (["put", "k", "-"], "from\nstandard input"),
    ],
)
def test_what_is_put_is_there(
    run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, words: list[str], value: Any
) -> None:
    """Text exactly as it was typed; with --json, what the JSON says."""
    monkeypatch.setattr("sys.stdin", io.StringIO("from\nstandard input"))

    assert (0, "", "") == run(*words)
    item = asyncio.run(store.get("k"))
    assert item is not None
    assert (value, None) == (item.value, item.expires)


def test_a_lifetime_and_a_namespace_are_kept_to(run: Run, store: MemoryStore, clock: Any) -> None:
    """The key stands where agents with that namespace look."""
    assert (0, "", "") == run("put", "k", "v", "--ttl", "90", "--namespace", "plan")
    item = asyncio.run(Memory(store, namespace="plan").get("k"))
    assert item is not None
    assert ("v", clock.now + 90) == (item.value, item.expires)

    assert (0, "", "") == run("delete", "k", "--namespace", "plan")
    assert (1, "") == run("get", "k", "--namespace", "plan")[:2]


def test_a_snapshot_is_restored(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    """What was printed brings everything back, and takes away what came since. It is ASCII: any terminal writes it."""
    file = tmp_path / "team.json"
    before = asyncio.run(store.snapshot())
    file.write_text(run("snapshot")[1], "ascii")
    run("put", "new", "v")
    run("delete", "a:1")

    assert (0, "Restored 5 keys.\n", "") == run("restore", str(file))
    assert before == asyncio.run(store.snapshot())


def test_a_snapshot_of_a_namespace_is_restored(run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into another, from standard input; nothing else changes."""
    snapshot = run("snapshot", "--namespace", "plan")[1]
    assert {"items": [{"key": "k", "value": "hidden", "ttl": None}]} == json.loads(snapshot)
    monkeypatch.setattr("sys.stdin", io.StringIO(snapshot))

    assert (0, "Restored 1 key.\n", "") == run("restore", "-", "--namespace", "other")
    assert sorted([*ITEMS, "memory:other:k"]) == [item.key for item in asyncio.run(store.list())]


# -- used wrongly -------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["get"], "get takes KEY: cloudllm memory get KEY --store sqlite:team.db"),
        (["get", "a", "b"], "get takes KEY: cloudllm memory get KEY --store sqlite:team.db"),
        (["put", "a"], "put takes KEY and VALUE: cloudllm memory put KEY VALUE --store sqlite:team.db"),
        (["list", "a", "b"], "list takes [PREFIX]: cloudllm memory list [PREFIX] --store sqlite:team.db"),
        (["snapshot", "a"], "snapshot takes nothing more: cloudllm memory snapshot --store sqlite:team.db"),
        (["restore"], "restore takes FILE: cloudllm memory restore FILE --store sqlite:team.db"),
        (["get", "a", "--ttl", "5"], "--ttl is for put, and not for get."),
        (["get", "a", "--ttl", "0"], "--ttl is for put, and not for get."),
        (["get", "a", "--meta"], "--meta is for list, and not for get."),
        (["delete", "a", "--json"], "--json is for get, put, list, and not for delete."),
        (["put", "a", "{", "--json"], "VALUE is not JSON: Expecting property name enclosed in double quotes"),
        (["put", "a", "NaN", "--json"], "VALUE is not JSON: NaN is no number there."),
        (["put", "a\n", "v"], "A key is text of 1 to 512 printable characters."),
        (["get", "a\n"], "key: found 'a\\n', expected text of 1 to 512 printable characters."),
        (["put", "a", "v", "--ttl", "0"], "A lifetime is more than 0 and at most 100000000000 seconds."),
        (["put", "a", "v", "--ttl", "nan"], "A lifetime is more than 0 and at most 100000000000 seconds."),
        (["put", "teams:x", "v"], "Keys that begin with 'teams:' can only be read here."),
        (["delete", "memory:plan:k"], "Keys that begin with 'memory:' belong to namespaces."),
        (
            ["list", "--namespace", "a b"],
            "namespace: found 'a b', expected up to 64 letters, digits, '.', '_' and '-'.",
        ),
        (["restore", "/nothing/here"], "/nothing/here cannot be read: No such file or directory."),
    ],
)
def test_what_makes_no_sense_is_told(run: Run, store: MemoryStore, words: list[str], sentence: str) -> None:
    """With what would; and nothing is changed."""
    assert refused(run, *words).startswith(sentence)
    assert sorted(ITEMS) == [item.key for item in asyncio.run(store.list())]


@pytest.mark.parametrize("words", [["get", "a"], ["put", "a", "b"], ["list"], ["delete", "a"], ["snapshot"], ["get"]])
def test_without_a_store_an_example_is_shown(run: Run, words: list[str]) -> None:
    """One that can be typed."""
    sentence = refused(run, *words, on=None)

    assert sentence.startswith(f"Say which store it is about, for example: cloudllm memory {words[0]}")
    assert sentence.endswith(" --store sqlite:team.db")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "is not JSON: Expecting property name enclosed in double quotes"),
        (b"\xff", "cannot be read: 'utf-8' codec can't decode byte 0xff"),
        (b"[]", "is no snapshot, and nothing was changed. snapshot: found [], expected"),
        (b'{"items": [{"key": "k"}]}', "is no snapshot, and nothing was changed."),
    ],
)
@pytest.mark.parametrize("namespace", ["", "plan"])
def test_what_is_no_snapshot_changes_nothing(
    run: Run, store: MemoryStore, tmp_path: Path, text: bytes, sentence: str, namespace: str
) -> None:
    """The sentence names the file."""
    file = tmp_path / "team.json"
    file.write_bytes(text)

    told = refused(run, "restore", str(file), "--namespace", namespace)
    assert told.startswith(f"{file} {sentence.partition('. snapshot')[0] if namespace else sentence}")
    assert sorted(ITEMS) == [item.key for item in asyncio.run(store.list())]


def test_a_store_that_cannot_be_reached_is_not_taken_for_a_missing_key(
    run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 1 says that there is no such key, so this is 2; and the store is closed in any case."""
    closed = []

    async def fails(key: str) -> None:
        raise StoreError("shelf", "cannot be reached.")

    async def closes() -> None:
        closed.append(1)

    monkeypatch.setattr(store, "get", fails)
    monkeypatch.setattr(store, "aclose", closes)

    assert "The store shelf cannot be reached." == refused(run, "get", "a:1")
    assert [1] == closed


def test_a_store_that_nobody_offers_is_told(run: Run) -> None:
    """By the registry's own sentence."""
    with pytest.raises(CloudLLMError, match="No store is called 'shlf'.*Did you mean 'shelf'"):
        run("list", on="shlf:here")
