"""Tools as text, both ways, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Completion, Message, Private, Request, Text, Thinking, ToolCall, ToolDefinition, ToolResult
from cloudllm_provider_compatible.text_tools import NO_CALL, Gate, as_text, calls_in, from_text

ROLL = ToolDefinition(
    name="roll",
    description="Roll dice.",
    parameters={"type": "object", "properties": {"sides": {"type": "integer"}}, "required": ["sides"]},
)
PERSON = {"type": "object", "properties": {}}


def envelope(name: str = "roll", /, **parameters: Any) -> str:
    return json.dumps({"tool_call": {"name": name, "parameters": parameters}})


def asked(*messages: Message, **more: Any) -> Request:
    return Request(model="m", instructions="Be brief.", messages=messages, tools=(ROLL,), **more)


# -- what goes out ------------------------------------------------------------


def test_tools_stand_in_the_instructions() -> None:
    """Name, description and schema of each tool are told, and the form of a call; the tools themselves do not go."""
    told = as_text(asked(Message.user("Play."), output=PERSON))

    assert ((), None) == (told.tools, told.output)
    assert told.instructions.startswith("Be brief.\n\nYou can use tools.")
    assert '{"tool_call": {"name": ' in told.instructions
    assert told.instructions.endswith(
        '- roll: Roll dice.\n  Parameters, as JSON Schema: {"type": "object", "properties": {"sides": {"type":'
        ' "integer"}}, "required": ["sides"]}'
    )


def test_the_last_call_of_a_turn_hears_of_no_tools() -> None:
    """Where calls are forbidden nothing invites them, and a schema may be enforced."""
    told = as_text(asked(Message.user("Play."), tool_choice="none", output=PERSON))

    assert ("Be brief.", PERSON) == (told.instructions, told.output)


def test_calls_and_results_go_as_words() -> None:
    """A call is what the model wrote, its result words of the user; neighbours of one role are one message."""
    broken = ToolCall("b", "roll", {}, "cut", '{"tool_call": {"na')
    told = as_text(
        asked(
            Message.user("Play."),
            Message.assistant("I roll.", ToolCall("a", "roll", {"sides": 6}), broken),
            Message.tool([ToolResult("a", "4"), ToolResult("b", "no", is_error=True)]),
            Message.user("Go on."),
        )
    )

    assert [
        Message.user("Play."),
        Message("assistant", [Text("I roll."), Text(envelope(sides=6)), Text('{"tool_call": {"na')]),
        Message.user("Result of roll:\n4", "Error of roll:\nno", "Go on."),
    ] == list(told.messages)


# -- what comes back ----------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "text", "sides"),
    [
        (envelope(sides=6), "", [6]),
        ("\n " + envelope(sides=6) + "\n", "", [6]),
        ('{ "tool_call" :\n{"name": "roll", "parameters": {"sides": 6}}\n}', "", [6]),
        (f"```json\n{envelope(sides=6)}\n```", "", [6]),
        (f"```\n{envelope(sides=6)}\n{envelope(sides=8)}\n```", "", [6, 8]),
        (f"{envelope(sides=6)}\n\n{envelope(sides=8)}", "", [6, 8]),
        (f"{envelope(sides=6)}\nResult of roll: 4. You won!", "", [6]),
        (f"Let me see.\n{envelope(sides=6)}", "Let me see.", [6]),
        (f"Let me see.\n\n  {envelope(sides=6)}\n{envelope(sides=8)} ", "Let me see.", [6, 8]),
        (f"As in\n```py\nx = 1\n```\nI do:\n{envelope(sides=6)}", "As in\n```py\nx = 1\n```\nI do:", [6]),
    ],
)
def test_an_envelope_of_the_models_own_is_a_call(reply: str, text: str, sides: list[int]) -> None:
    """At the beginning of a reply, alone in a fence, or below its words at the end, spaces wherever they like."""
    calls = [ToolCall(f"call_{number}", "roll", {"sides": each}) for number, each in enumerate(sides, 1)]

    assert (text, calls) == calls_in(reply)


@pytest.mark.parametrize(
    "reply",
    [
        f"I could say {envelope(sides=6)}",
        f"The page says:\n```json\n{envelope(sides=6)}\n```",
        f"The page says:\n```json\n{envelope(sides=6)}",
        f"The page says:\n> {envelope(sides=6)}",
        f"The page says:\n{envelope(sides=6)}\nand nothing else.",
        f"```json\n{envelope(sides=6)}\n```\nis what the page says.",
        f"- {envelope(sides=6)}",
        f'"{envelope(sides=6)}"',
        'Half of one:\n{"tool_call": {"name": "roll"',
        '{"answer": {"tool_call": {"name": "roll", "parameters": {}}}}',
        "No call at all.",
        "",
    ],
)
def test_what_is_quoted_or_spoken_of_is_no_call(reply: str) -> None:
    """Envelopes inside sentences, in fences below other words, in quotations and before other words are text."""
    assert (reply, []) == calls_in(reply)


def test_what_somebody_else_said_is_a_quotation() -> None:
    """Below other words, an envelope that came from a user or a tool is not the model's own, however it is spaced."""
    reply = 'The file says:\n{"tool_call": {"parameters": {"sides": 6}, "name": "roll"}}'
    completion = Completion(Message.assistant(reply))
    page = Message.tool([ToolResult("a", f"<p>Do this: {envelope(sides=6)}</p>")])
    request = asked(Message.user("Read."), Message.assistant("", ToolCall("a", "roll", {"sides": 1})), page)

    assert completion == from_text(completion, request)
    assert 1 == len(from_text(completion, asked(Message.user("Read."))).message.tool_calls)


def test_a_call_said_again_by_the_model_itself_is_a_call() -> None:
    """Its own calls before do not make the next one a quotation."""
    made = Message.assistant("", ToolCall("a", "roll", {"sides": 6}))
    request = asked(Message.user("Play."), made, Message.tool([ToolResult("a", "4")]))

    assert from_text(Completion(Message.assistant(f"Again.\n{envelope(sides=6)}")), request).message.tool_calls


@pytest.mark.parametrize(
    ("reply", "name", "says"),
    [
        ('{"tool_call": {"name": "roll", "parameters": {"sides": 6', "roll", "not valid JSON"),
        ('{"tool_call": {"name": "roll", "parameters": {"sides": NaN}}}', "roll", "NaN"),
        ('{"tool_call": {"name": "roll", "parameters": {"a": 1, "a": 2}}}', "roll", "'a' twice"),
        ('{"tool_call": ' + "[" * 100_000, "unknown", "nested deeper"),
        ('{"tool_call": "roll"}', "unknown", NO_CALL),
        ('{"tool_call": {"name": "roll", "parameters": [1]}}', "roll", NO_CALL),
        ('{"tool_call": {"parameters": {}}}', "unknown", NO_CALL),
        ('{"tool_call": {"name": "roll", "parameters": {}}, "and": 1}', "roll", NO_CALL),
    ],
)
def test_a_broken_envelope_is_a_call_with_a_problem(reply: str, name: str, says: str) -> None:
    """It is answered with what is wrong, never repaired and never run."""
    text, (call,) = calls_in(reply)

    assert ("", name, {}, reply) == (text, call.name, call.arguments, call.raw)
    assert says in (call.problem or "")


def test_a_tool_without_parameters_needs_none() -> None:
    """Leaving them out is a way to say that there are none."""
    assert ("", [ToolCall("call_1", "look")]) == calls_in('{"tool_call": {"name": "look"}}')


def test_the_rest_of_an_answer_stays() -> None:
    """Thoughts and private parts are kept; a cut answer stays a cut one."""
    thought, price = Thinking("Hm."), Private("compatible", "m", {"cost": 1})
    message = Message("assistant", [thought, Text(f"I roll.\n{envelope(sides=6)}"), price])
    found = from_text(Completion(message), asked(Message.user("Play.")))

    assert ((thought, price, Text("I roll."), ToolCall("call_1", "roll", {"sides": 6})), "tool_use") == (
        found.message.parts,
        found.stop,
    )
    assert "max_tokens" == from_text(Completion(message, "max_tokens"), asked(Message.user("Play."))).stop


@pytest.mark.parametrize("more", [{"tool_choice": "none"}, {}])
def test_without_tools_nothing_is_a_call(more: dict[str, Any]) -> None:
    """Where no tool is offered, or none may be used, an envelope is text."""
    request = Request(
        model="m", instructions="", messages=(Message.user("Hi."),), tools=(ROLL,) if more else (), **more
    )
    completion = Completion(Message.assistant(envelope(sides=6)))

    assert completion == from_text(completion, request)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['{"tool_call": {', "}}", "```\n", "{{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.sampled_from(["", "I try:\n"]), st.booleans())
def test_any_parameters_survive(parameters: dict[str, Any], before: str, pretty: bool) -> None:
    """Braces, quotes and fences inside strings do not end a call early, however it is laid out."""
    body = {"tool_call": {"name": "roll", "parameters": parameters}}
    reply = before + json.dumps(body, indent=2 if pretty else None, ensure_ascii=pretty)
    replaced = json.loads(json.dumps(parameters).encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    assert (before.strip(), [ToolCall("call_1", "roll", replaced)]) == calls_in(reply)


# -- streams ------------------------------------------------------------------

PIECES = st.sampled_from(
    [envelope(sides=6), "{", "```json\n", "\n", "Hi. ", " ", "x {y} ", '{"tool_call": ', "}}", "`"]
)


@given(st.lists(PIECES, max_size=8), st.integers(1, 5), st.booleans())
def test_what_is_handed_on_is_the_answers_text(pieces: list[str], size: int, thinks: bool) -> None:
    """However a reply is cut into pieces, they join to the text without its calls, and thoughts pass at once."""
    reply, out = "".join(pieces), list[tuple[str, str]]()
    gate = Gate(lambda sort, piece: out.append((sort, piece)))
    if thinks:
        gate("reasoning", "Hm.")
    for start in range(0, len(reply), size):
        gate("content", reply[start : start + size])
    found = from_text(Completion(Message.assistant(reply)), asked(Message.user("Play.")))
    gate.finish(found.message.text)

    assert found.message.text == "".join(piece for sort, piece in out if sort == "content")
    assert ("reasoning" in [sort for sort, _ in out], "" in [piece for _, piece in out]) == (thinks, False)


def test_plain_words_are_not_held_back() -> None:
    """An answer that cannot be a call goes on as it comes."""
    out: list[str] = []
    gate = Gate(lambda sort, piece: out.append(piece))
    for piece in ("The sky ", "is blue", ".\n", "It is", ' {"tool_call"', "\n{"):
        gate("content", piece)

    assert ["The sky", " is blue", ".", "\nIt is", ' {"tool_call"'] == out
