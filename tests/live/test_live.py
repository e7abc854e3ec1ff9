"""
A handful of real calls to one provider: ``nox -s live -- PROVIDER``. They cost a cent or so, and never run in CI.

=========================  =====================================================================
``CLOUDLLM_LIVE``          the provider; without it nothing here is collected
``CLOUDLLM_LIVE_MODEL``    the model; else that of `CHEAP`, else the first that the provider lists
``CLOUDLLM_LIVE_BASE_URL`` where its server is, if not at home
the key's own variable     such as ``OPENAI_API_KEY``; a provider that needs a key is skipped without it
=========================  =====================================================================
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import pytest

from cloudllm_core import Agent, Image, Message, Provider, Registry, Request, Text, default_registry, tool
from cloudllm_core.errors import AuthenticationFailed

T = TypeVar("T")

NAME = os.environ.get("CLOUDLLM_LIVE", "")
WHERE = {"base_url": url} if (url := os.environ.get("CLOUDLLM_LIVE_BASE_URL")) else {}

CHEAP = {
    "anthropic": "claude-haiku-4-5",
    "deepseek": "deepseek-flash",
    "gemini": "gemini-3.5-flash-lite",
    "grok": "grok-4-1-fast-non-reasoning",
    "groq": "openai/gpt-oss-20b",
    "mistral": "mistral-small-latest",
    "openai": "gpt-5.4-mini",
    "openrouter": "~openai/gpt-mini-latest",
}
"""A cheap model of each provider that can use tools and see, where there is one."""

BLIND = ("cerebras", "deepseek", "groq")
"""Providers whose cheap models see no images."""

CAP = 2000
"""Tokens one answer may have, thoughts included."""


@pytest.fixture(scope="module", autouse=True)
def key() -> None:
    """Skip everything where the provider needs a key and there is none."""
    kind: Any = default_registry().provider(NAME)
    variables: tuple[str, ...] = getattr(kind, "key_variables", ())
    if getattr(kind, "needs_key", True) and not WHERE and not any(map(os.environ.get, variables)):
        pytest.skip(f"{NAME} needs a key: set {variables[0]}")


def with_provider(use: Callable[[Provider], Awaitable[T]], **settings: Any) -> T:
    """What *use* makes of a provider, which is closed again."""

    async def main() -> T:
        provider: Provider = default_registry().build("provider", {"name": NAME, **WHERE, **settings})
        try:
            return await use(provider)
        finally:
            await provider.aclose()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def model(key: None) -> str:
    asked = os.environ.get("CLOUDLLM_LIVE_MODEL") or CHEAP.get(NAME)
    return asked or with_provider(lambda provider: provider.models())[0]


def ask(model: str, text: str, **settings: Any) -> Any:
    """The reply of an agent, and the agent's connection is closed after it."""

    async def main() -> Any:
        registry = Registry.from_environment(os.environ)
        try:
            named = {"name": f"{NAME}:{model}", **WHERE}
            return await Agent("ada", named, max_output=CAP, registry=registry, **settings).send(text)
        finally:
            await registry.aclose()

    return asyncio.run(main())


def test_a_plain_answer(model: str) -> None:
    """A question is answered, and what it took is counted."""
    reply = ask(model, "What is 6 times 7? Answer with the number alone.")

    assert "42" in reply.text
    assert reply.usage.total > 0


def test_a_tool_is_called_and_its_result_used(model: str) -> None:
    """A tool that the question needs is called with good arguments, and its result is in the answer."""
    doors: list[str] = []

    @tool
    def door_code(door: str) -> str:
        """The code of a door, which only this tool knows."""
        doors.append(door)
        return "73519"

    reply = ask(model, "Look up the code of the north door and tell it to me.", tools=[door_code])

    assert doors
    assert all("north" in door.lower() for door in doors)
    assert "73519" in reply.text.replace(" ", "").replace(",", "")


def test_a_stream_is_its_answer(model: str) -> None:
    """The pieces of a stream are the answer, in order."""
    pieces: list[str] = []
    request = Request(model=model, instructions="", messages=(Message.user("Count from 1 to 30."),), max_output=CAP)

    def emit(sort: str, piece: str) -> None:
        if sort == "content":
            pieces.append(piece)

    answer = with_provider(lambda provider: provider.stream(request, emit))

    assert "30" in answer.message.text
    assert answer.message.text == "".join(pieces)


@attrs.frozen
class City:
    """What there is to know of a city."""

    name: str
    country: str
    inhabitants: int


def test_an_answer_of_a_type(model: str) -> None:
    """An agent with an output type answers with an instance of it."""
    city = ask(model, "Which city is the capital of France?", output=City).output

    assert ("Paris", "France") == (city.name, city.country)
    assert city.inhabitants > 100_000


def red_square() -> bytes:
    """A PNG of 64 by 64 red dots."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    rows = (b"\x00" + b"\xff\x00\x00" * 64) * 64
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.skipif(NAME in BLIND, reason="its cheap models see no images")
def test_an_image_is_seen(model: str) -> None:
    """An image that is sent along as data is understood."""
    picture = Image("image/png", data=base64.b64encode(red_square()).decode())
    question = Message("user", (Text("Which colour is this square? Answer with one word."), picture))
    request = Request(model=model, instructions="", messages=(question,), max_output=CAP)

    assert "red" in with_provider(lambda provider: provider.complete(request)).message.text.lower()


def test_the_models_are_listed(model: str) -> None:
    """The list has the model that is asked here, and is sorted."""
    models = with_provider(lambda provider: provider.models())

    assert sorted(models) == list(models)
    assert model in models or any(name.startswith(model) for name in models)  # or by its alias


def test_a_wrong_key_is_said(model: str) -> None:
    """A key that is none is `AuthenticationFailed`, and is not printed."""
    if not getattr(default_registry().provider(NAME), "needs_key", True):
        pytest.skip(f"{NAME} needs no key")
    wrong = "sk-wrong-0123456789abcdef"
    request = Request(model=model, instructions="", messages=(Message.user("Hello."),), max_output=CAP)
    with pytest.raises(AuthenticationFailed) as caught:
        with_provider(lambda provider: provider.complete(request), api_key=wrong)

    assert "api_key" in str(caught.value)
    assert wrong not in str(caught.value)
