"""Requests on the wire, without a network."""

from __future__ import annotations

import itertools
import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Image, Message, Private, Request, Text, Thinking, ToolCall, ToolDefinition, ToolResult
from cloudllm_core.errors import BadRequest
from cloudllm_provider_anthropic.wire import Origin, completion, encode, request_body, schema_for

ROLL = ToolDefinition(name="roll", description="Roll dice.", parameters={"type": "object", "properties": {}})
MARK = {"cache_control": {"type": "ephemeral"}}


def asked(*messages: Message, cache: bool = False, stream: bool = False, effort: str = "", **fields: Any) -> Any:
    instructions, model = fields.pop("instructions", ""), fields.pop("model", "m")
    request = Request(model=model, instructions=instructions, messages=messages, **fields)
    return request_body(request, stream, cache=cache, effort=effort)


def contents(*messages: Message, **fields: Any) -> list[Any]:
    return [message["content"] for message in asked(*messages, **fields)["messages"]]


# -- messages -----------------------------------------------------------------


def test_a_conversation_becomes_blocks_in_two_roles() -> None:
    """Instructions, text, calls and results take the shapes of the wire; results are the user's."""
    call = ToolCall("c1", "roll", {"sides": 6})
    body = asked(
        Message.user("Play.", "Now."),
        Message.assistant("I roll.", call),
        Message.tool([ToolResult("c1", "4")]),
        Message.assistant("It is a 4."),
        instructions="Be brief.",
        tools=(ROLL,),
        options={"stop": "END", "metadata": {"user_id": "u"}},
    )

    assert {
        "model": "m",
        "max_tokens": 16_384,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Play."}, {"type": "text", "text": "Now."}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I roll."},
                    {"type": "tool_use", "id": "c1", "name": "roll", "input": {"sides": 6}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "4"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "It is a 4."}]},
        ],
        "tools": [{"name": "roll", "description": "Roll dice.", "input_schema": {"type": "object", "properties": {}}}],
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
    } == body


def test_neighbours_of_one_role_are_joined_and_results_come_first() -> None:
    """All results of a reply and the words after them are one message of the user's."""
    body = asked(
        Message.user("Play."),
        Message.assistant("", ToolCall("a", "roll"), ToolCall("b", "roll")),
        Message.tool([ToolResult("a", "1"), ToolResult("b", "no", is_error=True)]),
        Message.user("Go on."),
    )

    assert [
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "content": "no", "is_error": True},
        {"type": "text", "text": "Go on."},
    ] == body["messages"][-1]["content"]


def test_an_error_without_words_has_some() -> None:
    """The API refuses an empty error; an empty result is fine."""
    results = Message.tool([ToolResult("a", "", is_error=True), ToolResult("b", "")])
    call = Message.assistant("", ToolCall("a", "roll"), ToolCall("b", "roll"))

    assert ["(no message)", ""] == [block["content"] for block in contents(Message.user("Hi"), call, results)[-1]]


def test_images_travel_as_sources() -> None:
    """An image goes by its address or in base64, in the place it had; a model's own become words."""
    images = [Image("image/png", data="QUJD"), Image("image/png", url="http://x/y.png")]
    inline = Image("", url="data:image/gif;base64,R0lG")
    heard, spoken = contents(Message("user", [Text("Look:"), *images, inline]), Message("assistant", images[:1]))

    assert [
        {"type": "text", "text": "Look:"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
        {"type": "image", "source": {"type": "url", "url": "http://x/y.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lG"}},
    ] == heard
    assert [{"type": "text", "text": "(a picture)"}] == spoken


def test_ids_of_other_providers_become_legal_and_unique() -> None:
    """Ids are mended alike in call and result, and numbered anew where a history has them twice."""
    turn = [
        Message.assistant("", ToolCall("call|1", "roll"), ToolCall("call_1", "roll")),
        Message.tool([ToolResult("call|1", "a"), ToolResult("call_1", "b")]),
    ]
    found = [[block.get("id") or block["tool_use_id"] for block in content] for content in contents(*turn, *turn)]

    assert [["call_1", "call_1_2"], ["call_1", "call_1_2"], ["call_1_3", "call_1_4"], ["call_1_3", "call_1_4"]] == found


def test_a_growing_history_keeps_its_beginning() -> None:
    """What was sent before is sent again unchanged, or the cache would be of no use."""
    turn = [Message.assistant("", ToolCall("1", "roll")), Message.tool([ToolResult("1", "4")])]
    short, long = contents(*turn), contents(*turn, *turn)

    assert short == long[:2]


@pytest.mark.parametrize(("name", "sent"), [("roll\nme", "roll_me"), ("", "unknown"), ("x" * 200, "x" * 128)])
def test_a_name_that_a_server_refuses_is_mended_in_the_history(name: str, sent: str) -> None:
    """A model's invented name does not spoil the session for all later calls."""
    assert sent == contents(Message.assistant("", ToolCall("c1", name)))[0][0]["name"]


def test_broken_arguments_go_back_as_what_they_were() -> None:
    """A model sees what it wrote, not an empty object it never meant."""
    call = ToolCall("c1", "roll", {}, "cut", '{"a": ')

    assert {"INVALID_JSON": '{"a": '} == contents(Message.assistant("", call))[0][0]["input"]


def test_blank_text_is_left_out() -> None:
    """The API refuses blank text, and messages of nothing."""
    thought = Thinking("Hm.", "other", "m", {"signature": "s"})

    assert [[{"type": "text", "text": "Hi."}], [{"type": "text", "text": "(nothing)"}]] == contents(
        Message.user("Hi.", "  \n"), Message("assistant", [thought, Text(" ")])
    )


def test_own_thoughts_go_back_and_those_of_others_do_not() -> None:
    """Signed and hidden thoughts go back to the model that had them; unsigned ones would be refused."""
    parts: list[Any] = [
        Thinking("Hm.", "anthropic", "m", {"signature": "s"}),
        Thinking("", "anthropic", "m", {"redacted": "xyz"}),
        Thinking("Hm.", "anthropic", "m"),
        Thinking("Hm.", "anthropic", "other", {"signature": "s"}),
        Thinking("Hm.", "openai", "m", {"field": "reasoning_content"}),
        Private("openai", "m", {"block": {"type": "x"}}),
        Private("anthropic", "m", {"block": {"type": "compaction", "content": "Before."}}),
        Private("anthropic", "m", {"stop_details": {"category": "bio"}}),
        Private("anthropic", "m", "nonsense"),
        Text("Hello."),
    ]

    assert [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "compaction", "content": "Before."},
        {"type": "text", "text": "Hello."},
    ] == contents(Message("assistant", parts))[0]


def trace(**block: Any) -> Private:
    return Private("anthropic", "m", {"block": block})


def test_half_a_trace_of_a_server_side_tool_is_left_out() -> None:
    """A call without its result is refused later on, and so is a result without its call; the last may be open."""
    call = trace(type="server_tool_use", id="s1", name="web_search", input={})
    result = trace(type="web_search_tool_result", tool_use_id="s1", content=[])
    open_call = trace(type="server_tool_use", id="s2", name="web_search", input={})
    lost = trace(type="web_search_tool_result", tool_use_id="s0", content=[])
    early = Message("assistant", [call, result, open_call, lost, Text("A")])
    found = contents(early, Message.user("Go on."), Message("assistant", [Text("B"), open_call]))

    assert ["server_tool_use", "web_search_tool_result", "text"] == [block["type"] for block in found[0]]
    assert ["text", "server_tool_use"] == [block["type"] for block in found[2]]


def test_citations_go_back_where_they_were() -> None:
    """A sentence split by its sources is one text, and is split again on the way back; edited text goes without."""
    source = {"type": "web_search_result_location", "url": "http://x", "encrypted_index": "e"}
    body = [
        {"type": "text", "text": "The sky "},
        {"type": "text", "text": "is blue", "citations": [source]},
        {"type": "text", "text": "."},
    ]
    found = completion({"content": body, "stop_reason": "end_turn"}, Origin(provider="anthropic", model="m")).message

    assert "The sky is blue." == found.text
    assert body == contents(found)[0]
    edited = attrs.evolve(found, parts=(Text("The sky is green."), *found.parts[1:]))
    assert [{"type": "text", "text": "The sky is green."}] == contents(edited)[0]


# -- caching ------------------------------------------------------------------


def test_what_stays_is_marked_for_the_cache() -> None:
    """The instructions with the tools before them, and the last two things that were heard, are marked."""
    messages = [Message.user("A"), Message.assistant("B"), Message.user("C"), Message.assistant("D"), Message.user("E")]
    body = asked(*messages, cache=True, instructions="Be brief.", tools=(ROLL,))

    assert [{"type": "text", "text": "Be brief.", **MARK}] == body["system"]
    assert [False, False, True, False, True] == [
        "cache_control" in message["content"][-1] for message in body["messages"]
    ]
    assert "cache_control" not in body["tools"][0]
    assert MARK["cache_control"] == asked(*messages, cache=True, tools=(ROLL,))["tools"][0]["cache_control"]
    assert "cache_control" not in json.dumps(asked(*messages, instructions="Be brief.", tools=(ROLL,)))


# -- options ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        ("claude-sonnet-4-6", "high", {"thinking": "adaptive", "effort": "high", "max_tokens": 16_384}),
        ("claude-opus-5", "minimal", {"thinking": "adaptive", "effort": "low", "max_tokens": 16_384}),
        ("something-else", "MAX", {"thinking": "adaptive", "effort": "max", "max_tokens": 16_384}),
        ("claude-haiku-4-5-20251001", "low", {"thinking": "enabled", "budget": 1024, "max_tokens": 17_408}),
        ("claude-sonnet-4-20250514", "medium", {"thinking": "enabled", "budget": 4096, "max_tokens": 20_480}),
        ("claude-3-7-sonnet-latest", "xhigh", {"thinking": "enabled", "budget": 15_360, "max_tokens": 31_744}),
        ("claude-opus-5", "none", {"max_tokens": 16_384}),
        ("claude-opus-5", "", {"max_tokens": 16_384}),
    ],
)
def test_effort_becomes_what_the_model_knows(model: str, effort: str, fields: dict[str, Any]) -> None:
    """Models from 4.6 on think as hard as they are told, those before have a budget; the output cap is beside it."""
    body = asked(Message.user("Hi"), model=model, effort=effort)
    found = {
        "thinking": body.get("thinking", {}).get("type"),
        "budget": body.get("thinking", {}).get("budget_tokens"),
        "effort": body.get("output_config", {}).get("effort"),
        "max_tokens": body["max_tokens"],
    }

    assert fields == {name: value for name, value in found.items() if value is not None}


def test_an_agent_s_own_words_go_before_the_general_wish() -> None:
    """Thinking in the API's own words, an effort of None and a cap are taken as they are."""
    own = {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}, "max_tokens": 5}
    body = asked(Message.user("Hi"), options=own, effort="high")

    assert own == {name: body[name] for name in own}
    assert "thinking" not in asked(Message.user("Hi"), options={"effort": None}, effort="high")
    assert "low" == asked(Message.user("Hi"), options={"reasoning_effort": "low"})["output_config"]["effort"]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"messages": []}, "the option 'messages' is not an option: the request itself fills that field."),
        ({"seed": 7}, "the option 'seed' is unknown to the Messages API. The API has no seeds; remove it."),
        (
            {"response_format": {}},
            "the option 'response_format' is unknown to the Messages API. Use the agent's output=",
        ),
        ({"effort": "big"}, "'big' is no effort of thought. Choose among none, minimal, low,"),
        ({"top_k": 5}, "the option 'top_k' is gone from the Messages API since version 2026-10-21."),
    ],
)
def test_an_option_that_cannot_be_sent_is_refused_with_its_name(option: dict[str, Any], says: str) -> None:
    """The sentence says what to write instead."""
    with pytest.raises(BadRequest) as caught:
        asked(Message.user("Hi"), options=option)

    assert str(caught.value).startswith(f"anthropic:m: {says}")


def test_none_takes_a_field_away() -> None:
    """For servers that choke on one."""
    assert {"model", "messages"} == asked(Message.user("Hi"), options={"max_tokens": None}).keys()


def test_tools_of_the_server_stand_beside_the_agent_s() -> None:
    """They go in as they are."""
    search = {"type": "web_search_20250305", "name": "web_search"}
    body = asked(Message.user("Hi"), tools=(ROLL,), options={"server_tools": [search]})

    assert ["roll", "web_search"] == [tool["name"] for tool in body["tools"]]


def test_tool_choice_none_keeps_the_tools() -> None:
    """The last call of a turn shows the same tools and forbids them, whatever the options say."""
    body = asked(Message.user("Hi"), tools=(ROLL,), tool_choice="none", options={"tool_choice": {"type": "any"}})

    assert ({"type": "none"}, 1) == (body["tool_choice"], len(body["tools"]))


def test_calls_of_tools_that_are_gone_are_declared() -> None:
    """The API refuses a history with calls where no tools are told."""
    turn = [Message.assistant("", ToolCall("1", "roll")), Message.tool([ToolResult("1", "4")])]
    body = asked(Message.user("Hi"), *turn, *turn)

    assert [{"name": "roll", "input_schema": {"type": "object"}}] == body["tools"]
    assert {"type": "none"} == body["tool_choice"]


def test_lone_surrogates_can_be_sent() -> None:
    """Half a character becomes the replacement character instead of an error."""
    assert "a\ufffdb😀" == json.loads(encode({"x": "a\ud800b😀"}))["x"]


# -- the shape of the answer --------------------------------------------------


def test_a_schema_becomes_what_the_api_enforces() -> None:
    """Objects are closed, bounds are left out, choices become anyOf."""
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": "Who."},
            "when": {"type": "string", "format": "date"},
            "mood": {"type": "string", "enum": ["good", "bad"], "default": "good"},
            "ages": {"type": "array", "items": {"type": ["integer", "null"], "minimum": 0}},
            "next": {"oneOf": [{"$ref": "#/$defs/It"}, {"type": "null"}]},
        },
        "required": ["name"],
        "$defs": {"It": {"type": "object", "properties": {}}},
    }

    assert {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Who."},
            "when": {"type": "string", "format": "date"},
            "mood": {"enum": ["good", "bad"]},
            "ages": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
            "next": {"anyOf": [{"$ref": "#/$defs/It"}, {"type": "null"}]},
        },
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {"It": {"type": "object", "properties": {}, "additionalProperties": False}},
    } == schema_for(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "integer"},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "object"},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {"a": {"type": "array", "prefixItems": []}}},
        {"type": "object", "properties": {"a": {"allOf": []}}},
        {"type": "object", "properties": 7},
    ],
)
def test_a_schema_with_an_open_place_is_not_sent(schema: dict[str, Any]) -> None:
    """What cannot be enforced is left to the instructions and the kernel's own check."""
    assert schema_for(schema) is None
    assert "output_config" not in asked(Message.user("Hi"), output=schema)


def test_the_schema_goes_to_models_that_know_it() -> None:
    """Beside an effort, to models of 4.5 and later, and to names that say no version."""
    shape = {"type": "object", "properties": {"a": {"type": "integer"}}}
    sent = {
        model: "output_config" in asked(Message.user("Hi"), output=shape, model=model)
        for model in ("claude-3-7-sonnet-latest", "claude-sonnet-4-5", "claude-opus-4-1-20250805", "m")
    }
    both = asked(Message.user("Hi"), output=shape, options={"effort": "low"})["output_config"]

    assert [False, True, True, True] == [*sent.values()]
    assert {"effort", "format"} == both.keys()
    assert {"type": "json_schema", "schema": schema_for(shape)} == both["format"]


# -- any history --------------------------------------------------------------

WORDS = st.text(max_size=8)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | WORDS, lambda inner: st.lists(inner, max_size=3))
MAKERS = st.sampled_from([("anthropic", "m"), ("anthropic", "n"), ("openai", "m")])
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["server_tool_use", "mcp_tool_use", "web_search_tool_result", "new"])},
    optional={"id": WORDS, "tool_use_id": WORDS},
)
PRIVATE = st.one_of(
    JSON,
    st.builds(lambda block: {"block": block}, BLOCKS),
    st.builds(lambda pairs: {"citations": pairs}, st.lists(st.tuples(st.integers(0, 9), st.lists(JSON, max_size=1)))),
)
SPOKEN = st.one_of(
    st.builds(Text, WORDS),
    st.builds(
        lambda by, text, private: Thinking(text, by[0], by[1], private), MAKERS, WORDS, st.dictionaries(WORDS, JSON)
    ),
    st.builds(lambda by, data: Private(by[0], by[1], data), MAKERS, PRIVATE),
    st.builds(Image, st.just("image/png"), WORDS),
    st.builds(ToolCall, WORDS, WORDS, st.dictionaries(WORDS, JSON)),
    st.builds(ToolCall, WORDS, WORDS, st.just({}), st.just("broken"), WORDS),
)
HEARD = st.builds(Text, WORDS) | st.builds(Image, st.just("image/png"), WORDS)


@st.composite
def histories(draw: Any) -> list[Message]:
    messages = []
    for _ in range(draw(st.integers(1, 4))):
        messages.append(Message("user", draw(st.lists(HEARD, max_size=3))))
        spoken = Message("assistant", draw(st.lists(SPOKEN, max_size=5)))
        messages.append(spoken)
        if spoken.tool_calls:
            failed = draw(st.booleans())
            messages.append(Message.tool([ToolResult(call.id, draw(WORDS), failed) for call in spoken.tool_calls]))
    return messages


@given(histories(), st.booleans())
def test_any_history_becomes_a_legal_request(messages: list[Message], cache: bool) -> None:
    """Roles alternate, nothing is blank, ids are legal and unique, each call has its result, and it can be encoded."""
    body = asked(*messages, cache=cache)
    roles = [message["role"] for message in body["messages"]]
    blocks = [block for message in body["messages"] for block in message["content"]]
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]

    assert all(one != other for one, other in itertools.pairwise(roles))
    assert all(message["content"] for message in body["messages"])
    assert all(block["text"].strip() for block in blocks if block["type"] == "text")
    assert len(calls) == len(set(calls))
    assert calls == results
    assert all(ident.replace("_", "").replace("-", "").isalnum() or set(ident) <= {"_", "-"} for ident in calls)
    assert sum("cache_control" in block for block in blocks) == (min(2, roles.count("user")) if cache else 0)
    encode(body)


@pytest.mark.parametrize(("option", "most", "sent"), [(None, 50, 50), (20, 50, 20), (90, 50, 50), (90, None, 90)])
def test_an_answer_has_no_more_tokens_than_the_request_allows(option, most, sent):
    """The run's share is a cap on whatever the options say."""
    options = {} if option is None else {"max_tokens": option}
    asked = Request(model="claude-x", instructions="", messages=(Message.user("x"),), options=options, max_output=most)

    assert sent == request_body(asked, False)["max_tokens"]


@pytest.mark.parametrize(("most", "budget"), [(9_000, 8_192), (4_000, 2_000), (1_500, None)])
def test_a_budget_of_thought_gives_way_to_the_cap(most, budget):
    """Thinking is part of the answer: it is shortened, and left out where the API would refuse so little."""
    thinking = {"type": "enabled", "budget_tokens": 8_192}
    asked = Request(
        model="claude-x",
        instructions="",
        messages=(Message.user("x"),),
        options={"thinking": thinking},
        max_output=most,
    )
    body = request_body(asked, False)

    assert (most, budget) == (body["max_tokens"], body.get("thinking", {}).get("budget_tokens"))
