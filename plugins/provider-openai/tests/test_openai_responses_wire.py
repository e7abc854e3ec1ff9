"""The Responses API, both ways, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_core import (
    Completion,
    Image,
    Message,
    Private,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
)
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    BadResponse,
    ContentFiltered,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamTruncated,
)
from cloudllm_provider_openai.wire import Origin, strict_schema
from cloudllm_provider_openai.wire.responses import Assembly, request_body

ROLL = ToolDefinition(name="roll", description="Roll dice.", parameters={"type": "object", "properties": {}})
ORIGIN = Origin(provider="openai", model="m", request_id="r")
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}


def asked(*messages: Message, **fields: Any) -> dict[str, Any]:
    encrypted = fields.pop("encrypted", False)
    request = Request(model="m", instructions=fields.pop("instructions", ""), messages=messages, **fields)
    return request_body(request, stream=False, encrypted=encrypted)


def message(*texts: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content, **more}


def function(arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "roll", "arguments": arguments, **more}


def response(*output: Any, **more: Any) -> dict[str, Any]:
    return {"object": "response", "model": "m-1", "status": "completed", "error": None, "output": [*output], **more}


def whole(*output: Any, **more: Any) -> Completion:
    assembly = Assembly(ORIGIN, whole=True)
    assembly.add(response(*output, **more))
    return assembly.completion()


def events(*output: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """The events of a stream that says *output*, text in two pieces."""
    found: list[dict[str, Any]] = [{"type": "response.created", "response": response(status="in_progress")}]
    for number, item in enumerate(output):
        place = {"output_index": number}
        found.append({"type": "response.output_item.added", **place, "item": {"type": item["type"]}})
        for part, content in enumerate(item.get("content", ()) if item["type"] == "message" else ()):
            text, at = content.get("text", ""), place | {"content_index": part}
            found += [{"type": "response.output_text.delta", **at, "delta": each} for each in (text[:2], text[2:])]
        for part, summary in enumerate(item.get("summary", ())):
            at = place | {"summary_index": part}
            found.append({"type": "response.reasoning_summary_text.delta", **at, "delta": summary["text"]})
        found.append({"type": "response.output_item.done", **place, "item": item})
    return [*found, {"type": "response.completed", "response": response(*output, **more)}]


def streamed(*chunks: Any) -> tuple[Completion, list[tuple[str, str]]]:
    pieces: list[tuple[str, str]] = []
    assembly = Assembly(ORIGIN, lambda sort, piece: pieces.append((sort, piece)))
    for chunk in chunks:
        assembly.add(chunk)
    return assembly.completion(), pieces


# -- requests -----------------------------------------------------------------


def test_a_conversation_becomes_items() -> None:
    """Instructions, text, calls and results take the shapes of the wire, and the server is told to store nothing."""
    body = asked(
        Message.user("Play.", "Now."),
        Message.assistant("I roll.", ToolCall("c1", "roll", {"sides": 6})),
        Message.tool([ToolResult("c1", "4")]),
        Message.assistant("It is a 4."),
        Message.user("Thanks."),
        instructions="Be brief.",
        tools=(ROLL,),
        options={"temperature": 0.2},
        encrypted=True,
    )

    assert {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "Play.\nNow."},
            {"role": "assistant", "content": "I roll."},
            {"type": "function_call", "call_id": "c1", "name": "roll", "arguments": '{"sides": 6}'},
            {"type": "function_call_output", "call_id": "c1", "output": "4"},
            {"role": "assistant", "content": "It is a 4."},
            {"role": "user", "content": "Thanks."},
        ],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "tools": [
            {
                "type": "function",
                "name": "roll",
                "description": "Roll dice.",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
        "temperature": 0.2,
    } == body


def test_images_travel_as_parts() -> None:
    """An image goes by its address or as a data URL, in the place it had."""
    shown = Message("user", [Text("Look:"), Image("image/png", data="QUJD"), Image("image/png", url="http://x/y.png")])

    assert [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
        {"type": "input_image", "image_url": "http://x/y.png"},
    ] == asked(shown)["input"][0]["content"]


def test_thoughts_go_back_unchanged_as_long_as_the_turn_lasts() -> None:
    """Between a call and its result the model sees its thoughts again, in their place; once the user spoke, no more."""
    thinking = whole(REASONING, SEARCH, function()).message
    turn = (Message.user("Play."), thinking, Message.tool([ToolResult("c1", "4")]))
    later = (*turn, Message.assistant("A 4."), Message.user("Again."))

    assert [REASONING, SEARCH] == asked(*turn)["input"][1:3]
    assert ["user", "function_call", "function_call_output", "assistant", "user"] == [
        item.get("type", item.get("role")) for item in asked(*later)["input"]
    ]


def test_thoughts_that_the_server_could_not_read_stay_here() -> None:
    """Without its content an item is a reference to something nobody stored; what hangs on it stays here, too."""
    empty = {"type": "reasoning", "id": "rs_1", "summary": []}
    turn = (Message.user("Play."), whole(empty, SEARCH, function()).message, Message.tool([ToolResult("c1", "4")]))

    assert ["function_call", "function_call_output"] == [item["type"] for item in asked(*turn)["input"][1:]]


def test_parts_of_others_are_dropped() -> None:
    """Thoughts and private parts of another provider, model or API never leave."""
    parts: list[Any] = [
        Thinking("Hm.", "anthropic", "m", {"item": REASONING}),
        Thinking("Hm.", "openai", "other", {"item": REASONING}),
        Thinking("Hm.", "openai", "m", {"field": "reasoning_content"}),
        Private("anthropic", "m", {"item": SEARCH}),
        Private("openai", "m", {"cost": 0.1}),
        ToolCall("c1", "roll"),
    ]
    body = asked(Message.user("Play."), Message("assistant", parts), Message.tool([ToolResult("c1", "4")]))

    assert ["function_call", "function_call_output"] == [item["type"] for item in body["input"][1:]]


def test_phases_and_compactions_go_back_for_good() -> None:
    """A model that marks its messages sees the marks again; a compaction replaces what it stands for in later turns."""
    compaction = {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}
    said = whole(message("Let me see.", phase="commentary"), compaction).message
    body = asked(Message.user("Play."), said, Message.user("Go on."))

    assert [{"role": "assistant", "content": "Let me see.", "phase": "commentary"}, compaction] == body["input"][1:3]


def test_options_of_chat_take_their_names_here() -> None:
    """Cap, effort, format and verbosity may be said as for Chat Completions; None leaves a field out."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body = asked(
        options={
            "max_tokens": 9,
            "reasoning_effort": "low",
            "reasoning": {"summary": "auto"},
            "response_format": form,
            "verbosity": "low",
            "store": None,
            "stop": None,
            "server_tools": [{"type": "web_search"}],
        }
    )

    assert {
        "model": "m",
        "input": [],
        "max_output_tokens": 9,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}, "verbosity": "low"},
        "tools": [{"type": "web_search"}],
    } == body


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("input", "the option 'input' is not an option: the request itself fills that field. Remove it"),
        ("previous_response_id", "is not an option: each request carries the whole conversation."),
        ("background", "is not an option: the answer is awaited."),
        ("stop", "the Responses API does not take the option 'stop'. Remove it, or use Chat Completions with"),
        ("seed", "the Responses API does not take the option 'seed'."),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(option: str, says: str) -> None:
    """What contradicts the request, or is not of this API, is an error before anything is sent."""
    with pytest.raises(BadRequest) as caught:
        asked(options={option: 1})

    assert says in str(caught.value)


def test_tool_choice_none_keeps_the_tools() -> None:
    """The last call of a turn shows the same tools and forbids them."""
    body = asked(tools=(ROLL,), tool_choice="none", options={"tool_choice": "required"})

    assert ("none", 1) == (body["tool_choice"], len(body["tools"]))


def test_ids_and_names_of_others_are_mended() -> None:
    """Another provider's long id, and a name nobody may have, do not spoil a session; call and result match."""
    call = ToolCall("x" * 90, "no such\ntool")
    _, made, result = asked(
        Message.user("Hi."), Message.assistant("", call), Message.tool([ToolResult("x" * 90, "no")])
    )["input"]

    assert made["call_id"] == result["call_id"]
    assert (True, "no_such_tool") == (len(made["call_id"]) <= 40, made["name"])


# -- structured output --------------------------------------------------------

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def test_a_schema_is_enforced_strictly_where_it_can_be() -> None:
    """A schema that strict decoding knows is sent closed and strict; another one as it is."""
    loose = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": []}
    strict = asked(output=PERSON)["text"]["format"]

    assert {
        "type": "json_schema",
        "name": "answer",
        "strict": True,
        "schema": PERSON | {"additionalProperties": False},
    } == strict
    assert (False, loose) == tuple(asked(output=loose)["text"]["format"][name] for name in ("strict", "schema"))
    assert "text" not in asked(output={"type": "array", "items": {}}), "the API takes objects only"
    assert "text" not in asked(output=PERSON, options={"response_format": None})


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"enum": ["a", "b"]}, {"enum": ["a", "b"], "type": "string"}),
        ({"const": 3}, {"const": 3, "type": "integer"}),
        ({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/x"}]}, {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/x"}]}),
        ({"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "string"}}),
        ({}, None),
        ({"type": "object"}, None),
        ({"type": "array"}, None),
        ({"type": "string", "minLength": 1}, None),
        ({"type": "object", "properties": {"a": {"type": "null"}}, "required": []}, None),
        ({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}, None),
        ({"$ref": "#/$defs/x", "description": "no"}, None),
        ({"enum": [1, "a"]}, None),
    ],
)
def test_what_strict_decoding_knows(schema: dict[str, Any], strict: dict[str, Any] | None) -> None:
    """Closed objects, all properties required, and only the keywords that every strict decoder knows."""
    assert strict == strict_schema(schema)


# -- answers ------------------------------------------------------------------


def test_items_become_parts_in_their_order() -> None:
    """Thoughts, text, traces and calls keep their order; the model that answered is named."""
    thought = REASONING | {"summary": [{"type": "summary_text", "text": "Hm."}]}

    assert Completion(
        Message(
            "assistant",
            [
                Thinking("Hm.", "openai", "m", {"item": thought}),
                Text("Hello."),
                Private("openai", "m", {"item": SEARCH}),
                ToolCall("c1", "roll", {"sides": 6}),
            ],
        ),
        stop="tool_use",
        usage=Usage(3, 9, 60, 37, 5),
        model="m-1",
        request_id="r",
    ) == whole(
        thought,
        message("Hello."),
        SEARCH,
        function('{"sides": 6}'),
        usage={
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 37},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 109,
        },
    )


def test_a_refusal_is_told_apart_and_kept() -> None:
    """A refusal is no text; its words are kept and go back to the model that said them."""
    found = whole(message() | {"content": [{"type": "refusal", "refusal": "No."}]})

    assert ("refusal", "") == (found.stop, found.message.text)
    assert {"role": "assistant", "content": "No."} == asked(found.message)["input"][0]


def test_a_picture_becomes_an_image() -> None:
    """What the server's own tool drew is an image; its trace is kept without the picture, and stays here."""
    drawn = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "QUJD"}
    found = whole(drawn | {"output_format": "webp"}).message

    assert Image("image/webp", data="QUJD") == found.parts[0]
    assert "QUJD" not in json.dumps(found.parts[1].to_json())
    assert [] == asked(found)["input"]


@pytest.mark.parametrize(
    ("more", "stop"),
    [
        ({}, "end"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_tokens"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filtered"),
        ({"status": "incomplete", "incomplete_details": None}, "other"),
    ],
)
def test_stop_reasons_have_one_vocabulary(more: dict[str, Any], stop: str) -> None:
    """A cut and a filter are told from an end."""
    assert stop == whole(message("Hi."), **more).stop


def test_a_call_that_was_cut_is_a_problem_even_if_it_parses() -> None:
    """Arguments that happen to be an object may still lack their half."""
    more = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    (call,) = whole(function('{"path": "x"}', status="incomplete"), **more).message.tool_calls

    assert ToolCall("c1", "roll", {}, "the call was cut off before its end", '{"path": "x"}') == call


@pytest.mark.parametrize("raw", ['{"a": 1, "a": 2}', "[1]", '{"a": NaN}', "[" * 100_000, '{"path": "x'])
def test_doubtful_arguments_are_a_problem_and_never_a_guess(raw: str) -> None:
    """A call whose arguments are no clean object carries the problem and what was written, and no arguments."""
    (call,) = whole(function(raw)).message.tool_calls

    assert call.problem
    assert ({}, raw) == (call.arguments, call.raw)


def test_calls_without_an_id_get_one_and_doubles_another() -> None:
    """Every call can be answered by its id."""
    calls = whole(function(), function(call_id="c1"), function(call_id=None)).message.tool_calls

    assert 3 == len({call.id for call in calls})


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ([], BadResponse, "is not a JSON object"),
        ({}, BadResponse, "has no output"),
        ({"choices": []}, BadResponse, "Check that base_url leads to a Responses API"),
        ({"output": "x"}, BadResponse, "has no output"),
        ({"status": "queued", "output": []}, BadResponse, "is not finished: its status is 'queued'"),
        ({"error": {"code": "rate_limit_exceeded", "message": "slow"}, "output": []}, RateLimited, "slow"),
        ({"status": "failed", "error": None, "output": []}, Overloaded, "without saying why"),
        ({"code": "x", "error": "Incorrect API key provided."}, Overloaded, "Incorrect API key provided."),
    ],
)
def test_what_is_no_answer_is_an_error(body: Any, kind: type[ProviderError], says: str) -> None:
    """A body that is no finished response never becomes one."""
    with pytest.raises(ProviderError) as caught:
        Assembly(Origin(provider="openai", model="m", api="a Responses API"), whole=True).add(body)

    assert (kind, True) == (type(caught.value), says in str(caught.value)), str(caught.value)


def test_a_refused_key_is_known_whatever_its_status() -> None:
    """Some servers answer a false key with 400."""
    with pytest.raises(AuthenticationFailed):
        Assembly(Origin(provider="openai", status=400), whole=True).add({"error": "Incorrect API key provided: sk."})


# -- streams ------------------------------------------------------------------


def test_a_stream_is_put_together_and_handed_on() -> None:
    """Pieces go out as they come, a line break between two texts; the answer is that of the whole response."""
    thought = REASONING | {"summary": [{"type": "summary_text", "text": "Hm."}]}
    output = (thought, message("Hello."), SEARCH, message("Yes.", "No."), function())
    found, pieces = streamed(*events(*output))

    assert [
        ("reasoning", "Hm."),
        *(("content", piece) for piece in ("He", "llo.", "\n", "Ye", "s.", "\n", "No", ".")),
    ] == pieces
    assert whole(*output) == found
    assert found.message.text == "".join(piece for sort, piece in pieces if sort == "content")


@pytest.mark.parametrize("missing", ["response.output_text.delta", "response.output_item.done"])
def test_a_server_may_leave_pieces_out(missing: str) -> None:
    """Text without deltas is handed out when its item, or the response, is there; the answer is the same."""
    found, pieces = streamed(*(event for event in events(message("Hello.")) if event["type"] != missing))

    assert ("Hello.", "Hello.") == (found.message.text, "".join(piece for _, piece in pieces))


def test_an_empty_output_at_the_end_is_filled_from_the_stream() -> None:
    """Some servers end with a response that says nothing; the items they streamed count."""
    *before, end = events(message("Hello."), function())
    found, _ = streamed(*before, end | {"response": end["response"] | {"output": []}})

    assert ("Hello.", 1) == (found.message.text, len(found.message.tool_calls))


def test_a_stream_needs_its_end() -> None:
    """Without the terminal event, what came is no answer; nor is it when an item has no end."""
    *before, end = events(message("Hello."))
    with pytest.raises(StreamTruncated, match=r"openai:m: the stream stopped before its end: no response.completed"):
        streamed(*before)
    empty = end | {"response": end["response"] | {"output": []}}
    with pytest.raises(StreamTruncated, match="before one of its items did"):
        streamed(*(event for event in before if event["type"] != "response.output_item.done"), empty)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "server_error", "message": "oops"}, Overloaded),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, Overloaded),
        ({"error": {"message": "slow", "code": 429}}, RateLimited),
        (
            {"type": "response.failed", "response": response(status="failed", error={"code": "rate_limit_exceeded"})},
            RateLimited,
        ),
        (
            {"type": "response.failed", "response": response(status="failed", error={"code": "bio_policy"})},
            ContentFiltered,
        ),
        (
            {"type": "response.failed", "response": response(error={"code": "invalid_image", "message": "x"})},
            BadRequest,
        ),
        ({"type": "response.failed"}, BadResponse),
        ({"choices": []}, BadResponse),
        ([], BadResponse),
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_an_error_inside_a_stream_is_that_error(event: Any, kind: type[ProviderError], before: int) -> None:
    """A status of 200 does not hide what an event says, before or after the first words."""
    with pytest.raises(ProviderError) as caught:
        streamed(*events(message("Hello."))[:before], event)

    assert kind is type(caught.value)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=3) | st.sampled_from(["completed", "message"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = [
    "type", "response", "item", "output", "content", "summary", "text", "delta", "output_index", "status", "error",
    "usage", "name", "call_id", "arguments", "incomplete_details", "content_index",
]  # fmt: skip
TYPES = sorted({event["type"] for event in events(REASONING, message("Hello."), function())})


ODD = st.builds(
    lambda kind, rest: {"type": kind} | rest,
    st.sampled_from(TYPES) | JUNK,
    st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=5),
)


def only_our_errors(chunks: list[Any], whole: bool) -> None:
    assembly = Assembly(ORIGIN, lambda sort, piece: None, whole=whole)
    try:
        for chunk in chunks:
            if not assembly.ended:
                assembly.add(chunk)
        json.dumps(assembly.completion().to_json())
    except ProviderError:
        pass


def shuffled(data: st.DataObject) -> None:
    chunks = data.draw(st.lists(ODD | JUNK, max_size=4))
    only_our_errors(data.draw(st.permutations([*chunks, *events(message("Hello."), function())])), whole=False)
    only_our_errors([response(*chunks)], whole=True)
    only_our_errors(chunks[:1], whole=True)


@given(st.data())
def test_any_events_are_an_answer_or_an_error_of_ours(data: st.DataObject) -> None:
    """No event, however odd, raises anything but a `ProviderError`; an answer can be written down."""
    shuffled(data)


@pytest.mark.soak
@given(st.data())
@settings(max_examples=10_000)
def test_any_events_at_length(data: st.DataObject) -> None:
    """The same, 10,000 times."""
    shuffled(data)


@pytest.mark.parametrize("name", ["reasoning", "text", "server_tools"])
def test_an_option_of_the_wrong_kind_is_named(name: str) -> None:
    """What should be a table or a list and is neither is an error before anything is sent."""
    with pytest.raises(BadRequest, match=f"the option '{name}' is int, and (dict|list) is needed"):
        asked(options={name: 3})
