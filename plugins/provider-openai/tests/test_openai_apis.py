"""Which API is used when, how much models think, and what becomes of a schema, through the real SDK."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_core import Message, Request, ToolDefinition
from cloudllm_core.errors import BadRequest, ContextTooLong, ProviderError, ProviderTimeout, SettingsError
from cloudllm_provider_openai import OpenAI


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


loopback = _neighbour("loopback")
ASK = Request(model="gpt-5.6", instructions="Be brief.", messages=(Message.user("Hello."),))
PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
LOOK = ToolDefinition(name="look", description="Look.", parameters={"type": "object", "properties": {}})
CHAT = loopback.http(200, loopback.ANSWER)
RESPONSE = loopback.http(
    200,
    {
        "model": "m-1",
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "CLOUDLLM_REASONING_EFFORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")


def sent(
    monkeypatch: pytest.MonkeyPatch, request: Request, *replies: bytes, home: bool = True, **settings: Any
) -> tuple[Any, list[tuple[str, Any]]]:
    """What comes of *request*, and the path and body of each request that reached the server."""

    async def main() -> tuple[Any, list[tuple[str, Any]]]:
        async with loopback.serving(*replies) as server:
            monkeypatch.setattr(OpenAI, "home", server.url)
            provider = OpenAI(**settings) if home else OpenAI(base_url=server.url, **settings)
            try:
                outcome: Any = await provider.complete(request)
            except ProviderError as problem:
                outcome = problem
            await provider.aclose()
            return outcome, [(first.split()[1], body) for first, _, body in server.requests]

    return asyncio.run(main())


def test_openai_itself_is_asked_by_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """At OpenAI's own address the Responses API is used, and nothing is stored there."""
    found, ((path, body),) = sent(monkeypatch, ASK, RESPONSE)

    assert ("Hi.", "m-1", 5) == (found.message.text, found.model, found.usage.total)
    assert "/v1/responses" == path
    assert {
        "model": "gpt-5.6",
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": "Hello."}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    } == body


def test_any_other_address_is_asked_by_chat_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a base_url is given, as a setting or in the environment, Chat Completions is used unless api says else."""
    assert "/v1/chat/completions" == sent(monkeypatch, ASK, CHAT, home=False)[1][0][0]
    assert "/v1/chat/completions" == sent(monkeypatch, ASK, CHAT, api="chat")[1][0][0]
    assert "/v1/responses" == sent(monkeypatch, ASK, RESPONSE, home=False, api="responses")[1][0][0]

    async def by_environment() -> str:
        async with loopback.serving(CHAT) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            provider = OpenAI()
            await provider.complete(ASK)
            await provider.aclose()
            return str(server.requests[0][0])

    assert "POST /v1/chat/completions HTTP/1.1" == asyncio.run(by_environment())


def test_an_unknown_api_is_named() -> None:
    """A wrong word is refused when the provider is made, from code and from plain data."""
    with pytest.raises(SettingsError, match="expected 'responses' or 'chat'"):
        OpenAI(api="chats")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="Did you mean 'chat'"):
        OpenAI.from_settings({"api": "chats"})


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        ("gpt-5.6", {}, "low"),
        ("o3-mini", {}, "low"),
        ("openai/gpt-5", {}, "low"),
        ("o1-preview", {}, None),
        ("gpt-4o", {}, None),
        ("gpt-5-chat-latest", {}, None),
        ("gpt-5.6", {"reasoning_effort": "high"}, "high"),
        ("gpt-4o", {"reasoning_effort": "high"}, "high"),
        ("gpt-5.6", {"reasoning_effort": None}, None),
    ],
)
def test_effort_comes_from_the_option_or_the_environment(
    model: str, options: dict[str, Any], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable speaks to models that can be told how much to think; the option speaks to any, and wins."""
    monkeypatch.setenv("CLOUDLLM_REASONING_EFFORT", "low")
    request = attrs.evolve(ASK, model=model, options=options)

    (_, response), (_, chat) = (
        sent(monkeypatch, request, RESPONSE)[1][0],
        sent(monkeypatch, request, CHAT, api="chat")[1][0],
    )
    assert (told, told) == (response.get("reasoning", {}).get("effort"), chat.get("reasoning_effort"))


@pytest.mark.parametrize("effort", ["none", ""])
def test_no_effort_is_no_field(effort: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``none`` in the variable leaves the choice to the model."""
    monkeypatch.setenv("CLOUDLLM_REASONING_EFFORT", effort)

    assert "reasoning" not in sent(monkeypatch, ASK, RESPONSE)[1][0][1]


# -- structured output --------------------------------------------------------

REFUSAL = loopback.http(400, {"error": {"message": "'response_format' of type 'json_schema' is not supported"}})


def test_a_schema_is_sent_to_be_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's output schema goes along in the API's own way."""
    request = attrs.evolve(ASK, output=PERSON, tools=(LOOK,))
    response, chat = (
        sent(monkeypatch, request, reply, api=api)[1][0][1] for api, reply in (("responses", RESPONSE), ("chat", CHAT))
    )

    schema = {"name": "answer", "strict": True, "schema": PERSON | {"additionalProperties": False}}
    assert {"type": "json_schema", **schema} == response["text"]["format"]
    assert {"type": "json_schema", "json_schema": schema} == chat["response_format"]


def test_other_servers_are_asked_to_enforce_only_without_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many servers make every answer fit the schema, and so no tool would ever be called."""
    alone, with_tools = attrs.evolve(ASK, output=PERSON), attrs.evolve(ASK, output=PERSON, tools=(LOOK,))

    assert "response_format" in sent(monkeypatch, alone, CHAT, home=False)[1][0][1]
    assert "response_format" not in sent(monkeypatch, with_tools, CHAT, home=False)[1][0][1]


def test_a_server_that_refuses_the_schema_is_asked_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instructions ask for the schema as well, so the call is made once more without the field, within its time."""
    request = attrs.evolve(ASK, output=PERSON)
    found, bodies = sent(monkeypatch, request, REFUSAL, CHAT, home=False)

    assert ("Hi.", [True, False]) == (found.message.text, ["response_format" in body for _, body in bodies])

    async def hang(reader: Any, writer: Any) -> None:
        await reader.read()

    assert ProviderTimeout is type(sent(monkeypatch, request, REFUSAL, hang, home=False, timeout=0.5)[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "reply", "kind"),
    [
        ({"response_format": None}, REFUSAL, BadRequest),
        ({}, loopback.http(400, {"error": {"message": "no such model"}}), BadRequest),
        ({}, loopback.http(400, {"error": {"message": "json schema: prompt is too long"}}), ContextTooLong),
    ],
)
def test_nothing_else_is_asked_again(
    options: dict[str, Any], reply: bytes, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the option ``response_format`` the schema is the agent's own business; other refusals are final."""
    found, bodies = sent(monkeypatch, attrs.evolve(ASK, output=PERSON, options=options), reply, home=False)

    assert (kind, 1) == (type(found), len(bodies))
