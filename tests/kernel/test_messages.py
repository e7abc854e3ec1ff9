"""What is said has one JSON form, exact both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Completion, Image, Message, Private, Reply, Text, Thinking, ToolCall, ToolResult, Usage
from cloudllm_core._journal import encode
from cloudllm_core._messages import part_from_json, texts_of
from tests.kernel.histories import JSON, PARTS, TEXTS, messages

USAGES = st.builds(Usage, *[st.integers(0, 10**9)] * 5)


@given(PARTS)
def test_a_part_survives_its_json(part: Any) -> None:
    """Any part, through text, is the same part."""
    assert part == part_from_json(json.loads(encode(part)))


@given(messages())
def test_a_message_survives_its_json(message: Message) -> None:
    """Any message, legal or not, through text, is the same message."""
    assert message == Message.from_json(json.loads(encode(message)))


@given(messages(), st.none() | USAGES, TEXTS, TEXTS)
def test_a_completion_survives_its_json(message: Message, usage: Usage | None, model: str, id: str) -> None:
    """Unknown usage stays unknown."""
    completion = Completion(message, "end", usage, model, id)

    assert completion == Completion.from_json(json.loads(encode(completion)))


@given(JSON)
def test_a_value_has_one_form(value: Any) -> None:
    """Encoding what was decoded gives the same text again."""
    text = encode(value)

    assert text == encode(json.loads(text))
    assert value == json.loads(text)


@given(st.lists(USAGES, max_size=5))
def test_usages_add_up_field_by_field(usages: list[Usage]) -> None:
    """A sum is a sum of every field, and its total the sum of totals."""
    total = sum(usages, Usage())

    assert sum(one.total for one in usages) == total.total
    assert sum(one.cache_read for one in usages) == total.cache_read
    assert sum(one.reasoning for one in usages) == total.reasoning


def test_a_total_counts_every_token_once() -> None:
    """Reasoning is a share of the output; the three sorts of input are disjoint."""
    assert 1 + 2 + 4 + 8 == Usage(input=1, output=2, cache_read=4, cache_write=8, reasoning=2).total


def test_the_parts_of_a_message_are_found_by_their_sort() -> None:
    """Texts are joined by line breaks; calls and results come in order."""
    calls = ToolCall("a", "x"), ToolCall("b", "y", {"z": 1})
    message = Message("assistant", (Text("one"), Thinking("hm"), calls[0], Text("two"), calls[1]))

    assert "one\ntwo" == message.text
    assert calls == message.tool_calls
    assert () == message.tool_results
    results = ToolResult("a", "1"), ToolResult("b", "2", is_error=True)
    assert results == Message.tool(results).tool_results
    assert ["one\ntwo", "hi"] == texts_of([message, Message.tool(results), Message.user("hi")])


def test_parts_may_be_any_iterable_and_are_kept_as_a_tuple() -> None:
    """A message is a value: nobody can add to its parts later."""
    parts = [Text("a")]
    message = Message("user", parts)  # type: ignore[arg-type] # that is the point
    parts.append(Text("b"))

    assert (Text("a"),) == message.parts
    assert hash(message) == hash(Message.user("a"))


def test_values_cannot_be_changed() -> None:
    """Messages and parts are frozen."""
    with pytest.raises(AttributeError):
        Message.user("a").role = "assistant"  # type: ignore[misc] # that is the point
    with pytest.raises(AttributeError):
        Text("a").text = "b"  # type: ignore[misc] # that is the point


def test_a_reply_as_plain_data() -> None:
    """What ``--json`` prints of a reply."""
    expected = {
        "agent": "ada",
        "text": "hi",
        "usage": {"input": 1, "output": 0, "cache_read": 0, "cache_write": 0, "reasoning": 0},
        "tool_calls": 2,
    }
    assert expected == Reply("ada", "hi", Usage(input=1), 2).to_json()


def test_a_broken_call_keeps_what_the_model_wrote() -> None:
    """Problem and raw text are part of its JSON; a sound call carries neither."""
    broken = ToolCall("a", "x", {}, problem="cut", raw='{"q')

    assert ("cut", '{"q') == (broken.to_json()["problem"], broken.to_json()["raw"])
    assert "problem" not in ToolCall("a", "x").to_json()


def test_an_image_is_data_or_an_address() -> None:
    """Both forms survive."""
    for image in (Image("image/png", data="aGk="), Image("image/png", url="https://example.org/a.png")):
        assert image == part_from_json(image.to_json())
    assert Private("acme", "m1", [1]) == part_from_json(Private("acme", "m1", [1]).to_json())
