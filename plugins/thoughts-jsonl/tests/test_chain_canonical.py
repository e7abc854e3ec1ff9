"""The form that thoughts are hashed in, and what can be kept."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core.errors import SetupError
from cloudllm_thoughts_jsonl import JsonlThoughts
from cloudllm_thoughts_jsonl.canonical import NotJsonError, WrongError, canonical, cleaned, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"b": 1, "a": [True, None, -0]}, '{"a":[true,null,0],"b":1}'),
        ({"\u20ac": 1, "\U0001f600": 2, "\ufb33": 3}, '{"\u20ac":1,"\U0001f600":2,"\ufb33":3}'),
        ('\x00\x08\t\n\x0c\r\x1f\x7f"\\/\u2028\u00e9', '"\\u0000\\b\\t\\n\\f\\r\\u001f\x7f\\"\\\\/\u2028\u00e9"'),
        ({"": {}, "x": []}, '{"":{},"x":[]}'),
        ("half \ud83d and whole \U0001f600", '"half \ufffd and whole \U0001f600"'),
        ((1, (2,)), "[1,[2]]"),
        (2**53 - 1, "9007199254740991"),
    ],
)
def test_values_have_one_form(value, form):
    """The form is RFC 8785's: keys by UTF-16 units, the short escapes, all else as it is; half characters replaced."""
    assert form == canonical(cleaned(value, "meta"))


@given(JSON)
def test_the_form_is_that_of_the_standard(value):
    """Another implementation of RFC 8785 gives the same bytes."""
    rfc8785 = pytest.importorskip("rfc8785", reason="compared with rfc8785 where it is installed")

    assert rfc8785.dumps(cleaned(value, "meta")) == canonical(cleaned(value, "meta")).encode()


@given(JSON)
def test_what_is_kept_comes_back(value):
    """The form reads back as the value it is of."""
    kept = cleaned(value, "meta")

    assert kept == json.loads(canonical(kept))


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"score": 0.5}, "meta.score is 0.5, and a chain keeps no fractions, because they are not written alike"),
        ({"a": [1, {"b": math.nan}]}, "meta.a[1].b is nan, and a chain keeps no fractions"),
        ({"n": 2**53}, "meta.n is 9007199254740992, and a chain keeps whole numbers up to 2**53 - 1"),
        ({1: "x"}, "meta has the key 1, and keys are text. Write it as '1'."),
        ({"x": b"x"}, "meta.x is of the type bytes, which is not JSON. Keep it as text: str(...)"),
    ],
)
def test_what_cannot_be_kept_is_said(tmp_path, meta, said):
    """What languages write differently, or JSON does not know, is refused with the place, the reason and a way out."""
    chain = JsonlThoughts(tmp_path / "a.jsonl")
    with pytest.raises(SetupError) as refused:
        chain.append("ada", "Finding", "x", (), meta)

    assert said in str(refused.value)
    assert not (tmp_path / "a.jsonl").exists()


def test_what_is_too_deep_is_refused(tmp_path):
    """Nesting without end is refused before it ends the interpreter, and so is a table in itself."""
    deep = {}
    deep["x"] = deep

    with pytest.raises(SetupError, match="more than 60 deep"):
        JsonlThoughts(tmp_path / "a.jsonl").append("ada", "Finding", "x", (), deep)


@pytest.mark.parametrize("word", ["agent", "type", "content"])
def test_words_must_be_text(tmp_path, word):
    """What is no text is refused by its name."""
    with pytest.raises(SetupError, match=f"{word} is 7, and it should be text"):
        JsonlThoughts(tmp_path / "a.jsonl").append(**{"agent": "ada", "type": "Finding", "content": "x", word: 7})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a":1,"hash":"x","a":1}', "a key twice"),
        (b'{"a":{"b":1,"b":1},"hash":"x"}', "a key twice"),
        (b'{"hash":"x","hash":"x"}', "a key twice"),
        (b'{"a":1.0,"hash":"x"}', "no thought holds fractions"),
        (b'{"a":1e3,"hash":"x"}', "no thought holds fractions"),
        (b'{"a":NaN,"hash":"x"}', "no thought holds fractions"),
        (b'{"a":9007199254740992,"hash":"x"}', "too large"),
        (b'{"a":' + b"9" * 5000 + b',"hash":"x"}', "too large"),
        (b'{"a":"\\ud800","hash":"x"}', "half a character"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"hash":"x"}', "too deeply"),
        (b'["hash"]', "the form"),
        (b'{"a":1}', "the form"),
        (b'{"hash":1}', "the form"),
    ],
)
def test_what_is_never_written_is_not_read(line, problem):
    """JSON that no chain holds is refused for what it is, not as a piece of a line."""
    with pytest.raises(WrongError, match=problem) as refused:
        parse(line)

    assert not isinstance(refused.value, NotJsonError)


@pytest.mark.parametrize("line", [b"", b"{", b'{"a":1', b"\xff", b'{"a":1}x', b"\0\0"])
def test_pieces_are_told_apart(line):
    """What is no JSON at all may be a piece of a line."""
    with pytest.raises(NotJsonError):
        parse(line)


def test_the_order_of_keys_on_disk_is_free():
    """A line whose keys stand in another order, with spaces, has the same form."""
    assert parse(b'{"a":1,"b":2,"hash":"x"}') == parse(b'{ "hash": "x", "b": 2, "a": 1 }')
