"""Sessions: what they hold, what it is taken to cost, and where they may be cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Image, Message, Private, Text, Thinking, ToolCall, ToolResult, validate_history
from cloudllm_core._journal import digest_text, encode
from cloudllm_core._session import IMAGE_TOKENS, Session, Turn, estimate_tokens, message_tokens
from cloudllm_core.errors import HistoryError


def recomputed(messages: Any) -> str:
    """The digest of a history, from nothing."""
    rolling = ""
    for message in messages:
        rolling = digest_text(rolling + digest_text(encode(message.to_json())))
    return rolling


@st.composite
def talks(draw: st.DrawFn) -> list[tuple[str | None, int]]:
    """Turns: a task or None (nothing new was asked), and how many rounds of tools it had."""
    turns = draw(st.lists(st.tuples(st.sampled_from(["make it", "mend it", None]), st.integers(0, 2)), max_size=6))
    return [("begin", 0), *turns]


def take(session: Session, number: int, task: str | None, rounds: int, note: str | None = None) -> Turn:
    """One turn, not yet committed."""
    turn = session.turn()
    turn.open([f"news {number}", *([task] if task else [])], note, task)
    for index in range(rounds):
        turn.add(Message.assistant("", ToolCall(f"c{number}.{index}", "look")))
        turn.add(Message.tool([ToolResult(f"c{number}.{index}", "seen")]))
    turn.add(Message.assistant(f"answer {number}"))
    return turn


def filled(turns: list[tuple[str | None, int]]) -> Session:
    session = Session()
    for number, (task, rounds) in enumerate(turns):
        take(session, number, task, rounds).commit()
    return session


# -- estimates ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("a", 1), ("test", 1), ("x" * 7, 1), ("x" * 12, 3), ("ä" * 6, 3), ("\ud800" * 8, 2)]
)
def test_text_is_taken_to_be_a_quarter_of_its_bytes(text: str, tokens: int) -> None:
    """The original's rule, with one token at least; halves of characters do not break it."""
    assert tokens == estimate_tokens(text)


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (Message.user("x" * 12), 4),
        (Message.user(""), 2),
        (Message.user("x" * 12, "x" * 12), 7),
        (Message("assistant", (Thinking("x" * 8), Text("x" * 4))), 4),
        (Message.tool([ToolResult("id", "x" * 40)]), 11),
        (Message.assistant("", ToolCall("id", "look", {"where": "x" * 20})), 1 + (4 + len('{"where":""}') + 20) // 4),
        (Message("user", (Image("image/png", url="https://x"),)), 1 + IMAGE_TOKENS),
        (Message("assistant", (Private("p", "m", {"blob": "x" * 90}),)), 1 + (len('{"blob":""}') + 90) // 4),
    ],
)
def test_a_message_is_its_parts_and_one_for_its_role(message: Message, tokens: int) -> None:
    """Every sort of part counts."""
    assert tokens == message_tokens(message)


# -- turns --------------------------------------------------------------------


@given(talks())
def test_digest_and_estimate_roll_and_equal_those_made_from_nothing(turns: list[tuple[str | None, int]]) -> None:
    """What is extended message by message is what a recomputation gives."""
    session = filled(turns)

    assert recomputed(session.messages) == session.said.digest
    assert sum(map(message_tokens, session.messages)) == session.said.tokens
    validate_history(session.messages)


@given(talks(), st.booleans())
def test_a_draft_changes_nothing_until_it_is_committed(turns: list[tuple[str | None, int]], noted: bool) -> None:
    """A turn that is dropped leaves messages, digest and estimate alone."""
    session = filled(turns)
    before = session.messages, session.said.digest, session.said.tokens

    turn = take(session, 99, "another task", 2, "a note" if noted else None)
    turn.cut(turn.view(0).cuts[-1].index)

    assert before == (session.messages, session.said.digest, session.said.tokens)
    assert recomputed(turn.messages) == turn.digest
    assert sum(map(message_tokens, turn.messages)) == turn.tokens


@given(talks(), st.integers(0, 2), st.sampled_from([None, "a last task"]), st.sampled_from([None, "note"]), st.data())
def test_only_legal_cuts_are_offered_and_the_task_survives_each(
    turns: list[tuple[str | None, int]], rounds: int, last: str | None, note: str | None, data: st.DataObject
) -> None:
    """After any cut the history is legal, the turn under way whole, the estimate as promised, the task still said."""
    session = filled(turns)
    turn = take(session, 99, last, rounds, note)
    task = last or next(task for task, _ in reversed(turns) if task)
    own = turn.messages[len(session.messages) :]

    view = turn.view(7)

    assert turn.messages == view.messages
    assert turn.tokens + 7 == view.tokens
    assert len(turns) == len(view.cuts)
    assert [cut.index for cut in view.cuts] == sorted({cut.index for cut in view.cuts})
    assert list(range(len(turns), 0, -1)) == [cut.turns_kept for cut in view.cuts]
    cut = data.draw(st.sampled_from(view.cuts))
    turn.cut(cut.index)

    validate_history(turn.messages)
    assert abs(turn.tokens + 7 - cut.tokens_after) <= 1
    assert own[1:] == turn.messages[-len(own) + 1 :] if len(own) > 1 else True
    said = [part.text for message in turn.messages for part in message.parts if isinstance(part, Text)]
    assert task in said
    assert recomputed(turn.messages) == turn.digest
    turn.commit()
    validate_history(session.messages)
    kept = [part.text for message in session.messages for part in message.parts if isinstance(part, Text)]
    assert task in kept
    assert (note is None) or ("note" not in kept)
    assert recomputed(session.messages) == session.said.digest


@given(talks(), st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_the_task_survives_cut_after_cut(turns: list[tuple[str | None, int]], choices: list[int]) -> None:
    """However often a session is cut, what the agent was asked to do last is in the request."""
    session = filled(turns)
    task = next(task for task, _ in reversed(turns) if task)
    for number, choice in enumerate(choices):
        turn = take(session, 100 + number, None, 0)
        cuts = turn.view(0).cuts
        if cuts:
            turn.cut(cuts[choice % len(cuts)].index)
        assert task in [part.text for message in turn.messages for part in message.parts if isinstance(part, Text)]
        turn.commit()


def test_the_first_turn_of_a_session_offers_no_cut() -> None:
    """There is nothing to let go."""
    assert () == take(Session(), 0, "begin", 2).view(0).cuts


def test_a_turn_after_something_was_received_joins_it() -> None:
    """Two user messages do not follow one another: the prompt is merged with what stands there."""
    session = Session()
    session.receive("a letter")
    session.receive("another")
    turn = session.turn()
    turn.open(["the prompt"], "a note", "the prompt")

    assert [("user", "a letter\nanother\nthe prompt\na note")] == [(m.role, m.text) for m in turn.messages]
    turn.add(Message.assistant("Ok."))
    turn.commit()
    assert ["a letter\nanother\nthe prompt", "Ok."] == [message.text for message in session.messages]
    assert recomputed(session.messages) == session.said.digest


def test_a_draft_refuses_what_no_provider_would_accept() -> None:
    """Two answers in a row are refused with the index they would have had."""
    turn = take(filled([("begin", 0)]), 1, "go", 0)

    with pytest.raises(HistoryError) as caught:
        turn.add(Message.assistant("again"))
    expected = (
        "Message 4 breaks the history: two assistant messages follow one another. Use repair_history() to mend it."
    )
    assert expected == str(caught.value)


def test_an_empty_opening_is_refused() -> None:
    """A turn begins with something."""
    with pytest.raises(HistoryError, match="it is empty"):
        Session().turn().open([], None, None)


def test_a_closed_turn_answers_what_is_open_in_call_order() -> None:
    """Known results stay, the others say why; an answer follows, so that the session is legal."""
    session = Session()
    turn = session.turn()
    turn.open(["go"], None, "go")
    turn.add(Message.assistant("", ToolCall("a", "x"), ToolCall("b", "x"), ToolCall("c", "x")))

    turn.close([ToolResult("b", "done")], "cancelled")

    validate_history(session.messages)
    results = session.messages[2].tool_results
    assert [("a", True), ("b", False), ("c", True)] == [(one.call_id, one.is_error) for one in results]
    assert ["not completed: cancelled", "done", "not completed: cancelled"] == [one.content for one in results]
    assert "This turn broke off: cancelled. What it had completed stands; do not repeat it." == session.messages[3].text


def test_a_copy_goes_its_own_way() -> None:
    """A copied session shares the past and nothing of the future."""
    session = filled([("begin", 1)])
    twin = session.copy()
    take(twin, 5, "more", 0).commit()

    assert 4 == len(session.messages)
    assert 6 == len(twin.messages)
    assert session.messages == twin.messages[:4]
    assert session.max_tokens == twin.max_tokens
    assert twin.holder is None


def test_loading_repairs_and_says_so() -> None:
    """A history from elsewhere is made legal, one sentence for each repair."""
    session = Session()

    assert ["answered call 'a', which had no result"] == session.load(
        [Message.user("go"), Message.assistant("", ToolCall("a", "x"))]
    )
    validate_history(session.messages)
    assert [] == session.load(session.messages)
