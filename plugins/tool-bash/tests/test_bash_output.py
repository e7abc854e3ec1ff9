"""What a model reads of the output: the end of it, as clean text."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_tool_bash import Result
from cloudllm_tool_bash.tails import Tail, clean


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("plain\n\ttext\n", "plain\n\ttext\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP+q544e\x1b\\text", "text"),
        ("\x1b(Btext\x1b7\x1bc", "text"),
        ("\x9b31mred", "red"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("10%\r100%", "10%\n100%"),
        ("\x00\x07a\x08\x7f", "a"),
        ("\x1b", ""),
        ("\x1b[", ""),
    ],
)
def test_nothing_that_steers_a_terminal_is_left(raw: str, read: str) -> None:
    """F101: colours, titles, links, cursor movements, bells."""
    assert read == clean(raw)


@given(st.text(st.sampled_from("\x1b[]();m0123?\x07\\ab\r\n\x9b\x00")))
def test_no_control_character_is_left(raw: str) -> None:
    """F101: whatever the output is."""
    assert None is re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", clean(raw))


@given(st.lists(st.binary(max_size=60)), st.integers(1, 50))
def test_a_tail_holds_the_end(parts: list[bytes], keep: int) -> None:
    """Whole, if it is short; else no more than its length, and memory does not grow with the stream."""
    tail, whole = Tail(keep), b"".join(parts)
    for part in parts:
        tail.add(part)

    assert len(whole) == tail.total
    if len(whole) <= keep:
        assert clean(whole.decode("utf-8", "replace")) == tail.text
    else:
        notice, _, end = tail.text.partition("\n")
        cut = int(notice.removeprefix("[").removesuffix(" bytes before this were cut]").replace(",", ""))
        assert 0 < cut <= len(whole)
        assert clean(whole[cut:].decode("utf-8", "replace")) == end


def test_a_tail_begins_with_a_whole_line() -> None:
    """So that it does not begin inside of a character or an escape."""
    tail = Tail(10)
    tail.add("äää\x1b[31mred\nlast\n".encode())

    assert "[15 bytes before this were cut]\nlast\n" == tail.text


def test_what_is_no_text_becomes_text(run: Callable[..., Result]) -> None:
    """F101: invalid UTF-8 is replaced, and no line break is needed."""
    assert "a\ufffdb" == run(r"printf 'a\xffb'").stdout
    assert run("head -c 5000 /dev/urandom").stdout
