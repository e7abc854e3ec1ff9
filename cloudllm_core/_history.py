"""
When is a history legal, and how is an illegal one mended?

Every request of every agent passes `validate_history`, so nothing a provider would refuse leaves
the kernel. The rules are the strictest of all providers taken together:

1. the first message is a user's, and every message has parts;
2. an assistant message with calls is followed at once by one tool message that answers exactly
   those calls, in call order; call ids are unique within a message;
3. a tool message stands nowhere else; user and assistant messages do not follow their like;
4. parts stand where they belong (calls and thoughts with the assistant, results with tools);
5. no text is blank.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ._messages import Image, Message, Part, Private, Text, Thinking, ToolCall, ToolResult
from .errors import HistoryError

ALLOWED: dict[str, tuple[type[Part], ...]] = {
    "user": (Text, Image),
    "assistant": (Text, Thinking, Private, Image, ToolCall),
    "tool": (ToolResult,),
}

LOST = "The result of this call was lost; whether it happened is not known."


def validate_history(messages: Sequence[Message]) -> None:
    """
    Check that *messages* may be sent to any provider.

    Raises:
        HistoryError: names the first message that breaks a rule, and the rule.
    """
    previous: Message | None = None
    for index, message in enumerate(messages):
        if problem := problem_after(previous, message):
            raise HistoryError(index, problem)
        previous = message
    if previous is not None and previous.tool_calls:
        raise HistoryError(len(messages) - 1, f"its calls {_ids(previous)} have no results")


def problem_after(previous: Message | None, message: Message) -> str | None:
    """Which rule *message* breaks when it follows *previous* (None: it is the first), or None."""
    role, parts = message.role, message.parts
    if not parts:
        return "it is empty"
    for part in parts:
        if not isinstance(part, ALLOWED[role]):
            return f"a {type(part).__name__} part does not belong to the role {role!r}"
        if isinstance(part, Text) and not part.text.strip():
            return "a text in it is blank"
    open_calls = previous.tool_calls if previous is not None else ()
    if open_calls and role != "tool":
        return f"it comes before the results of {_ids(previous)}"
    if role == "tool":
        wanted = [call.id for call in open_calls]
        got = [result.call_id for result in message.tool_results]
        if not wanted:
            return f"it answers {got}, and nobody asked"
        return None if wanted == got else f"it answers {got}, and {wanted} were asked in this order"
    if role == "assistant":
        if previous is None:
            return "a history begins with a user message"
        if previous.role == "assistant":
            return "two assistant messages follow one another"
        ids = [call.id for call in message.tool_calls]
        if len(ids) != len(set(ids)):
            return f"call ids repeat: {ids}"
    elif previous is not None and previous.role == "user":
        return "two user messages follow one another"
    return None


def _ids(message: Message | None) -> str:
    return ", ".join(call.id for call in message.tool_calls) if message else ""


def repair_history(messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """
    The nearest legal history to *messages*, and what was done, one sentence each.

    A call without a result gets an error result that says so; a result without a call is dropped;
    results are put into call order; neighbours of one role are merged; parts in the wrong place and
    empty messages are dropped. A legal history comes back as it is, with no sentences.
    """
    out: list[Message] = []
    done: list[str] = []

    for index, message in enumerate(messages):
        if message.role == "tool":
            _answer(index, message, out, done)
            continue
        _close(out, done)
        kept = _fitting(index, message, done)
        if not kept.parts:
            done.append(f"dropped the empty message {index}")
        elif out and out[-1].role == kept.role:
            done.append(f"merged message {index} with the one before")
            out[-1] = _distinct(attrs.evolve(out[-1], parts=(*out[-1].parts, *kept.parts)), index, done)
        elif not out and kept.role == "assistant":
            done.append(f"put a user message before message {index}: a history begins with one")
            out += [Message.user("(earlier messages were lost)"), _distinct(kept, index, done)]
        else:
            out.append(_distinct(kept, index, done))
    _close(out, done)
    return (list(messages), []) if not done else (out, done)


def _fitting(index: int, message: Message, done: list[str]) -> Message:
    fitting = tuple(part for part in message.parts if isinstance(part, ALLOWED[message.role]))
    if len(fitting) != len(message.parts):
        done.append(f"dropped parts of message {index} that do not belong to the role {message.role!r}")
    parts = tuple(part for part in fitting if not isinstance(part, Text) or part.text.strip())
    if len(parts) != len(fitting):
        done.append(f"dropped blank text of message {index}")
    return message if parts == message.parts else attrs.evolve(message, parts=parts)


def _distinct(message: Message, index: int, done: list[str]) -> Message:
    """*message* without calls whose id occurred before in it."""
    seen: set[str] = set()
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            if part.id in seen:
                done.append(f"dropped a call of message {index} whose id {part.id!r} was taken")
                continue
            seen.add(part.id)
        parts.append(part)
    return message if len(parts) == len(message.parts) else attrs.evolve(message, parts=tuple(parts))


def _answer(index: int, message: Message, out: list[Message], done: list[str]) -> None:
    """Put the results of *message* where they belong, or drop them."""
    asked = [call.id for call in out[-1].tool_calls] if out else []
    given: dict[str, ToolResult] = {}
    for part in message.parts:
        if isinstance(part, ToolResult) and part.call_id in asked and part.call_id not in given:
            given[part.call_id] = part
        else:
            done.append(f"dropped a part of message {index} that answers no open call")
    if not asked:
        if not message.parts:
            done.append(f"dropped the empty message {index}")
        return
    for missing in [id for id in asked if id not in given]:
        done.append(f"answered call {missing!r}, which had no result")
        given[missing] = ToolResult(missing, LOST, is_error=True)
    ordered = tuple(given[id] for id in asked)
    if ordered != message.parts and sorted(asked) == sorted(part.call_id for part in message.tool_results):
        done.append(f"put the results of message {index} into call order")
    out.append(message if ordered == message.parts else Message.tool(ordered))


def _close(out: list[Message], done: list[str]) -> None:
    """Answer the calls of the last message, if any are open."""
    if out and (calls := out[-1].tool_calls):
        done.extend(f"answered call {call.id!r}, which had no result" for call in calls)
        out.append(Message.tool(ToolResult(call.id, LOST, is_error=True) for call in calls))
