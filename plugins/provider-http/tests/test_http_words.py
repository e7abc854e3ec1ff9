"""Events, arguments and what servers say of a failure: pure functions."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_provider_http import (
    Events,
    Malformed,
    Origin,
    bad_response,
    checked,
    encode,
    parse_arguments,
    plain,
    quoted,
    read_json,
    retry_after,
    sentence,
)

# -- events -------------------------------------------------------------------

EVENTS = (
    b'\xef\xbb\xbf: hi\n\ndata: {"a": "\xc3\xa9\xf0\x9f\x98\x80"}\n\n'
    b'event: error\ndata: one\ndata:two\nid: 3\n\nretry: 1\n\n{\n  "error": {}\n}\n\ndata: [DONE]\n\n'
)


@given(st.lists(st.integers(1, len(EVENTS) * 2)), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
@settings(deadline=None)
def test_events_are_the_same_however_the_bytes_are_split(cuts: list[int], newline: bytes, bare: bool) -> None:
    """Splits inside characters, line ends and field names change nothing; lines without a field count if wanted."""
    body = EVENTS.replace(b"\n", newline)
    places = [0, *sorted({cut for cut in cuts if cut < len(body)}), len(body)]
    events = Events(bare=bare)
    found = [event for start, end in itertools.pairwise(places) for event in events.feed(body[start:end])]

    without = [("bare", '{\n  "error": {}\n}')] if bare else []
    assert [("", '{"a": "é😀"}'), ("error", "one\ntwo"), *without, ("", "[DONE]")] == found + events.finish()


def test_the_last_event_may_lack_its_blank_line() -> None:
    """A server that forgets the last line break is understood."""
    events = Events()

    assert [("", "[DONE]")] == events.feed(b"data: [DONE]") + events.finish()


def test_an_endless_line_is_refused() -> None:
    """A line that never ends does not fill the memory, unless the caller says that it may."""
    events = Events(1000)

    assert [] == events.feed(b"x" * 1000)
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        events.feed(b"x")
    with pytest.raises(ValueError, match="longer than 16777216 bytes"):
        Events().feed(b"x" * (16 * 1024 * 1024 + 1))
    assert [] == Events(None).feed(b"x" * (16 * 1024 * 1024 + 1))


# -- arguments ----------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_arguments_come_as_they_were_written(arguments: dict[str, Any]) -> None:
    """Whatever is clean is read as it is, as text and within an answer."""
    written = json.dumps(arguments)

    assert arguments == parse_arguments(written) == checked(read_json(written)) == plain(read_json(written))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ('{"path": "x"', "not valid JSON"),
        ("null", "not an object"),
        ("[1]", "not an object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": [-Infinity]}', "-Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"b": [{"a": 1, "a": 2}]}', "'a' twice"),
        ('{"\\ud800": 1, "\\ud801": 2}', "twice"),
        ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested deeper than 64"),
        ('{"a": 1} {"b": 2}', "not valid JSON"),
    ],
)
def test_doubtful_arguments_are_never_a_guess(raw: str, says: str) -> None:
    """A key twice, a number that is none, a depth that nobody meant: each is said."""
    with pytest.raises(Malformed, match=says):
        parse_arguments(raw)


def test_lone_surrogates_in_arguments_are_replaced() -> None:
    """Arguments can be written down again as UTF-8; split pairs are joined."""
    assert {"a": "x\ufffdy", "b": ["😀"]} == parse_arguments('{"a": "x\\ud800y", "b": ["\\ud83d\\ude00"]}')


# -- bodies -------------------------------------------------------------------


@given(st.lists(st.text(max_size=20)), JSON)
def test_a_body_is_what_it_says_however_its_history_is_written(texts: list[str], more: Any) -> None:
    """The history goes by its own way into the same JSON."""
    body = {"model": "m", "said": texts, "more": more}

    assert body == json.loads(encode(body, ("said", "other"), quoted))


def test_half_a_character_can_be_sent() -> None:
    """It becomes the replacement character instead of an error, in the history as elsewhere."""
    assert {"x": "a\ufffdb😀", "said": ["\ufffd"]} == json.loads(
        encode({"x": "a\ud800b😀", "said": ["\udc00"]}, ("said",), quoted)
    )


# -- failures -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1", "retry-after-ms": "350"}, 0.35),
        ({"retry-after": "99999999"}, 99_999_999.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_nothing(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood; garbage is nothing."""
    assert seconds == retry_after(headers)


def test_retry_after_may_be_a_date_to_come() -> None:
    """A date is turned into the seconds until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    assert 3500 < (retry_after({"retry-after": date}) or 0) <= 3600


def test_a_long_message_is_cut() -> None:
    """On one line, without a full stop of its own, and never nothing."""
    assert ("a b", "no explanation", "x\ufffd") == (sentence(" a\n b.\n"), sentence(" "), sentence("x\ud800"))
    assert "x" * 997 == sentence("x" * 5000)


def test_an_answer_that_is_none_says_how_it_begins() -> None:
    """What is wrong, the beginning of it, and what the address should lead to."""
    origin = Origin(provider="acme", model="m", api="an Acme API")
    problem = bad_response("is not JSON", "<html>\n" + "x" * 1000, origin)

    assert f"the answer is not JSON; it begins with '<html> {'x' * 193}'" == problem.problem
    assert "Check that base_url leads to an Acme API." == problem.hint
