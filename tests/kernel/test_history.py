"""When a history is legal, and how an illegal one is mended."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Image, Message, Text, Thinking, ToolCall, ToolResult, repair_history, validate_history
from cloudllm_core.errors import HistoryError
from tests.kernel.histories import legal, messages

ASK = Message.user("go")
LOST = "The result of this call was lost; whether it happened is not known."


def calling(*ids: str) -> Message:
    return Message.assistant("", *[ToolCall(id, "look") for id in ids])


def answering(*ids: str) -> Message:
    return Message.tool([ToolResult(id, f"result {id}") for id in ids])


def says(text: str = "ok") -> Message:
    return Message.assistant(text)


EVERY_RULE = [
    ([says()], 0, "a history begins with a user message"),
    ([answering("a")], 0, "it answers ['a'], and nobody asked"),
    ([Message("user", ())], 0, "it is empty"),
    ([ASK, Message("assistant", ())], 1, "it is empty"),
    ([Message.user("go", " ")], 0, "a text in it is blank"),
    ([ASK, Message("assistant", (Text(""),))], 1, "a text in it is blank"),
    ([ASK, Message.user("more")], 1, "two user messages follow one another"),
    ([ASK, says(), says()], 2, "two assistant messages follow one another"),
    ([ASK, calling("a", "a")], 1, "call ids repeat: ['a', 'a']"),
    ([ASK, calling("a", "b")], 1, "its calls a, b have no results"),
    ([ASK, calling("a"), Message.user("well?")], 2, "it comes before the results of a"),
    ([ASK, calling("a"), says()], 2, "it comes before the results of a"),
    ([ASK, calling("a", "b"), answering("a")], 2, "it answers ['a'], and ['a', 'b'] were asked in this order"),
    (
        [ASK, calling("a", "b"), answering("b", "a")],
        2,
        "it answers ['b', 'a'], and ['a', 'b'] were asked in this order",
    ),
    ([ASK, calling("a"), answering("a", "a")], 2, "it answers ['a', 'a'], and ['a'] were asked in this order"),
    ([ASK, calling("a"), answering("a"), answering("a")], 3, "it answers ['a'], and nobody asked"),
    ([ASK, says(), answering("a")], 2, "it answers ['a'], and nobody asked"),
    ([Message("user", (ToolCall("a", "x"),))], 0, "a ToolCall part does not belong to the role 'user'"),
    ([Message("user", (Thinking("hm"),))], 0, "a Thinking part does not belong to the role 'user'"),
    ([Message("user", (ToolResult("a", "x"),))], 0, "a ToolResult part does not belong to the role 'user'"),
    (
        [ASK, Message("assistant", (ToolResult("a", "x"),))],
        1,
        "a ToolResult part does not belong to the role 'assistant'",
    ),
    ([ASK, calling("a"), Message("tool", (Text("x"),))], 2, "a Text part does not belong to the role 'tool'"),
    ([ASK, calling("a"), Message("tool", (Image("image/png"),))], 2, "a Image part does not belong to the role 'tool'"),
]


@pytest.mark.parametrize(("history", "index", "problem"), EVERY_RULE, ids=[rule[2] for rule in EVERY_RULE])
def test_each_rule_names_the_message_and_what_is_wrong(history: list[Message], index: int, problem: str) -> None:
    """The first message that breaks a rule is named, with the rule and the remedy."""
    with pytest.raises(HistoryError) as caught:
        validate_history(history)

    expected = f"Message {index} breaks the history: {problem}. Use repair_history() to mend it."
    assert (index, problem, expected) == (caught.value.index, caught.value.problem, str(caught.value))
    repaired, sentences = repair_history(history)
    validate_history(repaired)
    assert sentences


@given(legal())
def test_a_legal_history_is_accepted_and_comes_back_as_it_is(history: list[Message]) -> None:
    """Nothing is said and nothing changed: the very same messages."""
    validate_history(history)

    repaired, sentences = repair_history(history)

    assert [] == sentences
    assert history == repaired
    assert all(one is other for one, other in zip(history, repaired, strict=True))


@given(st.lists(messages(), max_size=7))
def test_whatever_comes_is_legal_when_it_is_repaired(history: list[Message]) -> None:
    """A repaired history always passes, and repairing is silent only about legal ones."""
    repaired, sentences = repair_history(history)

    validate_history(repaired)
    try:
        validate_history(history)
    except HistoryError:
        assert sentences
    else:
        assert (history, []) == (repaired, sentences)


@given(st.lists(messages(), max_size=7))
def test_repairing_twice_is_repairing_once(history: list[Message]) -> None:
    """There is nothing left to mend."""
    repaired, _ = repair_history(history)

    assert (repaired, []) == repair_history(repaired)


@given(st.lists(messages(), max_size=7))
def test_repairing_loses_no_words(history: list[Message]) -> None:
    """Texts of users and assistants all stay, in order, unless they are blank."""

    def words(messages: list[Message]) -> list[str]:
        kept = [message for message in messages if message.role != "tool"]
        texts = [
            part.text for message in kept for part in message.parts if isinstance(part, Text) and part.text.strip()
        ]
        return [text for text in texts if text.strip()]

    said = words(repair_history(history)[0])
    inserted = "(earlier messages were lost)"
    assert words(history) == [text for text in said if text != inserted or text in words(history)]


REPAIRS: list[tuple[list[Message], list[Message], list[str]]] = [
    (
        [ASK, calling("a", "b")],
        [ASK, calling("a", "b"), Message.tool([ToolResult("a", LOST, True), ToolResult("b", LOST, True)])],
        ["answered call 'a', which had no result", "answered call 'b', which had no result"],
    ),
    (
        [ASK, calling("a", "b"), answering("b"), says()],
        [
            ASK,
            calling("a", "b"),
            Message.tool([ToolResult("a", LOST, True), ToolResult("b", "result b")]),
            says(),
        ],
        ["answered call 'a', which had no result"],
    ),
    (
        [ASK, calling("a", "b"), answering("b", "a")],
        [ASK, calling("a", "b"), answering("a", "b")],
        ["put the results of message 2 into call order"],
    ),
    ([ASK, says(), answering("a")], [ASK, says()], ["dropped a part of message 2 that answers no open call"]),
    ([ASK, Message.user("more")], [Message.user("go", "more")], ["merged message 1 with the one before"]),
    (
        [ASK, says("one"), says("two")],
        [ASK, Message("assistant", (Text("one"), Text("two")))],
        ["merged message 2 with the one before"],
    ),
    (
        [says()],
        [Message.user("(earlier messages were lost)"), says()],
        ["put a user message before message 0: a history begins with one"],
    ),
    ([Message("user", ()), ASK], [ASK], ["dropped the empty message 0"]),
    ([Message.tool([]), ASK], [ASK], ["dropped the empty message 0"]),
    ([Message.user("go", " ")], [ASK], ["dropped blank text of message 0"]),
    (
        [ASK, Message("assistant", (Text("\n"),))],
        [ASK],
        ["dropped blank text of message 1", "dropped the empty message 1"],
    ),
    (
        [Message("user", (Text("go"), ToolCall("a", "x")))],
        [ASK],
        ["dropped parts of message 0 that do not belong to the role 'user'"],
    ),
    (
        [ASK, calling("a", "a"), answering("a")],
        [ASK, calling("a"), answering("a")],
        ["dropped a call of message 1 whose id 'a' was taken"],
    ),
    (
        [ASK, calling("a"), Message.user("well?")],
        [ASK, calling("a"), Message.tool([ToolResult("a", LOST, True)]), Message.user("well?")],
        ["answered call 'a', which had no result"],
    ),
]


@pytest.mark.parametrize(("history", "repaired", "sentences"), REPAIRS, ids=[repair[2][0] for repair in REPAIRS])
def test_each_repair_is_the_nearest_and_says_what_it_did(
    history: list[Message], repaired: list[Message], sentences: list[str]
) -> None:
    """One sentence for each thing that was done."""
    assert (repaired, sentences) == repair_history(history)


def test_the_given_list_is_not_changed() -> None:
    """Repairing makes a new list, also of a legal history."""
    history: list[Any] = [ASK, says()]
    repaired, _ = repair_history(history)
    repaired.clear()

    assert [ASK, says()] == history
