"""The chain: records numbered, encoded once, bound to one another; whatever is changed is found."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_core import Hub, Mode, Orchestration, Registry, RunResult, load_records, tool
from cloudllm_core._journal import GENESIS, Chain, digest, digest_text, encode
from cloudllm_core.errors import JournalError, TamperedError
from cloudllm_core.testing import ScriptedProvider, call, stage
from tests.kernel.histories import JSON
from tests.kernel.keepers import Tape, Unclosable
from tests.kernel.stories import InTurn, Story, Waiting, alone, ask_ada, nothing_left


@tool(effect="write")
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def kept(
    mode: Mode | None = None, script: Any = None, tape: Tape | None = None, **options: Any
) -> tuple[RunResult, Tape]:
    """A run whose lines were kept."""
    tape = tape or Tape()
    team = script or {"ada": [call("pay", amount=3), "Paid."]}
    orchestration = stage(mode or InTurn(), team, tools=[pay], **options)

    async def main() -> RunResult:
        return await orchestration.run("Pay 3.", journal=tape)

    return alone(main), tape


LINES = tuple(kept()[1].lines)


# -- encoding -----------------------------------------------------------------


@given(JSON)
def test_what_is_encoded_is_read_back(value: Any) -> None:
    """Any JSON value survives; the text has no spaces and one form."""
    assert value == json.loads(encode(value))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), [float("nan")]])
def test_what_no_json_can_say_is_refused(value: Any) -> None:
    """NaN and infinities would not be read back everywhere."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(value)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", 1j, Exception])
def test_what_is_no_json_is_refused_by_name(value: Any) -> None:
    """The error names the type."""
    with pytest.raises(TypeError, match="is not JSON"):
        encode({"value": value})


@given(st.text(st.characters(min_codepoint=0xD000, max_codepoint=0xE100), max_size=5))
def test_halves_of_characters_are_replaced_one_by_one(text: str) -> None:
    """Lone surrogates become U+FFFD; everything else stays."""
    expected = "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)

    assert expected == json.loads(encode(text))
    encode({text: [text]}).encode()


def test_values_with_a_form_of_their_own_write_themselves() -> None:
    """Messages, events and the like need no conversion; tuples become lists."""
    from cloudllm_core import Message

    assert '{"parts":[{"text":"a","type":"text"}],"role":"user"}' == encode(Message.user("a"))
    assert "[1,[2]]" == encode((1, (2,)))


def test_a_digest_is_32_digits_of_the_encoded_form() -> None:
    """Equal values, equal digests, whatever the order of keys."""
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest_text('{"a":1}') == digest({"a": 1})
    assert 32 == len(digest(None))


# -- lines --------------------------------------------------------------------


def test_a_line_is_a_record_and_is_bound_to_the_one_before() -> None:
    """Eight fields in one JSON array; numbers without gaps; each names the hash before it."""
    rows = [json.loads(line) for line in LINES]

    assert list(range(1, len(rows) + 1)) == [row[0] for row in rows]
    assert [GENESIS, *[row[7] for row in rows[:-1]]] == [row[6] for row in rows]
    assert {8} == {len(row) for row in rows}
    assert {"input", "note", "started", "finished"} == {row[4] for row in rows}


def test_what_was_kept_is_what_the_run_had() -> None:
    """Loading gives the same records, numbers, texts, hashes and events."""
    tape = Tape()
    orchestration = stage(InTurn(), {"ada": [call("pay", amount=3), "Paid."]}, tools=[pay])

    async def main() -> Any:
        run = orchestration.run("Pay 3.", journal=tape)
        return await run, run.records

    _, records = asyncio.run(main())
    loaded = load_records(tuple(tape.lines), "memory")

    for one, other in zip(records, loaded, strict=True):
        for field in ("number", "at", "lane", "position", "kind", "text", "previous", "hash", "run_id"):
            assert getattr(one, field) == getattr(other, field)
        assert one.event == other.event


def test_inputs_the_end_and_both_sides_of_a_write_are_durable() -> None:
    """A power loss takes neither the start of a write nor its result; other records may wait."""
    _, tape = kept()
    rows = [json.loads(line) for line in tape.lines]
    durable = [
        (row[4], row[5].get("class", row[5].get("event"))) for row, yes in zip(rows, tape.durable, strict=True) if yes
    ]

    assert [("input", None), ("started", "write"), ("finished", None), ("note", "RunCompleted")] == durable
    assert 1 == tape.closed


def test_a_model_request_is_kept_as_a_digest() -> None:
    """Each message is stored once, where it arose: bytes grow with what is said, not with its square."""

    def size(rounds: int) -> int:
        _, tape = kept(InTurn(rounds), {"ada": ["A" * 500] * rounds, "bob": ["B" * 500] * rounds})
        return sum(map(len, tape.lines))

    ten, twenty = size(10), size(20)
    assert twenty < 2.1 * ten


def test_a_run_has_a_journal_of_its_own_when_nobody_keeps_it() -> None:
    """Without a keeper the records live in the run."""
    assert 5 < len(LINES)

    async def main() -> int:
        run = stage(InTurn(), {"ada": "A"}).run("Go")
        await run
        return len(run.records)

    assert 8 <= asyncio.run(main())


# -- what was changed ---------------------------------------------------------


def test_an_untouched_journal_is_believed() -> None:
    """The control of the tests below."""
    assert len(LINES) == len(load_records(LINES, "memory"))
    assert [] == load_records((), "memory")


@pytest.mark.parametrize("mask", [0x01, 0x02, 0x20, 0x80])
def test_every_changed_byte_is_found(mask: int) -> None:
    """One flipped bit anywhere: the record is named, or the line is no record."""
    lines = list(kept(Story(ask_ada), {"ada": "Hi."})[1].lines)
    for number, line in enumerate(lines, 1):
        for index in range(len(line)):
            changed = line[:index] + bytes([line[index] ^ mask]) + line[index + 1 :]
            with pytest.raises(JournalError) as caught:
                load_records((*lines[: number - 1], changed, *lines[number:]), "run.jsonl")
            assert str(caught.value).startswith("run.jsonl: ")
            if isinstance(caught.value, TamperedError):
                assert caught.value.number in (number, number + 1)
            else:
                assert f"run.jsonl: line {number} is not a record of a journal." == str(caught.value)


@pytest.mark.parametrize("number", range(1, len(LINES) + 1))
def test_a_line_that_is_missing_doubled_or_moved_is_found(number: int) -> None:
    """But for the last ones, which only a later record would miss."""
    index = number - 1
    without = LINES[:index] + LINES[number:]
    doubled = LINES[:number] + LINES[index:]
    swapped = (*LINES[:index], *reversed(LINES[index : index + 2]), *LINES[index + 2 :])
    for lines in (without, doubled, swapped):
        if lines in (LINES, LINES[:-1]):
            continue
        with pytest.raises(TamperedError) as caught:
            load_records(lines, "run.jsonl")
        assert number <= caught.value.number <= number + 1


def test_the_sentences_name_file_record_and_problem() -> None:
    """Each way of tampering has its own words."""
    swapped = (LINES[0], LINES[2], LINES[1], *LINES[3:])
    with pytest.raises(TamperedError) as caught:
        load_records(swapped, "run.jsonl")
    told = "run.jsonl: record 2 says it is number 3. The journal was changed after it was written."
    assert told == str(caught.value)

    changed = (*LINES[:2], LINES[2].replace(b'"ada"', b'"eve"'), *LINES[3:])
    with pytest.raises(TamperedError) as caught:
        load_records(changed, "run.jsonl")
    told = "run.jsonl: record 3 does not match its hash. The journal was changed after it was written."
    assert told == str(caught.value)

    other = kept()[1].lines
    with pytest.raises(TamperedError) as caught:
        load_records((*LINES[:3], *other[3:]), "run.jsonl")
    told = "run.jsonl: record 4 does not follow from the one before. The journal was changed after it was written."
    assert told == str(caught.value)


def test_a_rewritten_body_with_a_new_hash_is_found_at_the_next_record() -> None:
    """Whoever changes a record must change all that follow."""
    head = LINES[3].rpartition(b',"')[0].replace(b"Pay 3.", b"Pay 9.")
    forged = head + b',"' + hashlib.sha256(head).hexdigest().encode() + b'"]'
    with pytest.raises(TamperedError) as caught:
        load_records((*LINES[:3], forged, *LINES[4:]), "run.jsonl")
    assert (5, "does not follow from the one before") == (caught.value.number, caught.value.problem)


NONSENSE = [
    b"",
    b"hello",
    b"5",
    b"null",
    b"{}",
    b"[]",
    b"[1,2,3]",
    b'[1,0.0,"run",0,"input",{},"p"]',
    b'[1,0.0,"run",0,"input",[],"p","h"]',
    b'["1",0.0,"run",0,"input",{},"p","h"]',
    b'[1,"now","run",0,"input",{},"p","h"]',
    b'[1,0.0,7,0,"input",{},"p","h"]',
    b'[1,0.0,"run",0,"input",{"a":NaN},"p","h"]',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8}',
]


@pytest.mark.parametrize("line", NONSENSE, ids=range(len(NONSENSE)))
def test_a_line_that_is_no_record_is_named(line: bytes) -> None:
    """Whatever stands there, the error says which line of what."""
    with pytest.raises(JournalError) as caught:
        load_records((line,), "run.jsonl")
    assert str(caught.value).startswith("run.jsonl: ")


@settings(max_examples=200)
@given(st.binary(max_size=60) | JSON.map(lambda value: encode(value).encode()))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    """Nothing but JournalError comes out."""
    with pytest.raises(JournalError):
        load_records((line,), "run.jsonl")


def test_appending_survives_any_text_in_its_place() -> None:
    """Lanes with quotes cannot be made (agents' names are checked); bodies hold anything."""
    tape = Tape()
    chain = Chain("r", tape)
    dice = random.Random(1)
    for number in range(50):
        body = {"event": "X", "text": "".join(chr(dice.choice([34, 44, 92, 93, 10, 0x1F600])) for _ in range(number))}
        chain.append(float(number), "run", 0, "note", encode(body))
    loaded = load_records(tuple(tape.lines), "memory")
    assert [record.hash for record in chain.records] == [record.hash for record in loaded]


# -- keepers that fail --------------------------------------------------------


@pytest.mark.parametrize("fails_at", range(2, 14))
@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), JournalError("The disk is full.")])
def test_a_journal_that_cannot_be_written_ends_the_run_with_the_error(fails_at: int, problem: Exception) -> None:
    """Nothing happens that is not written down; the run ends, nothing is left, and the sessions are free."""
    tape = Tape(fails_at, problem)
    orchestration = stage(InTurn(), {"ada": [call("pay", amount=3), "Paid."]}, tools=[pay])

    async def main() -> RunResult:
        return await asyncio.wait_for(_wait(orchestration.run("Pay 3.", journal=tape)), 5)

    with nothing_left():
        result = alone(main)

    assert ("failed", False) == (result.stop_reason, result.complete)
    assert isinstance(result.error, JournalError)
    expected = (
        str(problem)
        if isinstance(problem, JournalError)
        else "The journal could not keep a record: OSError: [Errno 28] No space left on device"
    )
    assert expected == str(result.error)
    assert fails_at - 1 == len(tape.lines)
    assert 1 == tape.closed
    assert orchestration.agents[0].session.holder is None
    load_records(tuple(tape.lines), "memory")


async def _wait(run: Any) -> RunResult:
    result: RunResult = await run
    return result


def test_a_mode_cannot_swallow_a_journal_that_fails() -> None:
    """The loop stops; whatever the mode catches, the result is the journal's error."""

    async def story(hub: Hub) -> None:
        for _ in range(9):
            try:
                await hub.ask("ada", "x")
            except BaseException:  # noqa: BLE001 -- that is the mischief
                continue

    result, _ = kept(Story(story), {"ada": ["A"] * 9}, Tape(fails_at=6))
    assert isinstance(result.error, JournalError)


def test_a_journal_that_cannot_be_begun_begins_no_run() -> None:
    """The error comes from `run` itself; sessions and sinks are as before."""
    from cloudllm_core.testing import Notebook

    notebook = Notebook()
    orchestration = stage(InTurn(), {"ada": ["A", "B"]}, sinks=[notebook])

    async def main() -> RunResult:
        with pytest.raises(JournalError, match="No space left on device"):
            orchestration.run("Go", journal=Tape(fails_at=1))
        return await orchestration.run("Go")

    before = threading.active_count()
    result = alone(main)
    assert result.complete
    assert result.sessions_kept
    assert before == threading.active_count()


def test_a_journal_that_cannot_be_closed_fails_the_run() -> None:
    """What was not kept for sure is said."""
    result, _ = kept(tape=Unclosable())

    assert ("failed", False) == (result.stop_reason, result.complete)
    assert "the disk went away" == str(result.error)


def test_a_journal_that_fails_in_a_write_leaves_it_running_to_its_end() -> None:
    """The money is on its way: the run waits until the write is over, within the grace, and leaves no task."""

    async def story(hub: Hub) -> None:
        async with hub.each(lambda n: hub.do("x", slow, effect="write"), [1, 2, 3]) as ends:
            async for _ in ends:
                pass

    async def slow() -> int:
        await asyncio.sleep(0.01)
        return 1

    result, _ = kept(Story(story), {"ada": "A"}, Tape(fails_at=5))
    assert isinstance(result.error, JournalError)


def test_runs_at_once_have_journals_of_their_own() -> None:
    """Each is whole and sound."""

    async def main() -> list[Tape]:
        registry, model = Registry.of(), Waiting("A", 0)
        from cloudllm_core import Agent

        orchestration = Orchestration([Agent("ada", model, registry=registry)], InTurn(3), registry=registry)
        tapes = [Tape() for _ in range(4)]
        runs = [orchestration.run(f"prompt {n}", journal=tape) for n, tape in enumerate(tapes)]
        for run in runs:
            await run
        return tapes

    for number, tape in enumerate(alone(main)):
        records = load_records(tuple(tape.lines), "memory")
        assert f"prompt {number}" == records[0].body["prompt"]
        assert "RunCompleted" == type(records[-1].event).__name__


def test_a_scripted_provider_is_no_part_of_the_journal() -> None:
    """Keys, addresses and options of a provider stay out; its name stands in the first record."""
    _, tape = kept(script={"ada": ScriptedProvider("Hi.")})
    assert "scripted" == json.loads(tape.lines[0])[5]["agents"][0]["provider"]
