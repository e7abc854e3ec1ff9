"""The wire, both ways, without a network."""

from __future__ import annotations

import json
from typing import Any

import attrs
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
    ContextTooLong,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamTruncated,
)
from cloudllm_provider_gemini.wire import (
    Assembly,
    Malformed,
    Origin,
    checked,
    completion,
    encode,
    failure,
    parse_json,
    request_body,
)
from cloudllm_provider_gemini.wire.models import generation

SCHEMA = {"type": "object", "properties": {"sides": {"type": "integer"}}}
ROLL = ToolDefinition(name="roll", description="Roll dice.", parameters=SCHEMA)
ANSWER = {"type": "object", "properties": {"city": {"type": "string"}}}
M = Origin(provider="gemini", model="m")
REMOVE = "Remove it from the agent's options."


def asked(*messages: Message, **fields: Any) -> dict[str, Any]:
    effort = fields.pop("effort", "")
    fields = {"model": "m", "instructions": ""} | fields
    return request_body(Request(messages=messages, **fields), default_effort=effort)


def answer(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [*parts]}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {}) | more]}


def calling(arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": "f"} | ({} if arguments is None else {"args": arguments}), **more}


def streamed(*chunks: dict[str, Any]) -> Completion:
    assembly = Assembly(M)
    for chunk in chunks:
        assembly.add(chunk)
    return assembly.completion()


# -- requests -----------------------------------------------------------------


def test_a_conversation_becomes_contents() -> None:
    """Instructions, text, calls and results take the shapes of the wire; the text beside calls is kept."""
    body = asked(
        Message.user("Play.", "Now."),
        Message.assistant("I roll.", ToolCall("c1", "roll", {"sides": 6})),
        Message.tool([ToolResult("c1", "4")]),
        Message.assistant("It is a 4."),
        Message.user("Again."),
        instructions="Be brief.",
        tools=(ROLL,),
        options={"temperature": 0.2},
    )

    assert {
        "contents": [
            {"role": "user", "parts": [{"text": "Play."}, {"text": "Now."}]},
            {
                "role": "model",
                "parts": [{"text": "I roll."}, {"functionCall": {"id": "c1", "name": "roll", "args": {"sides": 6}}}],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"id": "c1", "name": "roll", "response": {"output": "4"}}}],
            },
            {"role": "model", "parts": [{"text": "It is a 4."}]},
            {"role": "user", "parts": [{"text": "Again."}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "roll", "description": "Roll dice.", "parametersJsonSchema": SCHEMA},
                ]
            }
        ],
        "generationConfig": {"temperature": 0.2},
    } == body


def test_parallel_results_stand_together_in_call_order() -> None:
    """The wire counts results against calls, so they share one content, apart from what a user says next."""
    calls = (ToolCall("a", "roll"), ToolCall("b", "look"))
    results = Message.tool([ToolResult("a", "1"), ToolResult("b", "no", is_error=True)])
    body = asked(Message.user("Go."), Message.assistant("", *calls), results, Message.user("Well?"))

    assert [
        {"functionResponse": {"id": "a", "name": "roll", "response": {"output": "1"}}},
        {"functionResponse": {"id": "b", "name": "look", "response": {"error": "no"}}},
    ] == body["contents"][2]["parts"]
    assert {"role": "user", "parts": [{"text": "Well?"}]} == body["contents"][3]


def test_images_travel_as_data_or_by_address() -> None:
    """An image goes as data, by its address, or as the data its address holds, in the place it had."""
    pictures = [
        Image("image/png", data="QUJD"),
        Image("image/png", url="http://x/y.png"),
        Image("image/png", url="data:image/gif;base64,REVG"),
    ]

    assert [
        {"text": "Look:"},
        {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        {"fileData": {"mimeType": "image/png", "fileUri": "http://x/y.png"}},
        {"inlineData": {"mimeType": "image/gif", "data": "REVG"}},
    ] == asked(Message("user", [Text("Look:"), *pictures]))["contents"][0]["parts"]


def test_neighbours_of_one_role_are_merged_and_the_empty_is_left_out() -> None:
    """A message of which nothing can be sent vanishes, and its neighbours become one."""
    body = asked(
        Message.user("One."), Message("assistant", [Thinking("Hm.", "anthropic", "m", "s")]), Message.user(" ", "Two.")
    )

    assert [{"role": "user", "parts": [{"text": "One."}, {"text": "Two."}]}] == body["contents"]


@pytest.mark.parametrize(
    ("name", "sent"), [("roll\nme", "roll_me"), ("", "unknown"), ("x" * 80, "x" * 64), ("a.b:c-d", "a.b:c-d")]
)
def test_a_name_that_the_wire_refuses_is_mended_in_the_history(name: str, sent: str) -> None:
    """A model's invented name does not spoil the session for all later calls; its result bears the same."""
    body = asked(Message.assistant("", ToolCall("c1", name)), Message.tool([ToolResult("c1", "no")]))

    assert sent == body["contents"][0]["parts"][0]["functionCall"]["name"]
    assert sent == body["contents"][1]["parts"][0]["functionResponse"]["name"]


def test_parts_of_others_are_dropped() -> None:
    """Thoughts, signatures and private parts of another provider or model never leave."""
    parts: list[Any] = [
        Thinking("Hm.", "anthropic", "m", {"signature": "s"}),
        Thinking("Hm.", "gemini", "other", {"signature": "s"}),
        Private("anthropic", "m", {"part": {"text": "x"}}),
        ToolCall("c1", "roll"),
        Thinking("", "gemini", "other", {"signature": "s", "call": "c1"}),
    ]

    assert [{"functionCall": {"id": "c1", "name": "roll", "args": {}}}] == asked(Message("assistant", parts))[
        "contents"
    ][0]["parts"]


@pytest.mark.parametrize(
    ("model", "signed"), [("gemini-3-pro", True), ("gemini-4-argon", True), ("gemini-2.5-pro", False), ("m", False)]
)
def test_foreign_calls_get_the_signature_that_says_so(model: str, signed: bool) -> None:
    """New models refuse unsigned calls; of several in one answer the first is signed, and only calls are."""
    calls = Message.assistant("Hi.", ToolCall("a", "f"), ToolCall("b", "f"))
    found = [part.get("thoughtSignature") for part in asked(calls, model=model)["contents"][0]["parts"]]

    assert [None, "skip_thought_signature_validator" if signed else None, None] == found


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({"top_p": 0.5, "topK": 3, "seed": 7}, {"topP": 0.5, "topK": 3, "seed": 7}),
        ({"max_tokens": 9}, {"maxOutputTokens": 9}),
        ({"max_output_tokens": 9}, {"maxOutputTokens": 9}),
        ({"stop": "END"}, {"stopSequences": ["END"]}),
        ({"stop_sequences": ["A", "B"]}, {"stopSequences": ["A", "B"]}),
        ({"generation_config": {"topP": 0.1}, "seed": None}, {"topP": 0.1}),
        ({"response_modalities": ["TEXT"]}, {"responseModalities": ["TEXT"]}),
    ],
)
def test_options_take_the_names_of_the_wire(options: dict[str, Any], config: dict[str, Any]) -> None:
    """Names with underscores, the wire's own and the usual ones mean the same; None leaves a field out."""
    assert config == asked(options=options)["generationConfig"]


def test_some_options_stand_beside_the_others() -> None:
    """Safety settings, caches and server-side tools are not part of how to generate."""
    options = {
        "safety_settings": [{"category": "x"}],
        "cached_content": "cachedContents/1",
        "server_tools": [{"googleSearch": {}}],
        "tool_config": {"includeServerSideToolInvocations": True},
    }
    body = asked(tools=(ROLL,), tool_choice="none", options=options)

    assert ([{"category": "x"}], "cachedContents/1") == (body["safetySettings"], body["cachedContent"])
    assert [["functionDeclarations"], ["googleSearch"]] == [[*tool] for tool in body["tools"]]
    assert {"includeServerSideToolInvocations": True, "functionCallingConfig": {"mode": "NONE"}} == body["toolConfig"]
    assert "generationConfig" not in body


@pytest.mark.parametrize(
    ("model", "options", "effort", "thinking"),
    [
        ("gemini-2.5-pro", {"effort": "low"}, "", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-3-pro", {"effort": "Low"}, "", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-flash-latest", {"reasoning_effort": "high"}, "", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-pro", {}, "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-3-pro", {"effort": "low"}, "high", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-2.5-flash", {"thinking_budget": 0}, "high", {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.0-flash", {}, "high", None),
        ("gemma-3", {}, "high", None),
        ("gemini-3-pro", {}, "none", None),
        ("gemini-3-pro", {}, "", None),
        ("gemini-3-pro", {"include_thoughts": True}, "", {"includeThoughts": True}),
        ("gemini-3-pro", {"effort": "low", "include_thoughts": None}, "", {"thinkingLevel": "LOW"}),
        ("gemini-3-pro", {"thinking_config": {"thinkingLevel": "LOW"}}, "high", {"thinkingLevel": "LOW"}),
    ],
)
def test_effort_is_a_level_or_a_budget(model: str, options: Any, effort: str, thinking: Any) -> None:
    """New models think by levels, older ones by tokens; the default is for models that think, and gives way."""
    config = asked(model=model, options=options, effort=effort).get("generationConfig", {})

    assert thinking == config.get("thinkingConfig")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"contents": []},
            "the option 'contents' is not an option: the request itself fills that field. " + REMOVE,
        ),
        (
            {"system_instruction": "x"},
            "the option 'system_instruction' is not an option: the request itself fills that field. " + REMOVE,
        ),
        (
            {"effort": "huge"},
            "the effort 'huge' is not known. Use one of none, minimal, low, medium, high, xhigh.",
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], says: str) -> None:
    """An option that contradicts the request, or means nothing, is refused with its name."""
    with pytest.raises(BadRequest) as caught:
        asked(options=options)

    assert f"gemini:m: {says}" == str(caught.value)


@pytest.mark.parametrize(
    ("model", "tools", "sent"),
    [
        ("gemini-2.5-flash", (), True),
        ("gemini-2.5-flash", (ROLL,), False),
        ("gemini-3-flash", (ROLL,), True),
        ("gemma-3", (), True),
    ],
)
def test_a_schema_is_enforced_where_tools_allow_it(model: str, tools: Any, sent: bool) -> None:
    """Older models refuse JSON answers beside tools; there the instructions say it alone."""
    config = asked(model=model, tools=tools, output=ANSWER).get("generationConfig", {})

    assert ({"responseMimeType": "application/json", "responseJsonSchema": ANSWER} if sent else {}) == config


def test_a_schema_of_the_users_own_is_kept() -> None:
    """What the options say of the answer's form wins over the agent's output type."""
    options = {"response_schema": {"type": "OBJECT"}, "response_mime_type": None}

    assert {"responseSchema": {"type": "OBJECT"}} == asked(output=ANSWER, options=options)["generationConfig"]


def test_lone_surrogates_can_be_sent() -> None:
    """Half a character becomes the replacement character instead of an error."""
    assert "a\ufffdb😀" == json.loads(encode({"x": "a\ud800b😀"}))["x"]


@pytest.mark.parametrize(
    ("model", "number"),
    [
        ("gemini-2.5-flash", 2.5),
        ("models/gemini-3-pro-preview", 3),
        ("gemini-flash-latest", float("inf")),
        ("gemma-3-27b", 0),
        ("tunedModels/mine", 0),
    ],
)
def test_a_model_s_generation_is_in_its_name(model: str, number: float) -> None:
    """A Gemini without a number is a new one; what is no Gemini is of no generation."""
    assert number == generation(model)


# -- arguments ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("[1]", "not an object"),
        ('"{}"', "not an object"),
        ("3", "not an object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": [-Infinity]}', "infinite"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "9" * 5000 + "}", "too large"),
        ('{"b": {"a": 1, "a": 2}}', "'a' twice"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested deeper than 64"),
        ('{"\\ud800": 1, "\\ud801": 2}', "broken characters"),
    ],
)
def test_doubtful_arguments_are_a_problem_and_never_a_guess(raw: str, says: str) -> None:
    """A call whose arguments are no clean object carries the problem and what was written, and no arguments."""
    text = json.dumps(answer(calling("HERE"))).replace('"HERE"', raw)
    (call,) = completion(parse_json(text)).message.tool_calls

    assert call.problem is not None
    assert says in call.problem
    assert {} == call.arguments
    assert call.raw
    json.dumps(call.to_json()).encode()


@pytest.mark.parametrize("part", [calling(), calling({}), {"functionCall": {"name": "f", "args": None}}])
def test_no_arguments_are_no_problem(part: dict[str, Any]) -> None:
    """The wire leaves an empty object out."""
    assert (ToolCall("call_1", "f"),) == completion(answer(part)).message.tool_calls


def test_arguments_in_pieces_are_one_call_that_is_not_run() -> None:
    """Pieces come only where they were asked for, and we never ask: they are shown to the model, not put together."""
    found = streamed(
        answer({"functionCall": {"name": "f", "willContinue": True}}, finish=None),
        answer({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}}, finish=None),
        answer(calling({"b": 1})),
    )
    first, second = found.message.tool_calls

    assert "the arguments came in pieces, which nobody asked for" == first.problem
    assert '[null, [{"jsonPath": "$.a", "stringValue": "x"}]]' == first.raw
    assert {"b": 1} == second.arguments


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
@settings(deadline=None)
def test_any_clean_object_survives(arguments: dict[str, Any]) -> None:
    """What a model may rightly send comes out as it went in."""
    (call,) = completion(parse_json(json.dumps(answer(calling(arguments))))).message.tool_calls

    assert arguments == call.arguments


@given(st.text(alphabet='{}[]":,\\ud8aN1e.-+ \n') | st.text())
@settings(deadline=None)
def test_any_text_is_an_object_or_a_problem(raw: str) -> None:
    """Nothing a model writes raises anything but `Malformed`, and what is accepted can be encoded."""
    try:
        found = checked(parse_json(f'{{"functionCall": {raw}}}')["functionCall"])
    except ValueError:
        return
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()


def test_what_is_too_deep_is_malformed() -> None:
    """The check itself never goes deep."""
    value: Any = {}
    for _ in range(100_000):
        value = {"a": value}

    with pytest.raises(Malformed, match="nested deeper than 64 levels"):
        checked(value)


# -- answers ------------------------------------------------------------------


def test_an_answer_keeps_the_order_of_its_parts() -> None:
    """Everything that was said has its place, and the model that answered is named."""
    body = answer({"text": "Hm.", "thought": True}, {"text": "Hel"}, {"text": "lo."}, calling({"x": 1})) | {
        "modelVersion": "m-1",
        "responseId": "r-1",
    }

    assert Completion(
        Message("assistant", [Thinking("Hm.", "gemini", "m"), Text("Hello."), ToolCall("call_1", "f", {"x": 1})]),
        stop="tool_use",
        model="m-1",
        request_id="r-1",
    ) == completion(body, M)


SIGNED: list[tuple[str, list[dict[str, Any]]]] = [
    ("call", [calling({"x": 1}, thoughtSignature="s")]),
    ("first of two calls", [calling({"x": 1}, thoughtSignature="s"), calling({"x": 2})]),
    (
        "thought, then call",
        [{"text": "Hm.", "thought": True, "thoughtSignature": "t"}, calling({}, thoughtSignature="s")],
    ),
    ("text", [{"text": "Hello.", "thoughtSignature": "s"}]),
    ("last piece of a text", [{"text": "Hel"}, {"text": "lo.", "thoughtSignature": "s"}]),
    ("nothing, behind a text", [{"text": "Hello."}, {"text": "", "thoughtSignature": "s"}]),
    (
        "picture",
        [{"text": "Here."}, {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thoughtSignature": "s"}],
    ),
    (
        "code and its result",
        [
            {"executableCode": {"code": "1", "language": "PYTHON"}, "thoughtSignature": "s"},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
            {"text": "One."},
        ],
    ),
    (
        "a search on the server",
        [
            {"toolCall": {"id": "1", "toolType": "GOOGLE_SEARCH"}, "thoughtSignature": "s"},
            {"toolResponse": {"id": "1"}, "thoughtSignature": "t"},
            {"text": "Found.", "thoughtSignature": "u"},
        ],
    ),
]


@pytest.mark.parametrize("parts", [parts for _, parts in SIGNED], ids=[name for name, _ in SIGNED])
def test_signed_parts_go_back_as_they_came(parts: list[dict[str, Any]]) -> None:
    """A signature returns with the very part it belongs to, to the model that gave it, also through a journal."""
    found = completion(answer(*parts), M)
    kept = Completion.from_json(json.loads(json.dumps(found.to_json())))
    back = asked(Message.user("Go."), kept.message)["contents"][1]["parts"]
    for part in back:
        if "functionCall" in part:
            assert part["functionCall"].pop("id").startswith("call_")

    assert parts == back


def test_a_signature_whose_part_is_gone_is_dropped() -> None:
    """A session that was shortened or mended does not give a signature to another part."""
    marks = [
        Thinking("", "gemini", "m", {"signature": "s", "call": "gone"}),
        Thinking("", "gemini", "m", {"signature": "s", "characters": 9}),
        Thinking("", "gemini", "m", {"signature": "s", "image": True}),
        Thinking("", "gemini", "m", "nonsense"),
        Private("gemini", "m", "nonsense"),
    ]

    assert [{"text": "Hi."}] == asked(Message("assistant", [Text("Hi."), *marks]))["contents"][0]["parts"]


def test_calls_without_an_id_get_one_that_the_session_does_not_have() -> None:
    """Results find their calls by id, and most models send none."""
    history = (Message.assistant("", ToolCall("call_1", "f"), ToolCall("call_4", "f")),)
    body = answer(calling(), {"functionCall": {"name": "f", "id": "x"}}, {"functionCall": {"name": "f", "id": "x"}})
    found = [call.id for call in completion(body, M, history=history).message.tool_calls]

    assert "x" == found[1]
    assert 5 == len({*found, "call_1", "call_4"})


def test_metadata_is_kept_and_not_sent() -> None:
    """Sources of an answer stay with it, for whoever wants to show them."""
    found = completion(answer({"text": "Hi."}, groundingMetadata={"webSearchQueries": ["x"]}), M)

    assert (
        Private("gemini", "m", {"metadata": {"groundingMetadata": [{"webSearchQueries": ["x"]}]}})
        == (found.message.parts[-1])
    )
    assert [{"text": "Hi."}] == asked(found.message)["contents"][0]["parts"]


def test_a_trace_that_no_journal_could_hold_is_replaced() -> None:
    """A broken trace of a server-side tool does not break the run's records."""
    found = completion(answer({"toolResponse": {"x": float("nan")}}, {"text": "Hi."}), M)

    json.dumps(found.to_json(), allow_nan=False)
    assert "Hi." == found.message.text
    assert [{"text": "Hi."}] == asked(found.message)["contents"][0]["parts"][-1:]


def test_a_blocked_prompt_is_filtered_and_says_why() -> None:
    """No candidates and a reason are an answer of their own kind."""
    found = completion({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "Reasons"}}, M)

    assert ("content_filtered", "", None) == (found.stop, found.message.text, found.usage)
    assert [{"metadata": {"promptFeedback": [{"blockReason": "SAFETY", "blockReasonMessage": "Reasons"}]}}] == [
        part.data for part in found.message.parts if isinstance(part, Private)
    ]


def test_an_empty_answer_still_fits_into_a_history() -> None:
    """A message without parts would be refused later on."""
    assert (Text(""),) == completion(answer()).message.parts


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"candidates": []}, "has no candidates"),
        ({"candidates": None, "promptFeedback": {"blockReasonMessage": "x"}}, "has no candidates"),
        ({}, "has no candidates"),
        ([], "is not a JSON object"),
        ("x" * 900, "is not a JSON object"),
        ({"message": "x" * 900}, "has no candidates"),
        (answer({"text": "x"}, finish=None), "has no finishReason"),
    ],
)
def test_an_answer_without_candidates_is_none(body: Any, says: str) -> None:
    """What is not an answer says so, briefly."""
    with pytest.raises(BadResponse, match=says) as caught:
        completion(body)

    assert len(str(caught.value)) < 450


@pytest.mark.parametrize(
    ("finish", "calls", "stop"),
    [
        ("STOP", False, "end"),
        ("STOP", True, "tool_use"),
        ("MAX_TOKENS", True, "max_tokens"),
        ("SAFETY", False, "content_filtered"),
        ("RECITATION", False, "content_filtered"),
        ("PROHIBITED_CONTENT", False, "content_filtered"),
        ("MALFORMED_FUNCTION_CALL", False, "malformed_tool_call"),
        ("UNEXPECTED_TOOL_CALL", True, "malformed_tool_call"),
        ("MISSING_THOUGHT_SIGNATURE", False, "error"),
        ("CONTINUATION", False, "pause"),
        ("OTHER", False, "other"),
        ("SOMETHING_NEW", True, "other"),
    ],
)
def test_stop_reasons_have_one_vocabulary(finish: str, calls: bool, stop: str) -> None:
    """Calls beat a plain stop; a cut or a filter beats calls; a new word is "other"."""
    parts = [{"text": "x"}, *([calling()] if calls else [])]

    assert stop == completion(answer(*parts, finish=finish)).stop


def test_of_several_candidates_the_first_is_the_answer() -> None:
    """Alternatives are not asked for."""
    body = answer({"text": "One."})
    body["candidates"].append({"content": {"parts": [{"text": "Two."}]}, "index": 1, "finishReason": "SAFETY"})

    assert ("One.", "end") == (completion(body).message.text, completion(body).stop)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"promptTokenCount": 10, "candidatesTokenCount": 4}, Usage(10, 4)),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "toolUsePromptTokenCount": 7,
                "candidatesTokenCount": 9,
                "thoughtsTokenCount": 5,
                "totalTokenCount": 121,
            },
            Usage(47, 14, 60, 0, 5),
        ),
        ({"promptTokenCount": 8, "totalTokenCount": 8}, Usage(8, 0)),
        ({"promptTokenCount": 8.0, "candidatesTokenCount": None}, Usage(8, 0)),
        ({"promptTokenCount": 10, "cachedContentTokenCount": 50}, Usage(0, 0, 10)),
        ({"promptTokenCount": -1, "candidatesTokenCount": 4}, None),
        ({"promptTokenCount": "10", "candidatesTokenCount": 4}, None),
        ({"promptTokenCount": True}, None),
        ({"promptTokenCount": 3, "candidatesTokenCount": "4"}, None),
        ({"trafficType": "ON_DEMAND"}, None),
        ({}, None),
        ("many", None),
        (None, None),
    ],
)
def test_usage_means_the_same_for_all_providers(body: Any, usage: Usage | None) -> None:
    """Cached tokens leave the input, what tools read joins it, thoughts are output, and the unknown stays unknown."""
    assert usage == completion(answer({"text": "x"}) | {"usageMetadata": body}).usage


# -- streams ------------------------------------------------------------------


def test_a_stream_is_put_together_and_handed_on() -> None:
    """Pieces go out as they come; usage grows, and what a later chunk leaves out stays."""
    pieces: list[tuple[str, str]] = []
    assembly = Assembly(M, lambda sort, piece: pieces.append((sort, piece)))
    assembly.add(answer({"text": "Hm.", "thought": True}, finish=None) | {"usageMetadata": {"promptTokenCount": 3}})
    assembly.add(answer({"text": "Hel"}, finish=None))
    assembly.add(answer({"text": "lo."}) | {"usageMetadata": {"candidatesTokenCount": 2}})
    found = assembly.completion()

    assert [("reasoning", "Hm."), ("content", "Hel"), ("content", "lo.")] == pieces
    assert ("Hello.", Usage(3, 2), "end") == (found.message.text, found.usage, found.stop)


def test_a_split_pair_of_surrogates_is_joined() -> None:
    """An emoji whose halves come in two chunks is one character in the answer."""
    assert "😀" == streamed(answer({"text": "\ud83d"}, finish=None), answer({"text": "\ude00"})).message.text


def test_too_many_calls_are_refused() -> None:
    """Ten thousand calls do not fill the memory."""
    with pytest.raises(BadResponse, match="more than 128 tool calls"):
        streamed(answer(*[calling()] * 10_000))


def test_a_stream_needs_an_end() -> None:
    """Without a finishReason, what came is no answer and its calls are not run."""
    with pytest.raises(StreamTruncated) as caught:
        streamed(answer({"text": "Half a"}, calling(), finish=None))

    assert "gemini:m: the stream stopped before its end: no finishReason came." == str(caught.value)


PART = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=5) | JSON,
        "thought": st.booleans() | JSON,
        "thoughtSignature": st.text(max_size=3) | JSON,
        "functionCall": st.fixed_dictionaries({}, optional={"name": st.text() | JSON, "args": JSON, "id": JSON}) | JSON,
        "inlineData": st.fixed_dictionaries({}, optional={"mimeType": st.just("image/png") | JSON, "data": JSON}),
        "executableCode": JSON,
    },
)
DETAIL = st.fixed_dictionaries({}, optional=dict.fromkeys(("reason", "retryDelay", "violations"), JSON))
CHUNK = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "content": st.fixed_dictionaries({}, optional={"parts": st.lists(PART | JSON, max_size=4) | JSON}),
                    "finishReason": st.sampled_from(["STOP", "SAFETY", "X", ""]) | JSON,
                    "index": st.just(0) | JSON,
                    "groundingMetadata": JSON,
                },
            )
            | JSON,
            max_size=2,
        )
        | JSON,
        "usageMetadata": st.dictionaries(st.sampled_from(["promptTokenCount", "thoughtsTokenCount"]), JSON) | JSON,
        "promptFeedback": st.fixed_dictionaries({}, optional={"blockReason": JSON}) | JSON,
        "modelVersion": JSON,
        "responseId": JSON,
        "error": st.fixed_dictionaries({}, optional={"code": JSON, "status": JSON, "details": st.lists(DETAIL | JSON)})
        | JSON,
    },
)


def held(chunks: list[Any]) -> None:
    try:
        found = streamed(*chunks)
    except ProviderError:
        return
    assert found == Completion.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    encode(asked(Message.user("Go."), found.message))


@given(st.lists(CHUNK | JSON, max_size=4))
@settings(deadline=None)
def test_any_stream_is_an_answer_or_one_of_our_errors(chunks: list[Any]) -> None:
    """Whatever chunks come, nothing but a `ProviderError` comes out, and an answer can be kept and sent back."""
    held(chunks)


@pytest.mark.soak
@given(st.lists(CHUNK | JSON, max_size=6))
@settings(deadline=None, max_examples=10_000)
def test_ten_thousand_streams_are_answers_or_our_errors(chunks: list[Any]) -> None:
    """As above, ten thousand times."""
    held(chunks)


# -- failures -----------------------------------------------------------------


def rpc(status: int, word: str, message: str = "no", **detail: Any) -> ProviderError:
    details = [{"@type": "x", **detail}] if detail else []
    return failure(
        {"error": {"code": status, "message": message, "status": word, "details": details}},
        attrs.evolve(M, status=status),
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (rpc(400, "INVALID_ARGUMENT"), BadRequest),
        (rpc(400, "INVALID_ARGUMENT", reason="API_KEY_INVALID"), AuthenticationFailed),
        (rpc(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."), AuthenticationFailed),
        (
            rpc(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
            ContextTooLong,
        ),
        (rpc(400, "INVALID_ARGUMENT", "The prompt violates the Responsible AI practices."), ContentFiltered),
        (rpc(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), BadRequest),
        (rpc(403, "PERMISSION_DENIED"), AuthenticationFailed),
        (rpc(404, "NOT_FOUND"), BadRequest),
        (rpc(429, "RESOURCE_EXHAUSTED"), RateLimited),
        (rpc(499, "CANCELLED"), Overloaded),
        (rpc(500, "INTERNAL"), Overloaded),
        (rpc(501, "UNIMPLEMENTED"), BadRequest),
        (rpc(503, "UNAVAILABLE"), Overloaded),
        (rpc(504, "DEADLINE_EXCEEDED"), Overloaded),
    ],
)
def test_each_code_is_the_error_a_caller_can_act_on(error: ProviderError, kind: type[ProviderError]) -> None:
    """Google's codes, reasons and words become one tree."""
    assert kind is type(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 503, "message": "busy", "status": "UNAVAILABLE"}, Overloaded),
        ({"message": "slow down", "status": "RESOURCE_EXHAUSTED"}, RateLimited),
        ({"message": "who?", "status": "UNAUTHENTICATED"}, AuthenticationFailed),
        ({"code": 400, "message": "no"}, BadRequest),
        ("it broke", Overloaded),
    ],
)
def test_an_error_inside_a_good_answer_is_an_error(error: Any, kind: type[ProviderError]) -> None:
    """A status of 200 does not hide what the body says, in a stream or out of one."""
    for body in ({"error": error}, answer({"text": "x"}) | {"error": error}):
        with pytest.raises(ProviderError) as caught:
            Assembly(Origin(provider="gemini", status=200)).add(body)
        assert kind is type(caught.value)


@pytest.mark.parametrize(
    ("delay", "headers", "seconds"),
    [
        ("12s", {}, 12.0),
        ("48.939935699s", {}, 48.939935699),
        ("12s", {"retry-after": "3"}, 12.0),
        ("soon", {"retry-after": "3"}, 3.0),
        ("-4s", {}, None),
        (12, {}, None),
    ],
)
def test_the_time_to_wait_comes_from_the_details(delay: Any, headers: dict[str, str], seconds: float | None) -> None:
    """RetryInfo says it best; a header will do; nonsense is nothing."""
    error = {"code": 429, "message": "slow", "details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": delay}]}

    assert seconds == failure({"error": error}, Origin(provider="gemini", status=429), headers).retry_after


@pytest.mark.parametrize(("option", "most", "sent"), [(None, 50, 50), (20, 50, 20), (90, 50, 50), (90, None, 90)])
def test_an_answer_has_no_more_tokens_than_the_request_allows(option, most, sent):
    """The run's share is a cap on whatever the options say."""
    options = {} if option is None else {"max_output_tokens": option}
    asked = Request(
        model="gemini-3-pro", instructions="", messages=(Message.user("x"),), options=options, max_output=most
    )

    assert sent == request_body(asked)["generationConfig"]["maxOutputTokens"]


@pytest.mark.parametrize(
    ("quota", "message", "problem", "spent"),
    [
        (
            "RequestsPerMinute",
            "You exceeded your quota, see your plan and billing.",
            " (quota RequestsPerMinute)",
            False,
        ),
        ("RequestsPerDay-FreeTier", "Slow.", " (quota RequestsPerDay-FreeTier)", True),
        ("RequestsPerDay", "The quota RequestsPerDay is used up.", "", True),
        (None, "You exceeded your quota, see your plan and billing.", "", True),
    ],
)
def test_a_limit_says_which_quota_it_is(quota: str | None, message: str, problem: str, spent: bool) -> None:
    """Its name is in the sentence once; and the name, where there is one, says whether the plan is spent."""
    details = [{"violations": [{"quotaId": quota}, {"quotaId": quota}, 3]}, {"violations": 3}]
    found = failure({"error": {"message": message, "details": details}}, Origin(provider="gemini", status=429))

    assert message.rstrip(".") + problem == found.problem
    assert spent is ("quota of the plan" in found.hint)
