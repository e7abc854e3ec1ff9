"""Whatever one form writes, both read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_tool_memory import Memory

KEYS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60).filter(
    lambda key: key.isprintable() and not key.startswith(("teams:", "memory:"))
)
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter(lambda word: word[0] not in '"{[')
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
OK = {"status": "OK"}


def read(use: Any, memory: Memory, key: str) -> tuple[Any, Any]:
    """What the text form and the typed form read under *key*."""
    return use(memory, "memory", command="G", key=key)["value"], use(memory, "memory_get", key=key)["value"]


@given(key=KEYS, value=TEXTS)
def test_text_comes_back_from_both_forms(use: Any, key: str, value: str) -> None:
    """Given as arguments, given in quotes, or given to the typed form: any text, exactly."""
    memory = Memory()
    writes = [
        ("memory", {"command": "P", "key": key, "value": value}),
        ("memory", {"command": f"P {json.dumps(key)} {json.dumps(value)}"}),
        ("memory", {"command": f"P {json.dumps(key, ensure_ascii=False)} {json.dumps(value)} 60"}),
        ("memory_put", {"key": key, "value": value}),
    ]
    for tool, arguments in writes:
        use(memory, "memory_delete", key=key)
        assert OK == use(memory, tool, **arguments)
        assert (value, value) == read(use, memory, key)
        assert {"keys": [key]} == use(memory, "memory_list") == use(memory, "memory", command="L")


@given(key=KEYS, value=VALUES)
def test_json_comes_back_and_is_read_as_text(use: Any, key: str, value: Any) -> None:
    """The typed form gets what it gave; the text form gets text, or the JSON text of anything else."""
    memory = Memory()
    use(memory, "memory_put", key=key, value=value)
    text, typed = read(use, memory, key)

    assert (value, type(value)) == (typed, type(typed))
    assert value == (text if isinstance(value, str) else json.loads(text))


@given(words=st.lists(WORDS | st.from_regex("[0-9]+", fullmatch=True), min_size=3), data=st.data())
def test_several_words_are_one_value(use: Any, words: list[str], data: st.DataObject) -> None:
    """Whatever the words and whatever is between them: nothing is cut, and a last number belongs to them."""
    value = words[0] + "".join(data.draw(st.sampled_from([" ", "  ", "\n", "\t"])) + word for word in words[1:])
    memory = Memory()
    use(memory, "memory", command=f"P k {value}")

    assert (value, value) == read(use, memory, "k")
    assert use(memory, "memory_get", key="k")["expires_in"] is None


@given(key=KEYS)
def test_deleted_is_gone_from_both_forms(use: Any, key: str) -> None:
    """Whichever deletes it; the typed form says whether there was something, the text form that there is nothing."""
    memory = Memory()
    for tool, arguments, first, second in (
        ("memory", {"command": "D"}, OK, "ERR:NOT_FOUND"),
        ("memory_delete", {}, {"deleted": True}, {"deleted": False}),
    ):
        use(memory, "memory_put", key=key, value=None)
        assert [first, second] == [use(memory, tool, key=key, **arguments) for _ in range(2)]
        assert "ERR:NOT_FOUND" == use(memory, "memory", command="G", key=key)
        told = f"ERR:NOT_FOUND - Nothing is stored under {key!r}. memory_list shows the keys there are."
        assert told == use(memory, "memory_get", key=key)


def test_the_typed_form_tells_the_time_left(memory: Memory, use: Any, clock: Any) -> None:
    """Nothing is a value as any other, and told from no value."""
    use(memory, "memory_put", key="k", value=None, ttl=90)
    clock.now += 30

    added = "2023-11-14T22:13:20+00:00"
    assert {"value": None, "added_utc": added, "expires_in": 60} == use(memory, "memory_get", key="k")


def test_prefixes_are_taken_as_they_are(memory: Memory, use: Any) -> None:
    """Except for a star at the end, which the text form is used to."""
    for key in ("a b", "a:1", "a:2", "b"):
        use(memory, "memory_put", key=key, value=1)

    keys = {
        prefix: use(memory, "memory_list", prefix=prefix)["keys"] for prefix in ("a:", "a:*", "a ", "", "*", "META")
    }
    assert {
        "a:": ["a:1", "a:2"],
        "a:*": ["a:1", "a:2"],
        "a ": ["a b"],
        "": ["a b", "a:1", "a:2", "b"],
        "*": ["a b", "a:1", "a:2", "b"],
        "META": [],
    } == keys


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": float("nan")}])
def test_what_is_no_json_is_refused(memory: Memory, use: Any, value: Any) -> None:
    """In words, and what was there stays."""
    use(memory, "memory_put", key="k", value="old")
    told = use(memory, "memory_put", key="k", value=value)

    assert told.startswith("ERR:Invalid Value - value: found ")
    assert ("old", "old") == read(use, memory, "k")
