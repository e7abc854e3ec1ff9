"""What a chain notices of what was done to it."""

from __future__ import annotations

import hashlib
import json
from itertools import permutations
from pathlib import Path

import pytest

from cloudllm_core.errors import SetupError
from cloudllm_thoughts_jsonl import CutThoughtsError, Head, JsonlThoughts, TamperedThoughtsError, verify

HEADER = b"cloudllm-thoughts-header-v1\0"
THOUGHT = b"cloudllm-thought-v1\0"


def a_chain(path, count=4):
    """A chain of *count* thoughts in the file *path*."""
    chain = JsonlThoughts(path, fsync="never")
    for nth in range(count):
        chain.append("ada", "Finding", f"thought {nth}", range(0, nth, 2), {"nth": nth})
    return chain


def lines_of(path):
    return Path(path).read_bytes().splitlines(keepends=True)


def write(path, lines):
    """Put *lines* in the place of the file, which is then a new file."""
    Path(path).unlink(missing_ok=True)
    Path(path).write_bytes(b"".join(lines))


def sealed(record, domain=THOUGHT):
    """The line of *record* with a hash that fits, by the rule in the documentation and not by the library's code."""
    record = {key: value for key, value in record.items() if key != "hash"}
    form = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    record["hash"] = hashlib.sha256(domain + form.encode()).hexdigest()
    return json.dumps(record).encode() + b"\n"


def rewritten(lines, change):
    """*lines* after *change* had its way with the records of the thoughts, each with hashes that fit again."""
    header, *records = map(json.loads, lines)
    change(records)
    made, previous = [sealed(header, HEADER)], header["hash"]
    for record in records:
        made.append(sealed({**record, "prev": previous}))
        previous = json.loads(made[-1])["hash"]
    return made


def read(path):
    """The contents of the chain at *path*, opened anew, and what is said about its last line."""
    chain = JsonlThoughts(path)
    return [thought.content for thought in chain.thoughts], chain.torn


ALL = [f"thought {nth}" for nth in range(4)]


@pytest.mark.parametrize("bit", [0, 7])
def test_every_flipped_bit_is_noticed(tmp_path, bit):
    """Each byte of a chain, changed: tampered with, in the line it is in; or the last line is said not to be whole."""
    path = tmp_path / "a.jsonl"
    a_chain(path)
    whole = path.read_bytes()
    ends = [nth for nth, byte in enumerate(whole) if byte == 10]
    torn = 0
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << bit
        write(path, [bytes(changed)])
        line = sum(end < place for end in ends)
        verdict = verify(path)
        if verdict.status == "unanchored":
            torn += 1
            # Without the break between them, the last two lines are one that is no line.
            assert (3 if line == 4 else 2) == verdict.thoughts, place
            assert line == 4 or place == ends[3]
            assert "the last line is not whole" in verdict.torn
        else:
            assert ("tampered", line - 1 if line else None) == (verdict.status, verdict.number), place
    assert torn


def test_every_cut_is_survived(tmp_path):
    """Wherever the end is cut off: whole thoughts before it are read, nothing is invented, and a piece is told of."""
    path = tmp_path / "a.jsonl"
    head = a_chain(path).head()
    whole = path.read_bytes()
    ends = [0, *(nth + 1 for nth, byte in enumerate(whole) if byte == 10)]
    for place in range(len(whole)):
        write(path, [whole[:place]])
        count = max(0, sum(end <= place for end in ends) - 2)
        contents, said = read(path)

        assert ALL[:count] == contents
        assert (place in ends) == (said is None)
        if place:
            assert "truncated" == verify(path, head).status


def test_a_cut_at_the_end_of_a_line_needs_a_head(tmp_path):
    """Without a head nobody can tell that whole lines are missing at the end; the verdict says so."""
    path = tmp_path / "a.jsonl"
    head = a_chain(path).head()
    write(path, lines_of(path)[:-1])
    alone, against = verify(path), verify(path, head)

    assert ("unanchored", 3) == (alone.status, alone.thoughts)
    assert "only a head that was kept elsewhere can tell" in alone.said
    assert ("truncated", 3) == (against.status, against.thoughts)
    assert "there are 3 thoughts, and there were 4 when the head was taken: the end was cut off" in against.said


def test_order_matters(tmp_path):
    """Of all orders of the thoughts, one is believed."""
    path = tmp_path / "a.jsonl"
    a_chain(path)
    header, *thoughts = lines_of(path)
    for order in permutations(thoughts):
        write(path, [header, *order])
        first = next((nth for nth, line in enumerate(order) if line != thoughts[nth]), None)

        assert (first, "unanchored" if first is None else "tampered") == (verify(path).number, verify(path).status)


@pytest.mark.parametrize("nth", range(4))
def test_missing_and_doubled_thoughts_are_noticed(tmp_path, nth):
    """A thought that is missing before the end, or stands there twice, is told by its place."""
    path = tmp_path / "a.jsonl"
    a_chain(path)
    header, *thoughts = lines_of(path)
    write(path, [header, *thoughts[: nth + 1], *thoughts[nth:]])
    assert nth + 1 == verify(path).number
    write(path, [header, *thoughts[:nth], *thoughts[nth + 1 :]])

    assert (nth if nth < 3 else None) == verify(path).number


def test_a_missing_header_is_noticed(tmp_path):
    """Thoughts without the first line are no chain that anybody could believe."""
    path = tmp_path / "a.jsonl"
    a_chain(path)
    write(path, lines_of(path)[1:])

    assert ("tampered", None) == (verify(path).status, verify(path).number)


def test_thoughts_of_another_chain_are_noticed(tmp_path):
    """Lines of two chains do not go together, though they have the same numbers."""
    a_chain(tmp_path / "a.jsonl")
    a_chain(tmp_path / "b.jsonl")
    ours, theirs = lines_of(tmp_path / "a.jsonl"), lines_of(tmp_path / "b.jsonl")
    for cut in range(1, 5):
        write(tmp_path / "c.jsonl", [*ours[:cut], *theirs[cut:]])
        verdict = verify(tmp_path / "c.jsonl")

        assert ("tampered", cut - 1) == (verdict.status, verdict.number)
        assert "belongs to another chain" in verdict.said


def test_a_thought_of_another_chain_with_the_same_number_is_noticed(tmp_path):
    """A chain that claims another's number does not fit onto it either: the first thought names the header's hash."""
    a_chain(tmp_path / "a.jsonl")
    lines = lines_of(tmp_path / "a.jsonl")
    header = {**json.loads(lines[0]), "created": 0}
    write(tmp_path / "b.jsonl", [sealed(header, HEADER), *lines[1:]])

    verdict = verify(tmp_path / "b.jsonl")
    assert ("tampered", 0) == (verdict.status, verdict.number)
    assert "does not follow from the one before" in verdict.said


def test_a_header_does_not_pass_for_a_thought(tmp_path):
    """What is hashed as one kind of line is not believed as the other."""
    path = tmp_path / "a.jsonl"
    a_chain(path)
    lines = lines_of(path)
    write(path, [sealed(json.loads(lines[0])), *lines[1:]])

    assert "does not match its hash" in verify(path).said


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"v": 2}, "is not of the form that this version knows"),
        ({"seq": True}, "is not of the form that this version knows"),
        ({"more": 1}, "is not of the form that this version knows"),
        ({"body": {"content": 1, "meta": {}, "refs": []}}, "is not of the form that this version knows"),
        ({"body": {"content": "x", "meta": {}, "refs": [2]}}, "refers to what is no earlier thought"),
        ({"body": {"content": "x", "meta": {}, "refs": [1, 0]}}, "refers to what is no earlier thought"),
        ({"body": {"content": "x", "meta": {}, "refs": [True]}}, "refers to what is no earlier thought"),
        ({"seq": 3}, "says that it is thought 3: one is missing, doubled or moved"),
        ({"chain": "x"}, "belongs to another chain, x"),
    ],
)
def test_what_no_chain_holds_is_noticed(tmp_path, change, problem):
    """A line whose hash fits is still looked at: what this version never writes is not believed."""
    path = tmp_path / "a.jsonl"
    a_chain(path)
    write(path, rewritten(lines_of(path), lambda records: records[2].update(change)))
    with pytest.raises(TamperedThoughtsError) as refused:
        read(path)

    assert (2, problem) == (refused.value.number, refused.value.problem)


def test_the_sentence_names_the_thought(tmp_path):
    """The error says which file, which thought, what is wrong, and what to do."""
    path = tmp_path / "a.jsonl"
    a_chain(path)
    write(path, [path.read_bytes().replace(b"thought 2", b"thought X")])
    with pytest.raises(TamperedThoughtsError) as refused:
        read(path)

    assert (
        f"{path}: thought 2 does not match its hash. The file was changed after it was written. Compare it with a "
        "copy; what comes before can be read with: cloudllm thoughts show"
    ) == str(refused.value)


def test_nothing_is_added_to_what_cannot_be_believed(tmp_path):
    """A chain that was tampered with takes no thoughts, again and again, and stays as it is."""
    path = tmp_path / "a.jsonl"
    a_chain(path)
    write(path, [path.read_bytes().replace(b"thought 1", b"thought X")])
    before, chain = path.read_bytes(), JsonlThoughts(path)
    for _ in range(2):
        with pytest.raises(TamperedThoughtsError):
            chain.append("ada", "Finding", "more")

    assert before == path.read_bytes()


def test_a_rewritten_chain_is_found_against_a_head_alone(tmp_path):
    """Whoever computes all hashes anew is found out by a head, and by nothing else."""
    path = tmp_path / "a.jsonl"
    head = a_chain(path).head()
    write(path, rewritten(lines_of(path), lambda records: records[1]["body"].update(content="It was not me.")))

    assert "unanchored" == verify(path).status
    against = verify(path, head)
    assert "tampered" == against.status
    assert "the first 4 thoughts fit together, and are not those that the head was taken of" in against.said


def test_another_chain_in_its_place_is_found_against_a_head(tmp_path):
    """A new chain under the old name is not the one that the head was taken of."""
    head = a_chain(tmp_path / "a.jsonl").head()
    a_chain(tmp_path / "b.jsonl")
    verdict = verify(tmp_path / "b.jsonl", head)

    assert "tampered" == verdict.status
    assert f"and the head is of {head.chain}: the file was replaced, or the head is another's" in verdict.said


@pytest.mark.parametrize(
    "do",
    [
        lambda path, whole: path.write_bytes(whole.replace(b"thought 1", b"thought X")),
        lambda path, whole: path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1])),
        lambda path, whole: path.write_bytes(b""),
        lambda path, whole: path.write_bytes(whole[:400] + b"x" * 2000),
        lambda path, whole: write(path, whole.splitlines(keepends=True)[:-2]),
    ],
    ids=["edited", "cut", "emptied", "overwritten", "replaced by a shorter one"],
)
def test_a_chain_in_use_notices(tmp_path, do):
    """A handle that knew more than the file holds now says so, and goes on saying so, and adds nothing."""
    path = tmp_path / "a.jsonl"
    chain = a_chain(path)
    do(path, path.read_bytes())
    after = path.read_bytes()
    for _ in range(2):
        with pytest.raises(TamperedThoughtsError):
            list(chain.thoughts)
        with pytest.raises(TamperedThoughtsError):
            chain.append("ada", "Finding", "more")

    assert after == path.read_bytes()


def test_a_chain_in_use_follows_rotation(tmp_path):
    """When the file was moved away, the next thought begins a new chain, and the old one stays as it was."""
    path, old = tmp_path / "a.jsonl", tmp_path / "old.jsonl"
    chain = a_chain(path)
    path.rename(old)

    assert [] == list(chain.thoughts)
    assert 0 == chain.append("ada", "Finding", "new").index
    assert (["new"], ALL) == (read(path)[0], read(old)[0])


def test_a_copy_put_in_place_is_taken(tmp_path):
    """A copy of the same chain under its name, as editors and backups leave it, goes on."""
    path = tmp_path / "a.jsonl"
    chain = a_chain(path)
    write(path, [path.read_bytes()])
    chain.append("ada", "Finding", "more", [3])

    assert [*ALL, "more"] == read(path)[0]


# -- heads, by themselves -----------------------------------------------------


def test_heads_are_written_and_checked(tmp_path):
    """With a folder for heads, a cut and a rewrite are noticed as soon as the chain is opened."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path, heads=tmp_path / "heads", head_every=2)
    sizes = []
    for nth in range(5):
        chain.append("ada", "Finding", str(nth))
        note = tmp_path / "heads" / "a.head"
        sizes.append(Head.parse(note.read_text()).size if note.exists() else 0)
    chain.close()
    assert [0, 2, 2, 4, 4] == sizes
    assert 5 == Head.parse(note.read_text()).size
    whole = lines_of(path)
    assert 5 == len(JsonlThoughts(path, heads=tmp_path / "heads").thoughts)

    write(path, whole[:-1])
    with pytest.raises(CutThoughtsError, match="there are 4 thoughts, and there were 5"):
        list(JsonlThoughts(path, heads=tmp_path / "heads").thoughts)
    write(path, rewritten(whole, lambda records: records.append({**records[0], "seq": 5})))
    assert 6 == len(JsonlThoughts(path, heads=tmp_path / "heads").thoughts)
    write(path, rewritten(whole, lambda records: records[0].update(agent="eve")))
    with pytest.raises(TamperedThoughtsError, match="they were written anew"):
        JsonlThoughts(path, heads=tmp_path / "heads").append("ada", "Finding", "more")
    path.unlink()
    with pytest.raises(TamperedThoughtsError, match="says that it held 5 thoughts"):
        list(JsonlThoughts(path, heads=tmp_path / "heads").thoughts)


def test_heads_are_not_kept_beside_the_chain(tmp_path):
    """A head in the chain's own folder would be changed along with it, so that is refused."""
    for location in (tmp_path / "a.jsonl", tmp_path):
        with pytest.raises(SetupError, match="another folder than the chain's own"):
            JsonlThoughts(location, heads=tmp_path)


def test_a_head_stays_true_while_the_chain_grows(tmp_path):
    """A head taken at any length fits the chain at every later length."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path, fsync="never")
    heads = []
    for nth in range(17):
        chain.append("ada", "Finding", str(nth))
        heads.append(chain.head())

    assert list(range(1, 18)) == [head.size for head in heads]
    assert {"sound"} == {verify(path, Head.parse(str(head))).status for head in heads}
    assert "1 thought as the head says, and 16 thoughts since." in verify(path, heads[0]).said
    assert 17 == len({head.root for head in heads})


def test_an_empty_chain_has_no_head(tmp_path):
    """Where there is nothing, there is nothing to note."""
    with pytest.raises(SetupError, match="holds no chain yet, so it has no head"):
        JsonlThoughts(tmp_path / "a.jsonl", heads=tmp_path / "heads").head()
    assert not (tmp_path / "a.jsonl").exists()
