"""Any server by its address, the presets, the contract, and what such servers really said."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_core import Agent, Message, Provider, Request, Text, Thinking, ToolCall, ToolDefinition, ToolResult
from cloudllm_core.errors import AuthenticationFailed, SettingsError
from cloudllm_core.testing.conformance import ProviderContract
from cloudllm_provider_compatible import Compatible

FOLDER = Path(__file__).parents[2] / "provider-openai" / "tests"
"""Where the servers and the recorded traffic of this wire are kept."""


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


echo, loopback, recorded = map(_neighbour, ("echo", "loopback", "recorded"))
ASK = Request(model="m", instructions="", messages=(Message.user("Hello."),))
LOOK = ToolDefinition(name="look", description="Look.", parameters={"type": "object", "properties": {}})
PRESETS: dict[str, type[Compatible]] = {
    point.name: importlib.import_module(point.value).cloudllm_register_provider()
    for point in entry_points(group="cloudllm.provider")
    if point.value.startswith("cloudllm_provider_compatible.")
}
HOSTED = sorted(name for name, preset in PRESETS.items() if preset.needs_key)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key for preset in PRESETS.values() for key in preset.key_variables]
    for name in (*keys, "CLOUDLLM_REASONING_EFFORT", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "somebody else's")


@pytest.fixture
def address() -> Iterator[str]:
    """Where a server listens that repeats what it is told."""
    with echo.echoing() as address:
        yield address


def sent(kind: type[Compatible], request: Request, *replies: bytes, **settings: Any) -> tuple[Any, list[Any]]:
    """What comes of *request*, and what reached the server: first lines, headers, bodies."""

    async def main() -> tuple[Any, list[Any]]:
        async with loopback.serving(*(replies or [loopback.http(200, loopback.ANSWER)])) as server:
            provider = kind(base_url=server.url, **settings)
            try:
                found = await provider.complete(request)
            finally:
                await provider.aclose()
            return found, server.requests

    return asyncio.run(main())


# -- any server ---------------------------------------------------------------


def test_a_server_is_reached_by_its_address_without_anybodys_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is taken from the environment unless the setting names it."""
    found, ((first, headers, body),) = sent(Compatible, ASK)
    monkeypatch.setenv("MINE", "mine")

    assert ("Hi.", "POST /v1/chat/completions HTTP/1.1") == (found.message.text, first)
    assert "Bearer no-key-needed" == headers["authorization"]
    assert {"model": "m", "messages": [{"role": "user", "content": "Hello."}]} == body
    assert "Bearer mine" == sent(Compatible, ASK, api_key_env="MINE")[1][0][1]["authorization"]


def test_without_an_address_there_is_no_server() -> None:
    """The error says what is missing and how to write it, from code and from a team file."""
    with pytest.raises(SettingsError) as caught:
        Compatible()

    assert (
        "base_url: found nothing, expected the server's address."
        " Write it as in base_url = 'http://localhost:8000/v1'." == str(caught.value)
    )
    with pytest.raises(SettingsError, match="expected the server's address"):
        Compatible.from_settings({"text_tools": True})


# -- presets ------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_knows_its_server(name: str) -> None:
    """It has the name it is installed under, an address, and no key of somebody else's."""
    preset = PRESETS[name]

    assert name == preset.name
    assert preset.home.startswith("https://" if preset.needs_key else "http://localhost:")
    assert "OPENAI_API_KEY" not in preset.key_variables
    assert preset().text_tools is False


@pytest.mark.parametrize("name", HOSTED)
def test_a_hosted_preset_asks_for_its_own_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, the error names the variable before anything is sent; with one, it is sent."""
    variable = PRESETS[name].key_variables[0]
    with pytest.raises(AuthenticationFailed, match=f"there is no API key: {variable} .*Set {variable}, or pass"):
        asyncio.run(PRESETS[name]().complete(ASK))
    monkeypatch.setenv(variable, "mine")

    assert "Bearer mine" == sent(PRESETS[name], ASK)[1][0][1]["authorization"]


def test_there_are_presets_of_both_kinds() -> None:
    """The list in the README is not empty by accident."""
    assert {"ollama", "llamacpp", "vllm", "lmstudio"} == {*PRESETS} - {*HOSTED}
    assert {"deepseek", "mistral", "groq"} <= {*HOSTED}


def test_mistral_gets_ids_of_its_kind() -> None:
    """A conversation made elsewhere is accepted: each id has nine letters and digits, the same for call and result."""
    calls = [ToolCall(ident, "look") for ident in ("toolu_0123456789", "call_1", "abcDEF123")]
    messages = (
        Message.user("Hi."),
        Message.assistant("", *calls),
        Message.tool([ToolResult(call.id, "nothing") for call in calls]),
    )
    _, made, *results = sent(PRESETS["mistral"], attrs.evolve(ASK, messages=messages), api_key="x")[1][0][2]["messages"]
    ids = [call["id"] for call in made["tool_calls"]]

    assert ids == [result["tool_call_id"] for result in results]
    assert ("abcDEF123", 3) == (ids[2], len(set(ids)))
    assert all(len(each) == 9 and each.isalnum() for each in ids)


@pytest.mark.parametrize(("name", "back"), [("deepseek", True), ("groq", False), ("mistral", False)])
def test_thoughts_go_back_to_those_who_take_them(name: str, back: bool) -> None:
    """DeepSeek wants its thoughts again between calls; others refuse the whole request for them."""
    thought = Thinking("Hm.", name, "m", {"field": "reasoning_content"})
    messages = (
        Message.user("Hi."),
        Message("assistant", [thought, ToolCall("a", "look")]),
        Message.tool([ToolResult("a", "nothing")]),
    )
    body = sent(PRESETS[name], attrs.evolve(ASK, messages=messages), api_key="x")[1][0][2]

    assert back == ("reasoning_content" in body["messages"][1])


@pytest.mark.parametrize(("name", "enforced"), [("deepseek", False), ("groq", True)])
def test_schemas_are_enforced_by_those_who_can(name: str, enforced: bool) -> None:
    """Where a server knows no schemas the instructions alone ask for it."""
    body = sent(PRESETS[name], attrs.evolve(ASK, output={"type": "object", "properties": {}}), api_key="x")[1][0][2]

    assert enforced == ("response_format" in body)


def test_effort_speaks_to_models_that_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable reaches known models of a preset and no others."""
    monkeypatch.setenv("CLOUDLLM_REASONING_EFFORT", "low")
    told = [
        sent(PRESETS["groq"], attrs.evolve(ASK, model=model), api_key="x")[1][0][2].get("reasoning_effort")
        for model in ("openai/gpt-oss-120b", "llama-3.3-70b-versatile")
    ]

    assert ["low", None] == told


# -- tools as text ------------------------------------------------------------


def test_an_agent_uses_tools_of_a_server_that_has_none() -> None:
    """The tool runs with what the model wrote, its result goes back as words, and the stream shows words only."""

    def answer(text: str) -> bytes:
        return bytes(loopback.sse(*map(loopback.said, text), loopback.said("", "stop")))

    def look(at: str) -> str:
        """Look at something."""
        return f"{at} is smooth"

    call = json.dumps({"tool_call": {"name": "look", "parameters": {"at": "the {sea}"}}})

    async def main() -> tuple[list[str], list[Any]]:
        async with loopback.serving(answer(f"I look.\n{call}"), answer("Smooth.")) as server:
            settings = {"name": "compatible:m", "base_url": server.url, "text_tools": True}
            agent = Agent("ada", settings, tools=[look])
            pieces = [piece async for piece in agent.stream("Do we sail?")]
            await agent.provider.aclose()
            return pieces, [body for _, _, body in server.requests]

    pieces, (first, second) = asyncio.run(main())
    assert "I look.Smooth." == "".join(pieces).replace("\n", "")
    assert "tools" not in first
    assert "- look: Look at something." in first["messages"][0]["content"]
    assert [
        {"role": "user", "content": "Do we sail?"},
        {"role": "assistant", "content": f"I look.\n{call}"},
        {"role": "user", "content": "Result of look:\nthe {sea} is smooth"},
    ] == second["messages"][1:]


# -- the contract -------------------------------------------------------------


class TestCompatible(ProviderContract):
    """Through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return Compatible(base_url=f"{address}/v1")

    @pytest.fixture
    def failing(self, address: str) -> Sequence[Provider]:
        paths = [f"{address}/broken/v1", f"{address}/cut/v1", "http://127.0.0.1:1/v1"]
        return [Compatible(base_url=path) for path in paths]


class TestTextTools(ProviderContract):
    """With tools as text."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return Compatible(base_url=f"{address}/v1", text_tools=True)


class TestMistral(ProviderContract):
    """A preset with a body of its own."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return PRESETS["mistral"](base_url=f"{address}/v1", api_key="x")


# -- what servers said --------------------------------------------------------

RECORDED = sorted({*PRESETS} - {"vllm", "lmstudio"})
"""Presets of whose servers there is recorded traffic."""


def _recorded(name: str, number: int) -> None:
    def make(url: str) -> Provider:
        return PRESETS[name](base_url=url, api_key="x")

    cases = recorded.sample(recorded.load("openai.chat", name), number)
    with recorded.replaying(cases) as server:
        outcomes = recorded.play(server, make, cases, lambda case: case.streams)
        assert [] == recorded.report(cases, outcomes)
        assert {} == recorded.stale(cases, outcomes)
        streams = [case for case in recorded.streams_of(cases, 30_000) if not case.fails][: number // 4]
        split = recorded.play(server, make, streams, lambda case: True, chunk="awkward", crlf=1)
        assert [] == recorded.report(streams, split)
        assert [] == recorded.broken_off(server, make, streams, 0.5, "close")


@recorded.needs_traffic
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_answers_are_read_as_expected(name: str) -> None:
    """What real servers said, whole, streamed, split and cut, is read as expected or listed with its reason."""
    _recorded(name, 16)


@recorded.needs_traffic
@pytest.mark.soak
@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_answer_is_read_as_expected(name: str) -> None:
    """The same of every case."""
    _recorded(name, 10_000)


@recorded.needs_traffic
def test_text_tools_change_no_answer_without_calls() -> None:
    """Real answers to requests without tools are the same with the setting and without."""
    cases = recorded.sample([case for case in recorded.load("openai.chat", "llamacpp") if not case.fails], 20)
    with recorded.replaying(cases) as server:
        plain, texts = (
            recorded.play(
                server, lambda url, on=on: Compatible(base_url=url, text_tools=on), cases, lambda case: case.streams
            )
            for on in (False, True)
        )

    assert plain == texts
    assert any(isinstance(part, Text) for answer in plain for part in answer.message.parts)


def test_the_models_are_listed() -> None:
    """`models` asks ``/models`` at the base_url, with the key if one is given, also where tools go as text."""

    async def main() -> tuple[tuple[str, ...], str, str]:
        async with loopback.serving(loopback.http(200, {"data": [{"id": "b/2"}, {"id": "a/1"}]})) as server:
            provider = Compatible(base_url=server.url, api_key="mine", text_tools=True)
            found = await provider.models()
            await provider.aclose()
            first, headers, _ = server.requests[0]
            return found, first, headers["authorization"]

    assert (("a/1", "b/2"), "GET /v1/models HTTP/1.1", "Bearer mine") == asyncio.run(main())
