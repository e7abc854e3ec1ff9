"""The text commands: every row of the grammar with its exact answer, every refusal with its exact text."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudllm_store_memory import MemoryStore
from cloudllm_tool_memory import Memory

OK = {"status": "OK"}
ADDED = "2023-11-14T22:13:20+00:00"
QUOTES = "A key with spaces stands in quotes, or in the argument 'key'."
LIFE = "A lifetime is more than 0 and at most 100000000000 seconds. Without one, a value is kept for good."
KEY = "A key is text of 1 to 512 printable characters."


@pytest.fixture
def memory(store: MemoryStore) -> Memory:
    """A memory with three keys."""
    asyncio.run(store.put("a:1", "one", 90))
    asyncio.run(store.put("a:2", "two words"))
    asyncio.run(store.put("b", {"n": [1, "é"]}))
    return Memory(store, allow_clear=True)


ROWS: list[tuple[str, Any]] = [
    ("P k v", OK),
    ("PUT k v 60", OK),
    ("G a:1", {"value": "one"}),
    ("GET a:2", {"value": "two words"}),
    ("G b", {"value": '{"n":[1,"é"]}'}),
    ("G a:1 META", {"value": "one", "added_utc": ADDED, "expires_in": 90}),
    ("G a:2 META", {"value": "two words", "added_utc": ADDED, "expires_in": None}),
    ("L", {"keys": ["a:1", "a:2", "b"]}),
    ("LIST a:*", {"keys": ["a:1", "a:2"]}),
    ("L a:", {"keys": ["a:1", "a:2"]}),
    ("L *", {"keys": ["a:1", "a:2", "b"]}),
    ("L c:*", {"keys": []}),
    ('L "META"', {"keys": []}),
    (
        "L META",
        {
            "keys": [
                {"key": "a:1", "added_utc": ADDED, "expires_in": 90},
                {"key": "a:2", "added_utc": ADDED, "expires_in": None},
                {"key": "b", "added_utc": ADDED, "expires_in": None},
            ]
        },
    ),
    ("L a:1* META", {"keys": [{"key": "a:1", "added_utc": ADDED, "expires_in": 90}]}),
    ("D b", OK),
    ("DELETE a:1", OK),
    ("C", OK),
    ("CLEAR", OK),
    ("T A", {"total_bytes": 33}),
    ("T K", {"keys_bytes": 7}),
    ("T V", {"values_bytes": 26}),
    ("  G \n a:1  ", {"value": "one"}),
    ("", "ERR:Invalid Command"),
    (" \n", "ERR:Invalid Command"),
    ("g a:1", "ERR:Unknown Command"),
    ("put k v", "ERR:Unknown Command"),
    ("TOTAL A", "ERR:Unknown Command"),
    ("X", "ERR:Unknown Command"),
    ("P", "ERR:Invalid PUT Syntax"),
    ("P k", "ERR:Invalid PUT Syntax"),
    ('P "" v', "ERR:Invalid PUT Syntax"),
    ("G", "ERR:Invalid GET Syntax"),
    ("G a:1 b", f"ERR:Invalid GET Syntax - {QUOTES}"),
    ("G a:1 meta", f"ERR:Invalid GET Syntax - {QUOTES}"),
    ("G nothing", "ERR:NOT_FOUND"),
    ("L a: b", f"ERR:Invalid LIST Syntax - {QUOTES}"),
    ("D", "ERR:Invalid DELETE Syntax"),
    ("D a:1 b", f"ERR:Invalid DELETE Syntax - {QUOTES}"),
    ("D nothing", "ERR:NOT_FOUND"),
    ("C a:1", "ERR:Invalid CLEAR Syntax - CLEAR takes no key. One key is deleted with: D key"),
    ("T", "ERR:Invalid TOTAL Syntax"),
    ("T X", "ERR:Invalid TOTAL Scope"),
    ("T a", "ERR:Invalid TOTAL Scope"),
    ("P k v 0", f"ERR:Invalid TTL - {LIFE}"),
    ("P k v 9223372036854775807", f"ERR:Invalid TTL - {LIFE}"),
    (f"P k v {'9' * 5000}", f"ERR:Invalid TTL - {LIFE}"),
    (f"P {'k' * 513} v", f"ERR:Invalid Key - {KEY}"),
    ('P "a\\nb" v', f"ERR:Invalid Key - {KEY}"),
]


@pytest.mark.parametrize(("command", "answer"), ROWS, ids=[row[0][:30] for row in ROWS])
def test_a_command_has_its_answer(memory: Memory, tell: Any, command: str, answer: Any) -> None:
    """The shapes, codes and texts that prompts were written for; new ones where something was silently dropped."""
    assert answer == tell(memory, command)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ({"command": "P", "key": "k", "value": "v"}, OK),
        ({"command": "P", "key": "k", "value": ""}, OK),
        ({"command": "P", "key": "k"}, "ERR:Invalid PUT Syntax"),
        ({"command": "P v", "key": "k"}, "ERR:Invalid PUT Syntax"),
        ({"command": "P k", "value": "v"}, OK),
        ({"command": "P k", "value": ""}, OK),
        (
            {"command": "P k w", "value": "v"},
            "ERR:Invalid PUT Syntax - There are two values. Give one, in the command or as 'value'.",
        ),
        ({"command": "G", "key": "a:1"}, {"value": "one"}),
        ({"command": "G META", "key": "a:1"}, {"value": "one", "added_utc": ADDED, "expires_in": 90}),
        ({"command": "G a:1 META", "key": "a:1"}, {"value": "one", "added_utc": ADDED, "expires_in": 90}),
        ({"command": "G ignored", "key": "a:1"}, {"value": "one"}),
        ({"command": "G", "key": "a:1 META"}, "ERR:NOT_FOUND"),
        ({"command": "G a:1", "key": "", "value": ""}, {"value": "one"}),
        ({"command": "L", "key": "a:*"}, {"keys": ["a:1", "a:2"]}),
        ({"command": "L META", "key": "b"}, {"keys": [{"key": "b", "added_utc": ADDED, "expires_in": None}]}),
        ({"command": "D", "key": "b"}, OK),
        ({"command": "D ignored", "key": "b"}, OK),
        ({"command": "C", "key": "b"}, "ERR:Invalid CLEAR Syntax - CLEAR takes no key. One key is deleted with: D key"),
        ({"command": "T", "key": "K"}, {"keys_bytes": 7}),
        ({"command": "P", "key": "k", "value": "v", "ttl": 1e12}, f"ERR:Invalid TTL - {LIFE}"),
        ({"command": "P", "key": "k", "value": "v", "ttl": float("nan")}, f"ERR:Invalid TTL - {LIFE}"),
    ],
)  # fmt: skip
def test_arguments_take_the_place_of_words(memory: Memory, use: Any, arguments: Any, answer: Any) -> None:
    """As in the original, except that nothing in them is read again."""
    assert answer == use(memory, "memory", **arguments)


@pytest.mark.parametrize(
    ("arguments", "value", "life"),
    [
        # one word and a number: the original's own way to give a lifetime
        ({"command": "P k word 60"}, "word", 60),
        ({"command": "P k 12 30"}, "12", 30),
        ({"command": "P k 60"}, "60", None),
        # several words: nothing is cut, and no number is taken from them
        ({"command": "P k word soon"}, "word soon", None),
        ({"command": "P k meet at 5"}, "meet at 5", None),
        ({"command": "P k one\n  two\tthree 60"}, "one\n  two\tthree 60", None),
        ({"command": "P k word -5"}, "word -5", None),
        ({"command": "P k word 1.5"}, "word 1.5", None),
        ({"command": "P k word ٣"}, "word ٣", None),
        # quoted
        ({"command": 'P k "meet at 5"'}, "meet at 5", None),
        ({"command": 'P k "meet at 5" 60'}, "meet at 5", 60),
        ({"command": 'P k "say \\"hi\\"\\n" 60'}, 'say "hi"\n', 60),
        ({"command": 'P k "two\nlines" 60'}, "two\nlines", 60),
        ({"command": 'P k "" 60'}, "", 60),
        # no quotes after all: the text as it stands
        ({"command": 'P k "a" and "b"'}, '"a" and "b"', None),
        ({"command": 'P k "never closed 60'}, '"never closed 60', None),
        ({"command": 'P k "a"b 60'}, '"a"b 60', None),
        ({"command": 'P k "a"60'}, '"a"60', None),
        ({"command": 'P k {"a":1}60'}, '{"a":1}60', None),
        ({"command": "P k it's 60"}, "it's", 60),
        # JSON
        ({"command": 'P k {"result": "all good", "n": 5}'}, '{"result": "all good", "n": 5}', None),
        ({"command": 'P k {"result": "all good", "n": 5} 60'}, '{"result": "all good", "n": 5}', 60),
        ({"command": "P k [1, 2] 60"}, "[1, 2]", 60),
        ({"command": 'P k {"broken": 60'}, '{"broken": 60', None),
        ({"command": "P k [draft] see page 60"}, "[draft] see page 60", None),
        ({"command": f"P k {'[' * 100_000}"}, "[" * 100_000, None),
        # as arguments
        ({"command": "P", "key": "k", "value": "abc 3600"}, "abc 3600", None),
        ({"command": "P", "key": "k", "value": "  a\n\n b "}, "  a\n\n b ", None),
        ({"command": "P", "key": "k", "value": '"quoted" 60'}, '"quoted" 60', None),
        ({"command": "P", "key": "k", "value": "v", "ttl": 60}, "v", 60),
        ({"command": "P 3600", "key": "k", "value": "v"}, "v", 3600),
        ({"command": "P k 3600", "value": "a b"}, "a b", 3600),
        ({"command": "P k v 3600", "ttl": 60}, "v", 60),
        ({"command": "P k b 5", "key": "k", "value": "a"}, "a", None),
        ({"command": "P k v", "value": ""}, "v", None),
    ],
)
def test_values_are_kept_whole(memory: Memory, use: Any, arguments: Any, value: str, life: int | None) -> None:
    """A lifetime is told from a value by rule, and where the rule does not hold there is none."""
    assert OK == use(memory, "memory", **arguments)

    stored = use(memory, "memory", command="G k META")
    assert (value, life) == (stored["value"], stored["expires_in"])


def test_keys_with_spaces(memory: Memory, tell: Any) -> None:
    """In quotes, or as the argument; the same key."""
    assert OK == tell(memory, 'P "my \\"key\\"" some text')

    assert {"value": "some text"} == tell(memory, "G", key='my "key"')
    assert {"value": "some text"} == tell(memory, 'G "my \\"key\\""')
    assert {"keys": ['my "key"']} == tell(memory, 'L "my "')
    assert OK == tell(memory, 'D "my \\"key\\""')
    assert OK == tell(memory, 'P "half"quoted v')
    assert {"value": "v"} == tell(memory, "G", key='"half"quoted')


def test_the_bytes_of_the_original(tell: Any) -> None:
    """Two keys of 4 bytes and two values of 6: 20, 8 and 12; in UTF-8, not in characters."""
    memory = Memory()
    for command in ("P key1 value1", "P key2 value2"):
        tell(memory, command)
    assert [{"total_bytes": 20}, {"keys_bytes": 8}, {"values_bytes": 12}] == [tell(memory, f"T {s}") for s in "AKV"]

    tell(memory, "P é ß😀")
    assert [{"keys_bytes": 10}, {"values_bytes": 18}] == [tell(memory, f"T {s}") for s in "KV"]


def test_a_lifetime_ends(memory: Memory, tell: Any, clock: Any) -> None:
    """What has expired is gone for every command, and not counted."""
    clock.now += 89
    assert {"value": "one"} == tell(memory, "G a:1")
    clock.now += 1

    assert "ERR:NOT_FOUND" == tell(memory, "G a:1")
    assert "ERR:NOT_FOUND" == tell(memory, "D a:1")
    assert {"keys": ["a:2"]} == tell(memory, "L a:")
    assert {"keys_bytes": 4} == tell(memory, "T K")


def test_the_time_left_is_told(memory: Memory, tell: Any, clock: Any) -> None:
    """What remains, not what was given; in whole seconds, and none of them lost before its time."""
    left = []
    for seconds in (0, 30.25, 59):
        clock.now = 1_700_000_000 + seconds
        left += [tell(memory, "G a:1 META")["expires_in"], tell(memory, "L a:1 META")["keys"][0]["expires_in"]]

    assert [90, 90, 60, 60, 31, 31] == left


@pytest.mark.parametrize(("again", "life"), [("P k new", None), ("P k new 500", 490)])
def test_an_overwritten_key_has_its_new_life(
    memory: Memory, tell: Any, clock: Any, again: str, life: int | None
) -> None:
    """The old lifetime ends nothing any more."""
    tell(memory, "P k old 1")
    tell(memory, again)
    clock.now += 10

    stored = tell(memory, "G k META")
    assert ("new", life) == (stored["value"], stored["expires_in"])


def test_a_new_life_may_be_shorter(memory: Memory, tell: Any, clock: Any) -> None:
    """The other way round too."""
    tell(memory, "P k old")
    tell(memory, "P k new 1")
    clock.now += 2

    assert "ERR:NOT_FOUND" == tell(memory, "G k")


def test_a_refused_lifetime_harms_nothing(memory: Memory, tell: Any) -> None:
    """The value is not stored, and everything goes on."""
    tell(memory, "P k old")
    tell(memory, "P k new 9223372036854775807")

    assert {"value": "old"} == tell(memory, "G k")


def test_the_specification_tells_what_may_be_used(store: MemoryStore, tell: Any) -> None:
    """Every command that works is in it, and none that would be refused."""
    verbs = {"P", "G", "L", "D", "C", "T", "SPEC"}
    for settings, missing in (
        ({"allow_clear": True}, set()),
        ({}, {"C"}),
        ({"read_only": True, "allow_clear": True}, {"P", "D", "C"}),
    ):
        text = tell(Memory(store, **settings), "SPEC")["specification"]
        told = {line.split()[0] for line in text.splitlines()} & verbs

        assert verbs - missing == told
        assert bool(missing & {"C"}) == ("CLEAR" not in text)
