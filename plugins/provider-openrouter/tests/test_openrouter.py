"""OpenRouter: what is its own, the contract, and what its servers really said."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_core import Message, Private, Provider, Request, Text
from cloudllm_core.errors import AuthenticationFailed, Overloaded, SettingsError
from cloudllm_core.testing.conformance import ProviderContract
from cloudllm_provider_openrouter import OpenRouter

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
ASK = Request(model="openai/gpt-5", instructions="", messages=(Message.user("Hello."),))
KEYS = ("OPENROUTER_API_KEY",)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, "CLOUDLLM_REASONING_EFFORT", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def address() -> Iterator[str]:
    """Where a server listens that repeats what it is told."""
    with echo.echoing() as address:
        yield address


def sent(monkeypatch: pytest.MonkeyPatch, request: Request, reply: Any, **settings: Any) -> tuple[Any, Any]:
    """What comes of *request* at the provider's own address, and what reached the server: first line, headers, body."""

    async def main() -> tuple[Any, Any]:
        async with loopback.serving(loopback.http(200, reply)) as server:
            monkeypatch.setattr(OpenRouter, "home", server.url)
            provider = OpenRouter(**settings)
            try:
                found = await provider.complete(request)
            finally:
                await provider.aclose()
            return found, server.requests[0]

    return asyncio.run(main())


def test_the_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is OpenRouter's own, never OpenAI's."""
    monkeypatch.setenv("OPENAI_API_KEY", "somebody else's")
    with pytest.raises(AuthenticationFailed, match="no API key: OPENROUTER_API_KEY is not set. Set OPENROUTER_API_KEY"):
        asyncio.run(OpenRouter().complete(ASK))
    monkeypatch.setenv("OPENROUTER_API_KEY", "mine")
    assert "Bearer mine" == sent(monkeypatch, ASK, loopback.ANSWER)[1][1]["authorization"]


def test_the_price_is_asked_for_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chat Completions is used; the price in dollars is a private part of the answer, unless nobody wants it."""
    reply = loopback.ANSWER | {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.00045364}}
    found, (first, _, body) = sent(monkeypatch, ASK, reply, api_key="x")
    unasked = attrs.evolve(ASK, options={"usage": None})

    assert "POST /v1/chat/completions HTTP/1.1" == first
    assert {"include": True} == body["usage"]
    assert (Text("Hi."), Private("openrouter", "openai/gpt-5", {"cost": 0.00045364})) == found.message.parts
    assert "usage" not in sent(monkeypatch, unasked, reply, api_key="x")[1][2]


def test_effort_is_said_in_openrouters_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option and the variable become a field of ``reasoning``, beside what else is said there."""
    monkeypatch.setenv("CLOUDLLM_REASONING_EFFORT", "low")
    options = {"reasoning_effort": "high", "reasoning": {"exclude": True}, "max_tokens": 9}
    by_option = sent(monkeypatch, attrs.evolve(ASK, options=options), loopback.ANSWER, api_key="x")[1][2]
    by_variable = sent(monkeypatch, attrs.evolve(ASK, model="z-ai/glm-5"), loopback.ANSWER, api_key="x")[1][2]

    assert ({"effort": "high", "exclude": True}, 9) == (by_option["reasoning"], by_option["max_tokens"])
    assert ({"effort": "low"}, False) == (by_variable["reasoning"], "reasoning_effort" in by_variable)


def test_an_application_may_name_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Address and name go along as headers, which must be such that headers can carry them."""
    settings = {"app_url": "https://example.com", "app_title": "Ada", "headers": {"X-More": "1"}}
    headers = sent(monkeypatch, ASK, loopback.ANSWER, api_key="x", **settings)[1][1]

    assert ("https://example.com", "Ada", "1") == (headers["http-referer"], headers["x-title"], headers["x-more"])
    with pytest.raises(SettingsError, match="app_title: found 'Ada.*', expected printable ASCII text"):
        OpenRouter(app_title="Ada\n")


def test_an_error_inside_a_choice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A maker that fails in the middle is told from one that has ended."""
    error = {"code": 502, "message": "Upstream error", "metadata": {"error_type": "provider_unavailable"}}
    choice = {"index": 0, "message": {"content": "Half a"}, "finish_reason": "error", "error": error}
    with pytest.raises(Overloaded, match="Upstream error"):
        sent(monkeypatch, ASK, {"choices": [choice]}, api_key="x")


class TestOpenRouterChat(ProviderContract):
    """Chat Completions, through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return OpenRouter(base_url=f"{address}/v1")

    @pytest.fixture
    def failing(self, address: str) -> Sequence[Provider]:
        paths = [f"{address}/broken/v1", f"{address}/cut/v1", "http://127.0.0.1:1/v1"]
        return [OpenRouter(base_url=path) for path in paths]


class TestOpenRouterResponses(ProviderContract):
    """The Responses API, through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return OpenRouter(base_url=f"{address}/v1", api="responses")


RECORDED = {"chat": "openai.chat", "responses": "openai.responses"}


@recorded.needs_traffic
@pytest.mark.parametrize("api", RECORDED)
def test_recorded_answers_are_read_as_expected(api: Any) -> None:
    """What the real server said, whole, streamed, split and cut, is read as expected or listed with its reason."""

    def make(url: str) -> Provider:
        return OpenRouter(base_url=url, api=api)

    cases = recorded.load(RECORDED[api], "openrouter")
    streams = [case for case in recorded.streams_of(cases, 30_000) if not case.fails and case.expected["complete"]]
    with recorded.replaying(cases) as server:
        outcomes = recorded.play(server, make, cases, lambda case: case.streams)
        assert [] == recorded.report(cases, outcomes)
        assert {} == recorded.stale(cases, outcomes)
        some = recorded.sample(streams, 12)
        split = recorded.play(server, make, some, lambda case: True, chunk="awkward", crlf=1)
        assert [] == recorded.report(some, split)
        assert [] == recorded.broken_off(server, make, some, 0.5, "close")
        assert [] == recorded.ended_early(server, make, some, 0.6)


def test_the_models_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`models` asks ``/models`` at home, with the key."""

    async def main() -> tuple[tuple[str, ...], str, str]:
        async with loopback.serving(loopback.http(200, {"data": [{"id": "b/2"}, {"id": "a/1"}]})) as server:
            monkeypatch.setattr(OpenRouter, "home", server.url)
            monkeypatch.setenv("OPENROUTER_API_KEY", "mine")
            provider = OpenRouter()
            found = await provider.models()
            await provider.aclose()
            first, headers, _ = server.requests[0]
            return found, first, headers["authorization"]

    assert (("a/1", "b/2"), "GET /v1/models HTTP/1.1", "Bearer mine") == asyncio.run(main())
