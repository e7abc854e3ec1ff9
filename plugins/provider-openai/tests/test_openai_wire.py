"""The wire, both ways, without a network."""

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
    BadRequest,
    BadResponse,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamTruncated,
)
from cloudllm_provider_openai.wire import (
    Assembly,
    Malformed,
    Origin,
    completion,
    encode,
    failure,
    parse_arguments,
    request_body,
)

ROLL = ToolDefinition(name="roll", description="Roll dice.", parameters={"type": "object", "properties": {}})


def asked(*messages: Message, **fields: Any) -> dict[str, Any]:
    request = Request(model="m", instructions=fields.pop("instructions", ""), messages=messages, **fields)
    return request_body(request, stream=False)


def answer(**message: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def streamed(*deltas: dict[str, Any], finish: str | None = "stop") -> Completion:
    assembly = Assembly(Origin(provider="openai", model="m"))
    for delta in deltas:
        assembly.add({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    assembly.add({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return assembly.completion()


# -- requests -----------------------------------------------------------------


def test_a_conversation_becomes_chat_messages() -> None:
    """Instructions, text, calls and results take the shapes of the wire; the text beside calls is kept."""
    call = ToolCall("c1", "roll", {"sides": 6})
    body = asked(
        Message.user("Play.", "Now."),
        Message.assistant("I roll.", call),
        Message.tool([ToolResult("c1", "4")]),
        Message.assistant("It is a 4."),
        instructions="Be brief.",
        tools=(ROLL,),
        options={"temperature": 0.2},
    )

    assert {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Play.\nNow."},
            {
                "role": "assistant",
                "content": "I roll.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "roll", "arguments": '{"sides": 6}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
            {"role": "assistant", "content": "It is a 4."},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "roll",
                    "description": "Roll dice.",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
        "temperature": 0.2,
    } == body


def test_every_result_is_a_message_of_its_own() -> None:
    """Results of one reply follow each other, in call order."""
    message = Message.tool([ToolResult("a", "1"), ToolResult("b", "no", is_error=True)])

    assert [("a", "1"), ("b", "no")] == [(m["tool_call_id"], m["content"]) for m in asked(message)["messages"]]


def test_images_travel_as_parts() -> None:
    """An image goes by its address or as a data URL, in the place it had."""
    message = Message(
        "user", [Text("Look:"), Image("image/png", data="QUJD"), Image("image/png", url="http://x/y.png")]
    )

    assert [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
    ] == asked(message)["messages"][0]["content"]


@pytest.mark.parametrize(("raw", "sent"), [('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'), ('{"a": ', "{}"), ("[]", "{}")])
def test_broken_arguments_go_back_only_if_a_server_can_read_them(raw: str, sent: str) -> None:
    """A call with a problem keeps its own words where they are a JSON object, so that the history stays legal."""
    call = ToolCall("c1", "roll", {}, "broken", raw)

    assert sent == asked(Message.assistant("", call))["messages"][0]["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize(("name", "sent"), [("roll\nme", "roll_me"), ("", "unknown"), ("x" * 80, "x" * 64)])
def test_a_name_that_a_server_refuses_is_mended_in_the_history(name: str, sent: str) -> None:
    """A model's invented name does not spoil the session for all later calls."""
    body = asked(Message.assistant("", ToolCall("c1", name)))

    assert sent == body["messages"][0]["tool_calls"][0]["function"]["name"]


def test_own_thoughts_go_back_between_a_call_and_its_result() -> None:
    """Servers that think between calls want their thoughts again, in the field they came in."""
    thought = Thinking("Hm.", "openai", "m", {"field": "reasoning_content"})
    body = asked(Message("assistant", [thought, ToolCall("c1", "roll")]), Message("assistant", [thought, Text("Hi")]))

    assert "Hm." == body["messages"][0]["reasoning_content"]
    assert {"role": "assistant", "content": "Hi"} == body["messages"][1]


def test_parts_of_others_are_dropped() -> None:
    """Thoughts and private parts of another provider or model never leave."""
    parts: list[Any] = [
        Thinking("Hm.", "anthropic", "m", {"field": "reasoning_content"}),
        Thinking("Hm.", "openai", "other", {"field": "reasoning_content"}),
        Private("anthropic", "m", {"refusal": "no"}),
        ToolCall("c1", "roll"),
    ]

    assert {"role", "content", "tool_calls"} == set(asked(Message("assistant", parts))["messages"][0])


def test_options_are_merged_and_none_takes_a_field_away() -> None:
    """An option of None leaves a field out, for servers that choke on it."""
    request = Request(model="m", instructions="", messages=(), options={"stream_options": None, "seed": 7})
    plain = request_body(Request(model="m", instructions="", messages=()), stream=True)

    assert {"include_usage": True} == plain["stream_options"]
    assert {"model": "m", "messages": [], "stream": True, "seed": 7} == request_body(request, stream=True)


def test_an_option_cannot_replace_the_request() -> None:
    """An option that contradicts the request is refused with its name."""
    with pytest.raises(BadRequest) as caught:
        asked(options={"messages": []})

    assert (
        "openai:m: the option 'messages' is not an option: the request itself fills that field."
        " Remove it from the agent's options." == str(caught.value)
    )


def test_tool_choice_none_keeps_the_tools() -> None:
    """The last call of a turn shows the same tools and forbids them, whatever the options say."""
    body = asked(tools=(ROLL,), tool_choice="none", options={"tool_choice": "required"})

    assert ("none", 1) == (body["tool_choice"], len(body["tools"]))


def test_lone_surrogates_can_be_sent() -> None:
    """Half a character becomes the replacement character instead of an error."""
    assert "a\ufffdb😀" == json.loads(encode({"x": "a\ud800b😀"}))["x"]


# -- arguments ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ('{"path": "x"', "not valid JSON"),
        ("null", "not an object"),
        ("[1]", "not an object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"a": 1, "a": 2}', "'a' twice"),
        ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested deeper than 64"),
        ('{"a": 1} {"b": 2}', "not valid JSON"),
    ],
)
def test_doubtful_arguments_are_a_problem_and_never_a_guess(raw: str, says: str) -> None:
    """A call whose arguments are no clean object carries the problem and what was written, and no arguments."""
    (call,) = completion(
        answer(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": raw}}])
    ).message.tool_calls

    assert call.problem is not None
    assert says in call.problem
    assert ({}, raw) == (call.arguments, call.raw)


@pytest.mark.parametrize("raw", ["", " ", "{}", None])
def test_no_arguments_are_no_problem(raw: str | None) -> None:
    """The wire says "no arguments" with an empty text."""
    (call,) = completion(
        answer(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": raw}}])
    ).message.tool_calls

    assert ToolCall("c", "f") == call


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
@settings(deadline=None)
def test_any_clean_object_survives(arguments: dict[str, Any]) -> None:
    """What a model may rightly send comes out as it went in."""
    assert arguments == parse_arguments(json.dumps(arguments))


@given(st.text(alphabet='{}[]":,\\ud8aN1e.-+ \n') | st.text())
@settings(deadline=None)
def test_any_text_is_an_object_or_a_problem(raw: str) -> None:
    """Nothing a model writes raises anything but `Malformed`, and what is accepted can be encoded."""
    try:
        found = parse_arguments(raw)
    except Malformed:
        return
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()


# -- answers ------------------------------------------------------------------


def test_an_answer_becomes_thoughts_then_text_then_calls() -> None:
    """Everything that was said has its place, and the model that answered is named."""
    body = answer(
        content="Hello.",
        reasoning_content="Hm.",
        tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
    )

    assert Completion(
        Message(
            "assistant",
            [Thinking("Hm.", "openai", "m", {"field": "reasoning_content"}), Text("Hello."), ToolCall("c", "f")],
        ),
        stop="tool_use",
        model="m-1",
        request_id="r",
    ) == completion(body, Origin(provider="openai", model="m", request_id="r"))


def test_a_refusal_is_told_apart_and_kept() -> None:
    """A refusal is no text; its words are kept and go back to the model that said them."""
    found = completion(answer(content=None, refusal="No."), Origin(provider="openai", model="m"))

    assert ("refusal", "") == (found.stop, found.message.text)
    assert {"role": "assistant", "content": None, "refusal": "No."} == asked(found.message)["messages"][0]


def test_an_empty_answer_still_fits_into_a_history() -> None:
    """A message without parts would be refused later on."""
    assert (Text(""),) == completion(answer(content=None)).message.parts


@pytest.mark.parametrize("body", [{"choices": []}, {"choices": None}, {}, [], "hello", {"message": "x" * 900}])
def test_an_answer_without_choices_is_none(body: Any) -> None:
    """What is not an answer says how it begins, in at most 200 characters."""
    with pytest.raises(BadResponse) as caught:
        completion(body)

    assert len(str(caught.value)) < 450


@pytest.mark.parametrize(
    ("finish", "calls", "stop"),
    [
        ("stop", False, "end"),
        ("stop", True, "tool_use"),
        ("eos", False, "end"),
        ("tool_calls", True, "tool_use"),
        ("tool_calls", False, "malformed_tool_call"),
        ("length", True, "max_tokens"),
        ("content_filter", False, "content_filtered"),
        ("something_new", False, "other"),
    ],
)
def test_stop_reasons_have_one_vocabulary(finish: str, calls: bool, stop: str) -> None:
    """Calls beat a plain stop; a cut or a filter beats calls; a new word is "other"."""
    body = answer(
        content="x", tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}] if calls else None
    )
    body["choices"][0]["finish_reason"] = finish

    assert stop == completion(body).stop


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 4}, Usage(10, 4)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(10, 9, 60, 30, 5),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 4, "prompt_cache_hit_tokens": 3}, Usage(7, 4, 3)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(10, 7, 0, 0, 3),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 50}},
            Usage(0, 4, 10),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": [1]}, Usage(10, 4)),
        ({"prompt_tokens": -1, "completion_tokens": 4}, None),
        ({"prompt_tokens": "10", "completion_tokens": 4}, None),
        ({"prompt_tokens": True, "completion_tokens": 4}, None),
        ({"total_tokens": 4}, None),
        ({}, None),
        ("many", None),
        (None, None),
    ],
)
def test_usage_means_the_same_for_all_servers(body: Any, usage: Usage | None) -> None:
    """Cached tokens are taken out of the prompt, reasoning is in the output, and the unknown stays unknown."""
    assert usage == completion(answer(content="x") | {"usage": body}).usage


# -- streams ------------------------------------------------------------------


def test_a_stream_is_put_together_and_handed_on() -> None:
    """Pieces go out as they come; usage may come last, without choices."""
    pieces: list[tuple[str, str]] = []
    assembly = Assembly(Origin(provider="openai", model="m"), lambda sort, piece: pieces.append((sort, piece)))
    for delta in ({"role": "assistant", "content": ""}, {"reasoning": "Hm."}, {"content": "Hel"}, {"content": "lo."}):
        assembly.add({"choices": [{"index": 0, "delta": delta}]})
    assembly.add({"choices": [{"index": 1, "delta": {"content": "Another."}}]})
    assembly.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assembly.add({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    found = assembly.completion()

    assert [("reasoning", "Hm."), ("content", "Hel"), ("content", "lo.")] == pieces
    assert ("Hello.", Usage(3, 2), "end") == (found.message.text, found.usage, found.stop)


def call(
    index: int | None = None, ident: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    piece = {"index": index, "id": ident, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in piece.items() if value is not None}


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                call(0, "a", "f", ""),
                call(1, "b", "g", ""),
                call(0, arguments='{"x"'),
                call(1, arguments="{}"),
                call(0, arguments=":1}"),
            ],
            id="interleaved",
        ),
        pytest.param([call(None, "a", "f", '{"x":1}'), call(None, "b", "g", "{}")], id="no index"),
        pytest.param(
            [call(None, "a", "f", '{"x"'), call(None, "a", None, ":1}"), call(None, "b", "g", "")], id="by id"
        ),
        pytest.param(
            [call(None, "a", "f", '{"x"'), call(None, None, None, ":1}"), call(None, "b", "g")], id="by order"
        ),
        pytest.param([call(0, "a", "f", '{"x":1}'), call(0, "b", "g", "{}")], id="all of index 0"),
        pytest.param(
            [call(5, "a", "f", '{"x":'), call(5, "a", "f", "1}"), call(9, "b", "g", "{}")], id="name repeated"
        ),
        pytest.param([call(0, "a", "f", {"x": 1}), call(1, "b", "g", {})], id="objects"),
    ],
)
def test_call_pieces_find_their_calls(pieces: list[dict[str, Any]]) -> None:
    """Calls come out the same whatever a server leaves out."""
    found = streamed(*({"tool_calls": [piece]} for piece in pieces), finish="tool_calls")

    assert (ToolCall("a", "f", {"x": 1}), ToolCall("b", "g")) == found.message.tool_calls


def test_calls_without_an_id_get_one_and_doubles_another() -> None:
    """Every call can be answered by its id."""
    found = streamed(
        {"tool_calls": [call(0, "call_2", "f"), call(1, None, "g"), call(2, "call_2", "h"), call(3, "", "i")]}
    )

    assert ["call_2", "call_2_", "call_3", "call_4"] == [each.id for each in found.message.tool_calls]


def test_too_many_calls_are_refused() -> None:
    """Ten thousand calls do not fill the memory."""
    with pytest.raises(BadResponse, match="more than 128 tool calls"):
        streamed({"tool_calls": [call(index, f"c{index}", "f") for index in range(10_000)]})


def test_a_split_pair_of_surrogates_is_joined() -> None:
    """An emoji whose halves come in two chunks is one character in the answer."""
    assert "😀" == streamed({"content": "\ud83d"}, {"content": "\ude00"}).message.text


def test_details_of_thoughts_grow_and_go_back() -> None:
    """Structured thoughts are merged entry by entry and sent back unchanged between call and result."""
    found = streamed(
        {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "H"}]},
        {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "m.", "signature": "s"}]},
        {"tool_calls": [call(0, "a", "f", "{}")]},
        finish="tool_calls",
    )
    details = [{"index": 0, "type": "reasoning.text", "text": "Hm.", "signature": "s"}]

    assert Thinking("Hm.", "openai", "m", {"field": "reasoning_details", "details": details}) == found.message.parts[0]
    assert details == asked(found.message)["messages"][0]["reasoning_details"]


def test_a_stream_needs_an_end() -> None:
    """Without a finish_reason or [DONE], what came is no answer."""
    assembly = Assembly(Origin(provider="openai", model="m"))
    assembly.add({"choices": [{"index": 0, "delta": {"content": "Half a"}}]})

    with pytest.raises(StreamTruncated) as caught:
        assembly.completion()
    assert "openai:m: the stream stopped before its end: no finish_reason and no [DONE] came." == str(caught.value)
    assembly.ended = True
    assert "Half a" == assembly.completion().message.text


def test_calls_cut_by_the_token_limit_are_checked_whatever_the_reason_says() -> None:
    """A finish_reason of tool_calls does not make half an object whole."""
    found = streamed({"tool_calls": [call(0, "a", "f", '{"path": "x", "content": "y')]}, finish="tool_calls")

    assert found.message.tool_calls[0].problem is not None


# -- failures -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "busy"}, Overloaded),
        ({"type": "server_error", "message": "oops"}, Overloaded),
        ({"code": 429, "message": "slow down"}, RateLimited),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, RateLimited),
        ({"code": "context_length_exceeded", "type": "invalid_request_error", "message": "too long"}, ContextTooLong),
        ({"code": "content_filter", "message": "no"}, ContentFiltered),
        ({"type": "invalid_request_error", "status_code": 400, "message": "no"}, BadRequest),
        ("it broke", Overloaded),
    ],
)
def test_an_error_inside_a_good_answer_is_an_error(error: Any, kind: type[ProviderError]) -> None:
    """A status of 200 does not hide what the body says, in a stream or out of one."""
    for body in ({"error": error}, {"error": error, "choices": [{"index": 0, "delta": {"content": "x"}}]}):
        with pytest.raises(ProviderError) as caught:
            Assembly(Origin(provider="openai", status=200)).add(body)
        assert kind is type(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "the request exceeds the available context size",
        "Request too large for model `x`: Limit 6000, Requested 7000",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_too_long_is_understood_in_many_words(message: str) -> None:
    """A context that is too long is told apart from other bad requests, and the remedy is named."""
    found = failure({"error": {"message": message}}, Origin(provider="openai", status=400))

    assert ContextTooLong is type(found)
    assert "Shorten the session, or give the agent a context strategy." == found.hint


def test_a_cap_that_is_too_high_is_not_a_context_that_is_too_long() -> None:
    """Shortening the session would not mend it."""
    message = "max_tokens is too large: 100000. This model supports at most 4096 completion tokens."

    assert BadRequest is type(failure({"error": {"message": message}}, Origin(provider="openai", status=400)))


SPENT = "Check the plan and the credit of the account; waiting does not help."


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ({"message": "You exceeded your current quota.", "code": "insufficient_quota"}, SPENT),
        ({"message": "You exceeded your current quota.", "type": "insufficient_quota"}, SPENT),
        ({"message": "Your account is suspended.", "type": "exceeded_current_quota_error"}, SPENT),
        ({"message": "Insufficient balance or no resource package. Please recharge.", "code": "1113"}, SPENT),
        ({"message": "Your credit balance is too low."}, SPENT),
        ({"message": "All credits have been used up."}, SPENT),
        ({"message": "Rate limit reached. Please add a payment method: https://x/account/billing."}, ""),
        ({"message": "Quota exceeded for metric x, please check your plan and billing details.", "code": 429}, ""),
        ({"message": "You exceeded your current quota, see your plan and billing details. Retry in 48s."}, ""),
        ({"message": "Too many requests: the load balancer is busy."}, ""),
    ],
)
def test_only_an_empty_account_is_said_to_be_empty(error: dict[str, Any], hint: str) -> None:
    """Waiting does not help there; a limit that passes may mention the plan and its billing all the same."""
    found = failure({"error": error}, Origin(provider="openai", status=429))

    assert (RateLimited, hint) == (type(found), found.hint)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "No.", "code": "moderation_blocked"}),
        (None, {"message": "No.", "code": "moderation_blocked"}),
        (400, {"message": "Your request was rejected by the safety system."}),
        (400, "Generated image rejected by content moderation."),
    ],
)
def test_pictures_are_filtered_in_words_of_their_own(status: int | None, error: Any) -> None:
    """The Images API blocks by moderation; that a parameter is called so is no block."""
    assert ContentFiltered is type(failure({"error": error}, Origin(provider="openai", status=status)))
    unknown = failure({"error": {"message": "Unknown parameter: 'moderation'."}}, Origin(provider="openai", status=400))
    assert BadRequest is type(unknown)
