"""Answers of the wire, whole and streamed, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_core import Completion, Message, Private, Text, Thinking, ToolCall, Usage
from cloudllm_core.errors import BadResponse, Overloaded, ProviderError, StreamTruncated
from cloudllm_provider_anthropic.wire import (
    Assembly,
    Malformed,
    Origin,
    completion,
    failure,
    parse_arguments,
    read_json,
)

BY = Origin(provider="anthropic", model="m")


def answer(*content: Any, stop: str | None = "end_turn", **fields: Any) -> dict[str, Any]:
    return {"type": "message", "model": "m-1", "content": list(content), "stop_reason": stop, **fields}


def read(*content: Any, stop: str | None = "end_turn", **fields: Any) -> Completion:
    return completion(read_json(json.dumps(answer(*content, stop=stop, **fields))), BY)


def events(*content: dict[str, Any], stop: str = "end_turn", usage: Any = None) -> list[dict[str, Any]]:
    """A stream: each of *content* is a starting block, with its deltas under ``deltas``."""
    found: list[dict[str, Any]] = [{"type": "message_start", "message": {"model": "m-1", "content": []}}]
    for index, block in enumerate(content):
        start = {name: value for name, value in block.items() if name != "deltas"}
        found.append({"type": "content_block_start", "index": index, "content_block": start})
        deltas = block.get("deltas", ())
        found += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        found.append({"type": "content_block_stop", "index": index})
    found.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage})
    return [*found, {"type": "message_stop"}]


def streamed(*content: dict[str, Any], stop: str = "end_turn", usage: Any = None) -> Completion:
    assembly = Assembly(BY)
    for event in events(*content, stop=stop, usage=usage):
        assembly.add(event)
    return assembly.completion()


def call(*pieces: str, **fields: Any) -> dict[str, Any]:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return {"type": "tool_use", "id": "c", "name": "f", "input": {}, "deltas": deltas} | fields


# -- answers ------------------------------------------------------------------


def test_an_answer_keeps_its_order_and_what_is_private() -> None:
    """Thoughts, hidden thoughts, traces, text and calls stand as they were said, and the model is named."""
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "sky"}}
    found = read(
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        search,
        {"type": "text", "text": "Hello."},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}},
        stop="tool_use",
        usage={
            "input_tokens": 5,
            "output_tokens": 9,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 2,
            "output_tokens_details": {"thinking_tokens": 4},
        },
    )

    assert (
        Completion(
            Message(
                "assistant",
                [
                    Thinking("Hm.", "anthropic", "m", {"signature": "sig"}),
                    Thinking("", "anthropic", "m", {"redacted": "xyz"}),
                    Private("anthropic", "m", {"block": search}),
                    Text("Hello."),
                    ToolCall("c", "f", {"x": 1}),
                ],
            ),
            stop="tool_use",
            usage=Usage(5, 9, 3, 2, 4),
            model="m-1",
        )
        == found
    )


def test_a_stream_says_what_the_whole_answer_says() -> None:
    """Pieces of text, thoughts, signatures, arguments, citations and unknown fields come together again."""
    found = streamed(
        {
            "type": "thinking",
            "thinking": "",
            "signature": "",
            "deltas": [
                {"type": "thinking_delta", "thinking": "H"},
                {"type": "thinking_delta", "thinking": "m."},
                {"type": "signature_delta", "signature": "si"},
                {"type": "signature_delta", "signature": "g"},
            ],
        },
        call('{"que', 'ry": "sky"}', type="server_tool_use", id="s", name="web_search"),
        {"type": "compaction", "content": None, "deltas": [{"type": "compaction_delta", "content": "Before."}]},
        {"type": "text", "text": "", "deltas": [{"type": "text_delta", "text": "Sky"}]},
        {
            "type": "text",
            "text": "",
            "deltas": [{"type": "citations_delta", "citation": {"url": "u"}}, {"type": "text_delta", "text": " is."}],
        },
        call('{"x"', ": 1}"),
        stop="tool_use",
    )
    whole = read(
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "sky"}},
        {"type": "compaction", "content": "Before."},
        {"type": "text", "text": "Sky"},
        {"type": "text", "text": " is.", "citations": [{"url": "u"}]},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}},
        stop="tool_use",
    )

    assert whole == found
    assert "Sky is." == found.message.text


def test_pieces_are_handed_on_as_they_come() -> None:
    """Text and thoughts go out with their sort; nothing empty, and no arguments."""
    pieces: list[tuple[str, str]] = []
    assembly = Assembly(BY, lambda sort, piece: pieces.append((sort, piece)))
    thought = {"type": "thinking", "thinking": "A", "deltas": [{"type": "thinking_delta", "thinking": "B"}]}
    text = {"type": "text", "text": "", "deltas": [{"type": "text_delta", "text": "C"}]}
    for event in events(thought, text, call("{}"), stop="tool_use"):
        assembly.add(event)

    assert [("reasoning", "A"), ("reasoning", "B"), ("content", "C")] == pieces


def test_a_thought_without_a_signature_is_not_sent_back() -> None:
    """A thought cut by the token limit has no signature yet, and the API would refuse it."""
    found = streamed({"type": "thinking", "thinking": "Hm", "signature": ""}, stop="max_tokens")

    assert (Thinking("Hm", "anthropic", "m"),) == found.message.parts


def test_an_empty_answer_still_fits_into_a_history() -> None:
    """A message without parts would be refused later on."""
    assert (Text(""),) == read().message.parts


def test_a_refusal_keeps_what_the_server_says_of_it() -> None:
    """The category stands in a private part, and never goes back."""
    details = {"type": "refusal", "category": "bio", "explanation": "No."}
    found = read(stop="refusal", stop_details=details)

    assert ("refusal", (Private("anthropic", "m", {"stop_details": details}),)) == (found.stop, found.message.parts)


@pytest.mark.parametrize(
    ("reason", "calls", "stop"),
    [
        ("end_turn", False, "end"),
        ("end_turn", True, "tool_use"),
        (None, False, "end"),
        ("tool_use", True, "tool_use"),
        ("tool_use", False, "malformed_tool_call"),
        ("max_tokens", False, "max_tokens"),
        ("max_tokens", True, "max_tokens"),
        ("model_context_window_exceeded", False, "max_tokens"),
        ("stop_sequence", False, "stop_sequence"),
        ("pause_turn", False, "pause"),
        ("refusal", False, "refusal"),
        ("something_new", False, "other"),
    ],
)
def test_stop_reasons_have_one_vocabulary(reason: str | None, calls: bool, stop: str) -> None:
    """Calls beat a plain end; a cut, a pause or a refusal beats calls; a new word is "other"."""
    blocks = [{"type": "tool_use", "id": "c", "name": "f", "input": {}}] if calls else [{"type": "text", "text": "x"}]

    assert stop == read(*blocks, stop=reason).stop


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 4}, Usage(10, 4)),
        ({"input_tokens": 10, "output_tokens": 4, "cache_read_input_tokens": None}, Usage(10, 4)),
        ({"input_tokens": 10.0, "output_tokens": 4, "cache_read_input_tokens": "7"}, Usage(10, 4)),
        (
            {"input_tokens": 1, "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 9}},
            Usage(1, 4, 0, 0, 4),
        ),
        ({"input_tokens": 1, "output_tokens": 4, "output_tokens_details": [1]}, Usage(1, 4)),
        ({"input_tokens": -1, "output_tokens": 4}, None),
        ({"input_tokens": "10", "output_tokens": 4}, None),
        ({"input_tokens": True, "output_tokens": 4}, None),
        ({"output_tokens": 4}, None),
        ({}, None),
        ("many", None),
        (None, None),
    ],
)
def test_usage_that_is_not_told_is_unknown(body: Any, usage: Usage | None) -> None:
    """Never zero, never a crash."""
    assert usage == read({"type": "text", "text": "x"}, usage=body).usage


def test_the_latest_usage_of_a_stream_counts() -> None:
    """Counts at the end replace those at the beginning, but for a zero that means nothing new."""
    assembly = Assembly(BY)
    counts = {"input_tokens": 20, "cache_read_input_tokens": 7, "output_tokens": 1}
    assembly.add({"type": "message_start", "message": {"usage": counts}})
    assembly.add({"type": "message_delta", "usage": {"input_tokens": 25, "cache_read_input_tokens": 0}})
    assembly.add({"type": "message_delta", "usage": {"output_tokens": 9, "cache_read_input_tokens": None}})
    assembly.add({"type": "message_stop"})

    assert Usage(25, 9, 7) == assembly.completion().usage


# -- calls --------------------------------------------------------------------

DOUBTFUL = [
    ("null", "not an object"),
    ("[1]", "not an object"),
    ("3", "not an object"),
    ('{"a": NaN}', "NaN"),
    ('{"a": -Infinity}', "-Infinity"),
    ('{"a": [1e999]}', "too large"),
    ('{"a": 1, "a": 2}', "'a' twice"),
    ('{"b": {"a": 1, "a": 2}}', "'a' twice"),
    ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
    ('{"a":' * 65 + "1" + "}" * 65, "nested deeper than 64"),
]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        *DOUBTFUL,
        ('{"path": "x"', "not valid JSON"),
        ("[" * 100_000, "nested deeper"),
        ('{"a": 1} {"b": 2}', "not valid JSON"),
    ],
)
def test_doubtful_arguments_are_a_problem_and_never_a_guess(raw: str, says: str) -> None:
    """A call whose arguments are no clean object carries the problem and what was written, and no arguments."""
    (found,) = streamed(call(raw[:7], raw[7:]), stop="tool_use").message.tool_calls

    assert found.problem is not None
    assert says in found.problem
    assert ({}, raw) == (found.arguments, found.raw)


@pytest.mark.parametrize(("raw", "says"), DOUBTFUL[1:])
def test_doubtful_arguments_are_seen_in_a_whole_answer_too(raw: str, says: str) -> None:
    """JSON within JSON is read as strictly, although a plain reader would have forgotten what was odd."""
    body = f'{{"content": [{{"type": "tool_use", "id": "c", "name": "f", "input": {raw}}}], "stop_reason": "tool_use"}}'
    (found,) = completion(read_json(body), BY).message.tool_calls

    assert found.problem is not None
    assert says in found.problem
    assert {} == found.arguments
    assert found.raw is not None


@pytest.mark.parametrize("pieces", [(), ("",), (" ",), ("{}",), ("{", "}")])
def test_no_arguments_are_no_problem(pieces: tuple[str, ...]) -> None:
    """The wire says "no arguments" with an empty text."""
    assert (ToolCall("c", "f"),) == streamed(call(*pieces), stop="tool_use").message.tool_calls


def test_arguments_may_come_whole_or_as_text() -> None:
    """Some servers send the object at once in a stream, others its text in a whole answer."""
    assert (ToolCall("c", "f", {"x": 1}),) == streamed(call(input={"x": 1}), stop="tool_use").message.tool_calls
    whole = {"type": "tool_use", "id": "c", "name": "f", "input": '{"x": 1}'}
    assert (ToolCall("c", "f", {"x": 1}),) == read(whole, stop="tool_use").message.tool_calls


@pytest.mark.parametrize("stop", ["max_tokens", "model_context_window_exceeded"])
def test_a_call_at_a_cut_end_is_not_believed(stop: str) -> None:
    """Where tokens ran out, arguments that are absent or came in one piece may be half; earlier calls are whole."""
    told = {"type": "tool_use", "id": "d", "name": "g", "input": {"path": "x"}}
    first, last = read({**told, "id": "c"}, told, stop=stop).message.tool_calls

    assert (None, "the arguments were cut off by the limit of output tokens") == (first.problem, last.problem)
    assert '{"path": "x"}' == last.raw
    assert streamed(call(), stop=stop).message.tool_calls[0].problem is not None
    assert streamed(call('{"path": "x', ""), stop=stop).message.tool_calls[0].problem is not None
    assert streamed(call('{"path": "x"}'), stop=stop).message.tool_calls[0].problem is None


def test_calls_without_an_id_get_one_and_doubles_another() -> None:
    """Every call can be answered by its id."""
    blocks = [{"type": "tool_use", "name": "f", "input": {}, **ident} for ident in IDS]

    assert ["call_2", "call_2_", "call_3", "call_4"] == [each.id for each in read(*blocks).message.tool_calls]


IDS: list[dict[str, Any]] = [{"id": "call_2"}, {}, {"id": "call_2"}, {"id": 7}]


def test_a_call_by_code_that_has_ended_is_over() -> None:
    """What code at the server asked for, and was answered, is not made again; what it waits for is."""
    made = {"type": "tool_use", "id": "c", "name": "f", "input": {}, "caller": {"type": "code", "tool_id": "s"}}
    ended = {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {}}

    assert () == read(made, ended).message.tool_calls
    assert "end" == read(made, ended).stop
    assert 1 == len(read(made, stop="tool_use").message.tool_calls)


def test_too_many_calls_are_refused() -> None:
    """Ten thousand calls do not fill the memory."""
    with pytest.raises(BadResponse, match="more than 128 tool calls"):
        streamed(*[call(id=f"c{index}") for index in range(10_000)])


def test_blocks_may_grow_in_turns() -> None:
    """Pieces find their block by its index, whatever comes between."""
    begun = events(call(id="a"), call(id="b"), stop="tool_use")
    more = [
        {"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": piece}}
        for index, piece in [(0, '{"x"'), (1, '{"y"'), (0, ": 1}"), (1, ": 2}")]
    ]
    assembly = Assembly(BY)
    for event in [*begun[:-2], *more, *begun[-2:]]:
        assembly.add(event)

    assert [{"x": 1}, {"y": 2}] == [each.arguments for each in assembly.completion().message.tool_calls]


def test_what_is_odd_beside_calls_does_no_harm() -> None:
    """NaN, a key twice or too deep nesting in a trace become null, so that the answer can be written down."""
    body = '{"content": [{"type": "new", "a": NaN, "b": {"c": 1, "c": 2}, "d": %s1%s}], "usage": {"input_tokens": NaN}}'
    found = completion(read_json(body % ("[" * 100, "]" * 100)), BY)

    assert found == Completion.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    (part,) = found.message.parts
    assert isinstance(part, Private)
    assert (None, None) == (part.data["block"]["a"], part.data["block"]["b"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.integers(0, 50))
def test_any_clean_object_survives(arguments: dict[str, Any], cut: int) -> None:
    """What a model may rightly send comes out as it went in, whole and in pieces."""
    raw = json.dumps(arguments)
    made = {"type": "tool_use", "id": "c", "name": "f", "input": arguments}

    assert (ToolCall("c", "f", arguments),) == streamed(call(raw[:cut], raw[cut:]), stop="tool_use").message.tool_calls
    assert (ToolCall("c", "f", arguments),) == read(made, stop="tool_use").message.tool_calls


@given(st.text(alphabet='{}[]":,\\ud8aN1e.-+ \n') | st.text())
def test_any_text_is_an_object_or_a_problem(raw: str) -> None:
    """Nothing a model writes raises anything but `Malformed`, and what is accepted can be encoded."""
    try:
        found = parse_arguments(raw)
    except Malformed:
        return
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()


# -- streams ------------------------------------------------------------------


def test_a_stream_needs_its_end() -> None:
    """Without message_stop, what came is no answer."""
    assembly = Assembly(BY)
    for event in events({"type": "text", "text": "Half a"})[:-1]:
        assembly.add(event)

    with pytest.raises(StreamTruncated) as caught:
        assembly.completion()
    assert "anthropic:m: the stream stopped before its end: no message_stop came." == str(caught.value)


def test_events_of_new_kinds_are_skipped_and_the_name_of_one_may_say_its_kind() -> None:
    """The API may add events; pings are none of an answer's."""
    assembly = Assembly(BY)
    for event in (*events({"type": "text", "text": "Hi."})[:-1], {"type": "ping"}, {"type": "tomorrow"}):
        assembly.add(event)
    assembly.add({}, "message_stop")

    assert "Hi." == assembly.completion().message.text


SPARE: list[Any] = [None, 7, "x", [], {}, {"type": "text"}, {"type": "tool_use", "input": [1]}, {"text": 7}]
KINDS = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
     "message_stop", "error", "ping", "new", 7, None]
)  # fmt: skip
FIELDS = st.sampled_from(
    ["type", "index", "id", "name", "text", "thinking", "signature", "input", "partial_json", "citation", "citations",
     "data", "usage", "input_tokens", "output_tokens", "stop_reason", "stop_details", "model", "caller", "tool_use_id"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.sampled_from(
        [*SPARE, "tool_use", "thinking", "server_tool_use", "end_turn", "max_tokens", "\ud800", float("nan")]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=8,
)
CHAOS = st.fixed_dictionaries(
    {"type": KINDS},
    optional={
        "message": ANYTHING,
        "content_block": ANYTHING,
        "delta": ANYTHING,
        "index": st.sampled_from([0, 1, None, "x", []]),
        "usage": ANYTHING,
        "error": ANYTHING,
    },
)


def chaos(stream: list[Any], content: list[Any]) -> None:
    whole = {"content": content, "stop_reason": "tool_use", "usage": content and content[0]}
    for body in (stream, whole):
        try:
            assembly = Assembly(BY)
            for event in body if isinstance(body, list) else ():
                assembly.add(read_json(json.dumps(event)))
            found = assembly.completion() if isinstance(body, list) else completion(read_json(json.dumps(body)), BY)
        except ProviderError:
            continue
        assert found == Completion.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
        json.dumps(found.to_json(), ensure_ascii=False).encode()


@given(st.lists(CHAOS, max_size=8), st.lists(ANYTHING, max_size=4))
def test_any_order_of_any_events_is_an_answer_or_an_error_of_ours(stream: list[Any], content: list[Any]) -> None:
    """Whatever a server sends, nothing else comes out, and an answer can be written down."""
    chaos([*stream, {"type": "message_stop"}], content)


@pytest.mark.soak
@settings(max_examples=10_000)
@given(st.lists(CHAOS, max_size=12), st.lists(ANYTHING, max_size=6))
def test_any_order_of_many_events_is_an_answer_or_an_error_of_ours(stream: list[Any], content: list[Any]) -> None:
    """The same, ten thousand times."""
    chaos([*stream, {"type": "message_stop"}], content)


# -- failures -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"error": {"message": "busy.", "type": "overloaded_error"}}, "busy"),
        ({"error": "busy"}, "busy"),
        ([{"error": {"message": "busy"}}], "busy"),
        ({"message": "busy"}, "busy"),
        ("busy\n  now", "busy now"),
        ("", "no explanation"),
        (None, "null"),
    ],
)
def test_an_error_is_read_in_whatever_shape_it_comes(body: Any, problem: str) -> None:
    """What says nothing of its kind is the server's own fault, which may pass."""
    found = failure(body, Origin(provider="anthropic", status=500))

    assert (Overloaded, problem) == (type(found), found.problem)


def test_a_request_id_may_stand_in_the_body() -> None:
    """Where the headers have none."""
    assert (
        "r1"
        == failure({"error": {"message": "x"}, "request_id": "r1"}, Origin(provider="anthropic", status=400)).request_id
    )
    assert "h1" == failure({"request_id": "r1"}, Origin(provider="anthropic", status=400, request_id="h1")).request_id


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
    assert seconds == failure({}, Origin(provider="anthropic", status=529), headers).retry_after
