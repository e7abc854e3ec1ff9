"""Chains of the original: read, verified by their own rule, imported."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cloudllm_core.errors import SetupError
from cloudllm_thoughts_jsonl import Head, JsonlThoughts, verify
from cloudllm_thoughts_jsonl.command import take

TIMES = [
    # as the file has it, as it is hashed
    ("2025-07-01T12:00:00Z", "2025-07-01T12:00:00+00:00"),
    ("2025-07-01T12:00:00.120Z", "2025-07-01T12:00:00.120+00:00"),
    ("2025-07-01T12:00:00.123456Z", "2025-07-01T12:00:00.123456+00:00"),
    ("2025-07-01T12:00:00.123456789Z", "2025-07-01T12:00:00.123456789+00:00"),
    ("2025-07-01T14:00:01.5+02:00", "2025-07-01T12:00:01.500+00:00"),
]


def theirs(*thoughts):
    """Lines as the original writes them: of (content, type, refs, time in the file, time that is hashed)."""
    lines, previous = [], ""
    for index, (content, kind, refs, written, hashed) in enumerate(thoughts):
        text = f'{index}|{hashed}|analyst|"{kind}"|{content}|{",".join(str(ref) for ref in refs)}|{previous}'
        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        lines.append(
            {
                "index": index, "timestamp": written, "agent_id": "analyst", "thought_type": kind, "content": content,
                "refs": refs, "prev_hash": previous, "hash": digest,
            }
        )  # fmt: skip
        previous = digest
    return lines


CHAIN = theirs(
    ("Found X", "Finding", [], *TIMES[0]),
    ('Will do \u00e9 | \u4e2d, "so"\n', "Decision", [0], *TIMES[1]),
    ("A and B", "Compression", [1, 0, 0, 9], *TIMES[2]),
    ("", "IdleCompression", [], *TIMES[3]),
    ("Done", "TaskComplete", [3], *TIMES[4]),
)


def write(path, lines):
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def test_the_first_hash_is_the_known_one():
    """The rule, spelled out for one thought by hand."""
    text = '0|2025-07-01T12:00:00+00:00|analyst|"Finding"|Found X||'

    assert hashlib.sha256(text.encode()).hexdigest() == CHAIN[0]["hash"]
    assert "" == CHAIN[0]["prev_hash"]


def test_a_whole_chain_fits_together(tmp_path):
    """A chain with all kinds of times, odd texts and references nobody checked is believed by its own rule."""
    verdict = verify(write(tmp_path / "old.jsonl", CHAIN))

    assert ("unanchored", 5) == (verdict.status, verdict.thoughts)
    assert "5 thoughts of the original fit together, by its own rule" in verdict.said


@pytest.mark.parametrize("key", sorted(CHAIN[0]))
@pytest.mark.parametrize("nth", [0, 2, 4])
def test_every_change_is_noticed(tmp_path, key, nth):
    """Each field of each thought, changed, is told by the number of the thought."""
    changed = json.loads(json.dumps(CHAIN))
    other = {"refs": [7], "index": 8, "timestamp": "2024-01-01T00:00:00Z"}
    changed[nth][key] = other.get(key, "x")
    verdict = verify(write(tmp_path / "old.jsonl", changed))

    assert ("tampered", nth, nth) == (verdict.status, verdict.number, verdict.thoughts)


@pytest.mark.parametrize("order", [(1, 0, 2, 3, 4), (0, 2, 1, 3, 4), (0, 1, 3, 4), (0, 1, 1, 2, 3, 4), (1, 2, 3, 4)])
def test_other_orders_are_noticed(tmp_path, order):
    """Thoughts that are swapped, missing or doubled before the end are noticed."""
    assert "tampered" == verify(write(tmp_path / "old.jsonl", [CHAIN[nth] for nth in order])).status


def test_thoughts_of_another_chain_are_noticed(tmp_path):
    """A thought with the right number that follows another one is not believed."""
    other = theirs(("Found Y", "Finding", [], *TIMES[0]), ("So Z", "Decision", [0], *TIMES[1]))
    verdict = verify(write(tmp_path / "old.jsonl", [CHAIN[0], other[1]]))

    assert ("tampered", 1) == (verdict.status, verdict.number)
    assert "does not follow from the one before" in verdict.said


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"index": 0}', "\udcff"])
def test_what_it_never_wrote_is_noticed(tmp_path, line):
    """A line that is no thought of the original is told by its number."""
    path = tmp_path / "old.jsonl"
    write(path, CHAIN)
    path.write_bytes(path.read_bytes() + line.encode("utf-8", "surrogateescape") + b"\n")

    assert ("tampered", 5) == (verify(str(path)).status, verify(str(path)).number)


@pytest.mark.parametrize("time", ["yesterday", "2025-13-01T00:00:00Z", "0001-01-01T00:00:00+10:00", ""])
def test_times_that_are_none_are_noticed(tmp_path, time):
    """A timestamp that is no time is said to be none."""
    broken = [{**CHAIN[0], "timestamp": time}]

    assert "which is no time" in verify(write(tmp_path / "old.jsonl", broken)).said


def test_a_chain_is_imported(tmp_path, capsys):
    """Each thought comes with its time, type, agent and sound references, and says in ``meta`` where it is from."""
    path = write(tmp_path / "old.jsonl", CHAIN)
    assert 0 == take(path, None)
    new = tmp_path / "old-imported.jsonl"
    thoughts = JsonlThoughts(new).thoughts

    assert f"{new}: 5 thoughts imported from {path}, where each matched its hash.\n" == capsys.readouterr().out
    assert [each["content"] for each in CHAIN] == [thought.content for thought in thoughts]
    assert [each["thought_type"] for each in CHAIN] == [thought.type for thought in thoughts]
    assert [(), (0,), (0, 1), (), (3,)] == [thought.refs for thought in thoughts]
    assert [1751371200.0, 1751371200.12, 1751371200.123, 1751371200.123, 1751371201.5] == [t.at for t in thoughts]
    assert {
        "imported": {
            "file": "old.jsonl", "hash": CHAIN[2]["hash"], "timestamp": CHAIN[2]["timestamp"], "refs": "[1, 0, 0, 9]",
        }
    } == thoughts[2].meta  # fmt: skip
    assert "unanchored" == verify(new).status


def test_what_was_tampered_with_is_not_imported(tmp_path, capsys):
    """Nothing is made of a chain that cannot be believed, and the status says so."""
    path = write(tmp_path / "old.jsonl", [CHAIN[0], {**CHAIN[1], "content": "x"}])

    assert 3 == take(path, None)
    assert "thought 1 does not match its hash" in capsys.readouterr().err
    assert ["old.jsonl"] == [each.name for each in tmp_path.iterdir()]


def test_nothing_is_written_over(tmp_path):
    """An import needs a new file, of a name that chains have, and a chain of the original to read."""
    path = write(tmp_path / "old.jsonl", CHAIN)
    ours = tmp_path / "ours.jsonl"
    JsonlThoughts(ours).append("ada", "Finding", "one")
    for file, into, said in (
        (path, str(ours), "is there already. Choose another name: --into NEW.jsonl"),
        (path, str(tmp_path / "new.txt"), "the file of a chain ends in .jsonl"),
        (str(ours), None, "is not a chain of the original, so there is nothing to import"),
        (str(tmp_path / "no.jsonl"), None, "there is no such file"),
    ):
        with pytest.raises(SetupError, match=said):
            take(file, into)
    assert 1 == len(JsonlThoughts(ours).thoughts)


def test_a_chain_of_ours_is_not_taken_for_theirs(tmp_path):
    """Thoughts of ours may speak of the original's words without being taken for its lines."""
    path = tmp_path / "a.jsonl"
    words = {"agent_id": "x", "thought_type": "y", "prev_hash": ""}
    JsonlThoughts(path).append("ada", "Finding", json.dumps(CHAIN[0]), (), words)

    assert ("unanchored", 1) == (verify(path).status, verify(path).thoughts)


def test_theirs_has_no_heads(tmp_path):
    """A head of a chain of the original is not to be had; importing it helps."""
    path = write(tmp_path / "old.jsonl", CHAIN)
    JsonlThoughts(tmp_path / "a.jsonl").append("ada", "Finding", "one")
    with pytest.raises(SetupError, match="which has no heads. Import it first."):
        verify(path, Head.parse(str(JsonlThoughts(tmp_path / "a.jsonl").head())))


def test_blank_lines_are_skipped(tmp_path):
    """The original skips blank lines, so they mean nothing here either."""
    path = Path(write(tmp_path / "old.jsonl", CHAIN))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n \n\n"))

    assert 5 == verify(path).thoughts
