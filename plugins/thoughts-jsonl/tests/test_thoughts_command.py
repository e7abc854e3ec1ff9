"""``cloudllm thoughts``: what it prints, and the status it ends with."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from cloudllm_core.errors import SetupError
from cloudllm_thoughts_jsonl import JsonlThoughts, ThoughtsFileError
from cloudllm_thoughts_jsonl.command import EPILOG, STATUS, Thoughts

README = Path(__file__).parent.parent / "README.md"


def run(*words):
    """The exit status of ``cloudllm thoughts`` with *words*."""
    parser = ArgumentParser()
    command = Thoughts()
    command.configure(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def path(tmp_path):
    chain = JsonlThoughts(tmp_path / "a.jsonl")
    for nth in range(4):
        chain.append("ada", "Finding", f"thought {nth}", range(nth))
    return tmp_path / "a.jsonl"


@pytest.fixture
def head(path, tmp_path, capsys):
    """A head of the whole chain."""
    head = tmp_path / "a.head"
    assert 0 == run("head", path, "--out", head)
    assert f"{head}: the head of 4 thoughts. Keep it where" in capsys.readouterr().out
    return head


def edit(path):
    path.write_bytes(path.read_bytes().replace(b"thought 2", b"thought X"))


def cut(path):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


# -- verify -------------------------------------------------------------------


def test_sound_is_nought(path, head, capsys):
    """A chain that is what its head says, perhaps with more since, ends with 0."""
    assert 0 == run("verify", path, "--head", head)
    assert f"sound: {path}: 4 thoughts as the head says.\n" == capsys.readouterr().out
    JsonlThoughts(path).append("ada", "Finding", "more")
    assert 0 == run("verify", path, "--head", head)
    assert f"sound: {path}: 4 thoughts as the head says, and 1 thought since.\n" == capsys.readouterr().out


def test_tampered_is_three(path, head, capsys):
    """A changed thought is named, with a head and without, and ends with 3."""
    edit(path)
    for words in ([], ["--head", head]):
        assert 3 == run("verify", path, *words)
        assert f"tampered: {path}: thought 2 does not match its hash." in capsys.readouterr().out


def test_truncated_is_four(path, head, capsys):
    """A missing end, against a head, ends with 4; a torn line is told, too."""
    cut(path)
    with path.open("ab") as file:
        file.write(b"{")
    assert 4 == run("verify", path, "--head", head)

    said = f"truncated: {path}: there are 3 thoughts, and there were 4 when the head was taken"
    assert said in capsys.readouterr().out


def test_unanchored_is_five(path, capsys):
    """Without a head, a chain that fits together ends with 5, whole or cut."""
    assert 5 == run("verify", path)
    cut(path)
    assert 5 == run("verify", path)
    with path.open("ab") as file:
        file.write(b"{")
    capsys.readouterr()
    assert 5 == run("verify", path)

    assert f"{path}: the last line is not whole (1 bytes)" in capsys.readouterr().out


def test_verifying_changes_nothing(path, head):
    """Whatever the verdict, the files are as they were."""
    with path.open("ab") as file:
        file.write(b"{")
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    run("verify", path, "--head", head)
    run("show", path)
    run("head", path)

    assert before == {each.name: each.read_bytes() for each in path.parent.iterdir()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "no.jsonl"], "there is no such file"),
        (["verify", "empty.jsonl"], "the file is empty"),
        (["verify", "prose.txt"], "is not a chain of thoughts"),
        (["show", "prose.txt"], "is not a chain of thoughts"),
        (["head", "prose.txt"], "is not a chain of thoughts"),
        (["verify", "a.jsonl", "--head", "no.head"], "no.head cannot be read"),
        (["verify", "a.jsonl", "--head", "prose.txt"], "This is no head of a chain"),
        (["verify", "a.jsonl", "--head", "bytes"], "it is not text"),
        (["verify", "a.jsonl", "--key", "x"], "Give the head as well"),
        (["show", "a.jsonl", "--last", "-1"], "--last -1: give a number from 0"),
        (["head", "a.jsonl", "--key", "prose.txt"], "prose.txt holds no private key"),
        (["keygen", "a b", "--out", "key"], "cannot be the name of a key"),
        (["keygen", "a", "--out", "prose.txt"], "is there already, and keys are never written over"),
    ],
)  # fmt: skip
def test_wrong_use_is_told(path, monkeypatch, words, said):
    """What makes no sense raises a sentence, which the command line ends with 2."""
    monkeypatch.chdir(path.parent)
    Path("prose.txt").write_text("Dear diary,\n")
    Path("bytes").write_bytes(b"\xff")
    Path("empty.jsonl").touch()
    with pytest.raises(SetupError) as refused:
        run(*words)

    assert said in str(refused.value)


def test_a_folder_is_told(path):
    """A folder is not a chain; the sentence says what to name."""
    with pytest.raises(ThoughtsFileError, match="this is a folder. Name one of the chains in it."):
        run("verify", path.parent)


def test_statuses_are_documented():
    """Each status that `verify` ends with is in ``--help`` and in the README."""
    table = README.read_text(encoding="utf-8")
    for word, status in STATUS.items():
        assert f"| {status} | " in table
        assert word in EPILOG
        assert f" {status} " in EPILOG
    assert len(STATUS) == len(set(STATUS.values()))


# -- heads and keys -----------------------------------------------------------


def test_a_signed_head_from_key_to_verdict(path, tmp_path, capsys):
    """A key is made, signs a head, and its public half checks it; another key does not."""
    key, other, head = tmp_path / "key", tmp_path / "other", tmp_path / "a.head"
    for each in (key, other):
        assert 0 == run("keygen", "example.com/notes", "--out", each)
    told = capsys.readouterr().out
    public = (tmp_path / "key.pub").read_text().strip()
    assert public in told
    assert (tmp_path / "key").read_text().strip() not in told
    assert (0o600, 0) == (key.stat().st_mode & 0o777, run("head", path, "--key", key, "--out", head))

    assert 0 == run("verify", path, "--head", head, "--key", public)
    assert 0 == run("verify", path, "--head", head, "--key", f"{key}.pub")
    with pytest.raises(SetupError, match="It was changed, or this is the wrong key"):
        run("verify", path, "--head", head, "--key", f"{other}.pub")
    head.write_text(head.read_text().replace("\n4\n", "\n3\n"))
    with pytest.raises(SetupError, match="It was changed, or this is the wrong key"):
        run("verify", path, "--head", head, "--key", public)


def test_a_head_is_printed(path, capsys):
    """Without a file to write to, the head is printed as it is to be kept."""
    assert 0 == run("head", path)
    chain, size, root = capsys.readouterr().out.splitlines()

    assert (True, "4", 44) == (chain.startswith("cloudllm-thoughts/"), size, len(root))


def test_no_head_is_taken_of_what_was_tampered_with(path, capsys):
    """A head of a chain that cannot be believed would make it look sound."""
    edit(path)

    assert 3 == run("head", path, "--out", path.parent / "a.head")
    assert "thought 2 does not match its hash" in capsys.readouterr().err
    assert not (path.parent / "a.head").exists()


# -- show ---------------------------------------------------------------------


def test_thoughts_are_shown(path, capsys):
    """All thoughts, or the last few, each with its time, and what it refers to."""
    assert 0 == run("show", path)
    lines = capsys.readouterr().out.splitlines()
    assert ["[#0] Finding (ada): thought 0", "[#1] Finding (ada): thought 1"] == [line[20:] for line in lines[:2]]
    assert "  refs: 0, 1, 2" == lines[-1]
    assert 0 == run("show", path, "--last", "1")
    assert "[#3] Finding (ada): thought 3" == capsys.readouterr().out.splitlines()[0][20:]
    assert 0 == run("show", path, "--last", "0")
    assert "" == capsys.readouterr().out


def test_thoughts_are_shown_as_json(path, capsys):
    """One object a line, with all that a thought is."""
    assert 0 == run("show", path, "--json", "--last", "2")
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    expected = {"index": 3, "agent": "ada", "type": "Finding", "content": "thought 3", "refs": [0, 1, 2], "meta": {}}
    assert (2, expected) == (len(objects), {key: value for key, value in objects[1].items() if key != "at"})
    assert JsonlThoughts(path).thoughts[3].at == objects[1]["at"]


def test_what_can_be_believed_is_shown(path, capsys):
    """Of a chain that was tampered with, what comes before is shown, then the sentence; a torn line is told."""
    with path.open("ab") as file:
        file.write(b"{")
    assert 0 == run("show", path)
    assert "the last line is not whole (1 bytes)" in capsys.readouterr().err
    edit(path)
    assert 3 == run("show", path)
    out, err = capsys.readouterr()

    assert (["thought 0", "thought 1"], True) == (
        [line.rpartition(": ")[2] for line in out.splitlines() if "thought" in line],
        err.startswith(f"cloudllm: {path}: thought 2 does not match its hash."),
    )


def test_a_terminal_is_not_given_orders(path, capsys):
    """What a terminal would obey is written out; line breaks, tabs and letters stay."""
    JsonlThoughts(path).append("ada", "Finding", "\x1b[2J\u202egone\nnext\tline \u00e9\x07")
    run("show", path, "--last", "1")
    out = capsys.readouterr().out

    assert "\\x1b[2J\\u202egone\nnext\tline \u00e9\\x07\n" == out.partition("(ada): ")[2]


def test_a_very_wrong_clock_is_shown(path, capsys):
    """A time beyond the calendar is shown in seconds."""
    JsonlThoughts(path).append_at(2**43, "ada", "Finding", "late")

    assert 0 == run("show", path, "--last", "1")
    assert "8796093022208 s [#4] Finding (ada): late\n" == capsys.readouterr().out
