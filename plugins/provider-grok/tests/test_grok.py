"""Grok: what is xAI's own, the contract, and what its servers really said."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_core import Message, Private, Provider, Request, Usage
from cloudllm_core.errors import AuthenticationFailed
from cloudllm_core.testing.conformance import ProviderContract
from cloudllm_provider_grok import Grok

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
ASK = Request(model="grok-4.6", instructions="", messages=(Message.user("Hello."),))
KEYS = ("XAI_API_KEY", "XAI_KEY", "GROK_API_KEY")


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
            monkeypatch.setattr(Grok, "home", server.url)
            provider = Grok(**settings)
            try:
                found = await provider.complete(request)
            finally:
                await provider.aclose()
            return found, server.requests[0]

    return asyncio.run(main())


RESPONSE = {
    "model": "grok-4.6",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}],
    "usage": {
        "input_tokens": 329,
        "input_tokens_details": {"cached_tokens": 320},
        "output_tokens": 160,
        "output_tokens_details": {"reasoning_tokens": 149},
        "total_tokens": 489,
        "cost_in_usd_ticks": 4752500,
    },
}


def test_the_key_is_found_under_any_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variable comes first; without any, the error names them all."""
    with pytest.raises(AuthenticationFailed, match="no API key: XAI_API_KEY and XAI_KEY and GROK_API_KEY are not set"):
        asyncio.run(Grok().complete(ASK))
    for name in reversed(KEYS):
        monkeypatch.setenv(name, f"key-in-{name}")
        assert f"Bearer key-in-{name}" == sent(monkeypatch, ASK, RESPONSE)[1][1]["authorization"]


def test_xai_is_asked_by_responses_and_its_price_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """At home the Responses API is used; the price in ticks of 10^-10 dollars is kept in dollars."""
    found, (first, _, body) = sent(monkeypatch, ASK, RESPONSE, api_key="x")

    assert "POST /v1/responses HTTP/1.1" == first
    assert (False, ["reasoning.encrypted_content"]) == (body["store"], body["include"])
    assert Usage(9, 160, 320, 0, 149) == found.usage
    assert (Private("grok", "grok-4.6", {"cost": 0.00047525}),) == found.message.parts[1:]


def test_chat_counts_thoughts_inside_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """xAI's Chat Completions counts them beside it."""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 314,
        "completion_tokens_details": {"reasoning_tokens": 300},
    }
    found, (first, _, _) = sent(monkeypatch, ASK, loopback.ANSWER | {"usage": usage}, api_key="x", api="chat")

    assert "POST /v1/chat/completions HTTP/1.1" == first
    assert Usage(10, 304, 0, 0, 300) == found.usage


@pytest.mark.parametrize(("model", "told"), [("grok-3-mini", True), ("grok-4.6", True), ("grok-4-0709", False)])
def test_effort_goes_to_models_that_take_it(model: str, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable for all agents must not break those whose models refuse it."""
    monkeypatch.setenv("CLOUDLLM_REASONING_EFFORT", "high")
    body = sent(monkeypatch, attrs.evolve(ASK, model=model), RESPONSE, api_key="x")[1][2]

    assert ({"effort": "high"} if told else None) == body.get("reasoning")


def test_server_tools_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option asks xAI to search by itself."""
    request = attrs.evolve(ASK, options={"server_tools": [{"type": "web_search"}]})

    assert [{"type": "web_search"}] == sent(monkeypatch, request, RESPONSE, api_key="x")[1][2]["tools"]


class TestGrokChat(ProviderContract):
    """Chat Completions, through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return Grok(base_url=f"{address}/v1")

    @pytest.fixture
    def failing(self, address: str) -> Sequence[Provider]:
        paths = [f"{address}/broken/v1", f"{address}/cut/v1", "http://127.0.0.1:1/v1"]
        return [Grok(base_url=path) for path in paths]


class TestGrokResponses(ProviderContract):
    """The Responses API, through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return Grok(base_url=f"{address}/v1", api="responses")


RECORDED = {"chat": "openai.chat", "responses": "openai.responses"}


@recorded.needs_traffic
@pytest.mark.parametrize("api", RECORDED)
def test_recorded_answers_are_read_as_expected(api: Any) -> None:
    """What the real server said, whole, streamed, split and cut, is read as expected or listed with its reason."""

    def make(url: str) -> Provider:
        return Grok(base_url=url, api=api)

    cases = recorded.load(RECORDED[api], "grok")
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
            monkeypatch.setattr(Grok, "home", server.url)
            monkeypatch.setenv("XAI_API_KEY", "mine")
            provider = Grok()
            found = await provider.models()
            await provider.aclose()
            first, headers, _ = server.requests[0]
            return found, first, headers["authorization"]

    assert (("a/1", "b/2"), "GET /v1/models HTTP/1.1", "Bearer mine") == asyncio.run(main())
