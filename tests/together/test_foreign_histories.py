"""A conversation made with any provider is accepted by every other, and by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_core import (
    Image,
    Message,
    Private,
    Provider,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolDefinition,
    ToolResult,
    validate_history,
)

from .wire_rules import NAME, UNSIGNED, judged
from .wire_server import Server, http, sse
from .wires import WIRES, Asked, Said, Wire

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOLS = tuple(
    ToolDefinition(name=name, description=f"Looks up the {name}.", parameters={"type": "object", "properties": {}})
    for name in ("weather", "tides")
)
PAIRS = [(made, heard) for made in WIRES for heard in WIRES]


def seal(wire: Wire) -> str:
    """What only the server of *wire* may see again; base64, as seals are."""
    return f"SEAL{wire.name.replace('-', '')}AAAA"


def request(wire: Wire, messages: Sequence[Message]) -> Request:
    return Request(model=wire.model, instructions="Be brief.", messages=tuple(messages), tools=TOOLS)


async def answered(wire: Wire, provider: Provider, server: Server, messages: Sequence[Message], said: Said) -> Message:
    """What the provider makes of *said*, streamed."""
    begun, ended = wire.speech.stream(said)
    server.script(sse("".join([*begun, *ended])))
    completion = await provider.stream(request(wire, messages), lambda sort, text: None)
    return completion.message


async def converse(wire: Wire, server: Server) -> list[Message]:
    """A conversation with everything in it, as the plugin of *wire* brings it back."""
    provider = wire.make(server.url, 10.0)
    history = [Message("user", [Text("What is in this picture, and the weather there?"), Image("image/png", data=PNG)])]
    calls = (Asked("call_1", "weather", '{"at": "Čapljina"}'), Asked("call_2", "tides", '{"at": 1.5}'))
    said = Said(text="I shall look.", thought="A harbour, I think.", seal=seal(wire), calls=calls)
    history.append(await answered(wire, provider, server, history, said))
    results = [("It rains.", False), ("No tides here.", True)]
    asked = history[-1].tool_calls
    history.append(Message.tool(ToolResult(call.id, *result) for call, result in zip(asked, results, strict=True)))
    said = Said(text="A harbour in the rain.", thought="So it is a harbour.", seal=seal(wire))
    history.append(await answered(wire, provider, server, history, said))
    history.append(Message.user("Thank you. And tomorrow?"))
    await provider.aclose()
    return history


@cache
def conversation(name: str) -> tuple[Message, ...]:
    async def run() -> tuple[Message, ...]:
        server = Server()
        await server.open()
        try:
            return tuple(await converse(WIRES[name], server))
        finally:
            await server.close()

    return asyncio.run(run())


async def told_all(wire: Wire, histories: Sequence[Sequence[Message]]) -> list[bytes]:
    """The bodies that the plugin of *wire* sends with each of *histories*."""
    server, bodies = Server(), []
    await server.open()
    provider = wire.make(server.url, 10.0)
    try:
        for messages in histories:
            server.script(http(wire.speech.whole(Said(text="Sun."))))
            completion = await provider.complete(request(wire, messages))
            assert "Sun." == completion.message.text
            bodies.append(json.dumps(server.requests[0], ensure_ascii=False).encode())
    finally:
        await provider.aclose()
        await server.close()
    return bodies


LENGTHS = (3, 5)
"""In the middle of a turn, when thoughts are wanted again, and when the next has begun."""


@cache
def bodies(name: str) -> dict[tuple[str, int], bytes]:
    """What the plugin of a wire sends, by the wire that the conversation was made on and how long it is."""
    cases = [(made, length) for made in WIRES for length in LENGTHS]
    told = told_all(WIRES[name], [conversation(made)[:length] for made, length in cases])
    return dict(zip(cases, asyncio.run(told), strict=True))


@pytest.mark.parametrize("made", WIRES)
def test_each_wire_makes_a_conversation_with_everything_in_it(made):
    """The conversations hold what the pairs are about: thoughts with seals, two calls with results, a picture."""
    history = conversation(made)
    validate_history(history)
    parts = [part for message in history for part in message.parts]
    assert any(isinstance(part, Thinking) and "A harbour, I think." in part.text for part in parts)
    assert seal(WIRES[made]) in json.dumps([part.to_json() for part in parts])
    assert ["weather", "tides"] == [call.name for message in history for call in message.tool_calls]
    assert [{"at": "Čapljina"}, {"at": 1.5}] == [call.arguments for message in history for call in message.tool_calls]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("made", "heard"), PAIRS)
def test_a_conversation_is_accepted_everywhere(made, heard, length):
    """What one provider made, another sends by the rules of its wire, with every word and without foreign secrets."""
    content = bodies(heard)[made, length]
    got = judged(WIRES[heard].rules, content)
    everything = got.everything()
    for message in conversation(made)[:length]:
        assert all(part.text in everything for part in message.parts if isinstance(part, Text))
    assert [("weather", {"at": "Čapljina"}), ("tides", {"at": 1.5})] == got.calls
    assert ["It rains.", "No tides here."] == got.results
    assert 1 == len(got.images)
    assert PNG in got.images[0]
    if made != heard:
        assert seal(WIRES[made]).encode() not in content, "a foreign seal is refused"
        assert b"A harbour, I think." not in content, "a foreign thought is nobody's business"


@pytest.mark.parametrize("name", WIRES)
def test_its_own_thoughts_go_back_where_the_wire_wants_them(name):
    """A wire whose thoughts are needed again gets them: sealed between a call and its result."""
    history = conversation(name)[:3]
    content = WIRES[name].pure(request(WIRES[name], history))
    judged(WIRES[name].rules, content)
    assert seal(WIRES[name]).encode() in content
    assert UNSIGNED.encode() not in content


# -- any legal history --------------------------------------------------------

ODD = [
    "\ud800",
    "a\udc00b",
    "\x00",
    "\u202etxet",
    "😀",
    "\u2028",
    '"\\',
    "</s>[INST]",
    "data: [DONE]\n\n",
    "x" * 3_000,
    "\x7f\x85.",
]
words = st.one_of(st.sampled_from(ODD), st.text(max_size=12)).filter(lambda text: bool(text.strip()))
anything = st.one_of(st.sampled_from(ODD), st.text(max_size=12), st.just(""), st.just(" \n"))
idents = st.sampled_from(["call_1", "call_2", "toolu_01A", "a b/ü", "fc:1|x", "x" * 90, "call-ä", "call_ä", "9"])
names = st.sampled_from(["weather", "tides", "no such tool", "", "two\nlines", "ünï", "a.b:c", "n" * 200])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
arguments = st.dictionaries(words, json_values, max_size=2)
MAKERS = [("openai", "gpt-5"), ("anthropic", "claude-opus-5"), ("gemini", "gemini-3-pro"), ("grok", "grok-4"),
          ("openrouter", "openai/gpt-5"), ("compatible", "qwen3"), ("openai", "gpt-4.1"),
          ("elsewhere", "m")]  # fmt: skip
ITEM = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "SEALAAAA"}
SEALS: dict[str, list[Any]] = {
    "openai": [{"field": "reasoning_content"}, {"item": ITEM}, None],
    "grok": [{"field": "reasoning_content"}, {"item": ITEM}, None],
    "anthropic": [{"signature": "SEALAAAA"}, {"redacted": "SEALAAAA"}, None],
    "gemini": [
               {"signature": "SEALAAAA"}, {"signature": "SEALAAAA", "characters": 0},
               {"signature": "SEALAAAA", "call": "call_1"},
               {"signature": "SEALAAAA", "image": True}, {"signature": "SEALAAAA", "characters": 2}, None],
    "openrouter": [{"field": "reasoning_details", "details": [{"type": "reasoning.encrypted", "data": "SEALAAAA"}]}],
    "compatible": [{"field": "reasoning"}, None],
    "elsewhere": [{"secret": "SEALAAAA"}, "SEALAAAA", ["SEALAAAA"], 7],
}  # fmt: skip
ASIDES: dict[str, list[Any]] = {
    "openai": [{"cost": 0.1}, {"refusal": "No."}],
    "grok": [{"cost": 0.1}],
    "anthropic": [{"citations": [[2, [{"type": "char_location"}]]]}, {"stop_details": {}}],
    "gemini": [{"metadata": {"citationMetadata": [{}]}}],
    "openrouter": [{"cost": 0.1}],
    "compatible": [{"cost": 0.1}],
    "elsewhere": [
        {"block": {"type": "odd"}},
        {"item": {"type": "odd"}},
        {"part": {"odd": 1}},
        {"refusal": "x"},
        [],
        None,
    ],
}


@st.composite
def private(draw: st.DrawFn) -> Thinking | Private:
    provider, model = draw(st.sampled_from(MAKERS))
    if draw(st.booleans()):
        return Private(provider, model, draw(st.sampled_from(ASIDES[provider])))
    sealed = draw(st.sampled_from(SEALS[provider]))
    blank = isinstance(sealed, dict) and bool({"redacted", "characters", "call", "image"} & set(sealed))
    return Thinking("" if blank else draw(words), provider, model, sealed)


pictures = st.sampled_from([
    Image("image/png", data=PNG), Image("image/jpeg", url="https://example.org/a.jpg"),
    Image("image/png", url=f"data:image/png;base64,{PNG}"),
])  # fmt: skip


said = private() | words.map(Text) | pictures


@st.composite
def legal_histories(draw: st.DrawFn) -> list[Message]:
    """Histories as the kernel lets them out, with the last word not the model's."""
    history: list[Message] = []
    for _ in range(draw(st.integers(1, 4))):
        texts = [Text(text) for text in draw(st.lists(words, max_size=2))]
        heard = [*texts, *draw(st.lists(pictures, max_size=1))] or [Text("Go on.")]
        history.append(Message("user", heard))
        for _ in range(draw(st.integers(0, 2))):
            parts: list[Any] = draw(st.lists(said, max_size=3))
            taken = draw(st.lists(idents, min_size=1, max_size=3, unique=True))
            calls = [ToolCall(ident, draw(names), draw(arguments)) for ident in taken]
            broken = ToolCall(taken[0], "weather", {}, "it is not JSON", draw(anything))
            parts += [broken, *calls[1:]] if draw(st.booleans()) else calls
            history.append(Message("assistant", parts))
            history.append(Message.tool(ToolResult(ident, draw(anything), draw(st.booleans())) for ident in taken))
        history.append(
            Message("assistant", draw(st.lists(private() | words.map(Text) | pictures, min_size=1, max_size=4)))
        )
    end = [Message.user("And?")] if history[-1].role == "assistant" else []
    return [*history, *end]


def sound(text: str) -> str:
    """*text* as it can be sent at all."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@settings(max_examples=60, deadline=None)
@given(history=legal_histories())
def test_any_legal_history_becomes_a_legal_body_on_every_wire(history):
    """Whatever the kernel lets out, each wire's plugin writes by the rules, without losing a word or a result."""
    validate_history(history)
    for wire in WIRES.values():
        content = wire.pure(request(wire, history))
        got = judged(wire.rules, content)
        everything = got.everything()
        for message in history:
            assert all(sound(part.text) in everything for part in message.parts if isinstance(part, Text))
            assert all(sound(part.content).strip() in everything for part in message.tool_results)
        calls = [call for message in history for call in message.tool_calls]
        assert len(calls) == len(got.calls)
        for call, (name, arguments) in zip(calls, got.calls, strict=True):
            if call.problem is None:
                assert json.loads(sound(json.dumps(dict(call.arguments), ensure_ascii=False))) == arguments
                assert not NAME.fullmatch(call.name) or call.name == name
        assert sum(isinstance(part, Image) for m in history if m.role == "user" for part in m.parts) <= len(got.images)
