"""The provider keeps what every provider promises, against a server on loopback that repeats what it is told."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core import Provider
from cloudllm_core.testing.conformance import ProviderContract
from cloudllm_provider_openai import OpenAI
from cloudllm_provider_openai.provider import Api


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the server listens."""
    for name in ("OPENAI_API_KEY", "OPEN_AI_SECRET", "OPENAI_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with _neighbour("echo").echoing() as address:
        yield address


def failing(address: str, api: Api) -> Sequence[Provider]:
    paths = [f"{address}/broken/v1", f"{address}/cut/v1", "http://127.0.0.1:1/v1"]
    return [OpenAI(base_url=path, api=api) for path in paths]


class TestChat(ProviderContract):
    """Chat Completions, through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return OpenAI(base_url=f"{address}/v1")

    @pytest.fixture
    def failing(self, address: str) -> Sequence[Provider]:
        return failing(address, "chat")


class TestResponses(ProviderContract):
    """The Responses API, through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return OpenAI(base_url=f"{address}/v1", api="responses")

    @pytest.fixture
    def failing(self, address: str) -> Sequence[Provider]:
        return failing(address, "responses")
