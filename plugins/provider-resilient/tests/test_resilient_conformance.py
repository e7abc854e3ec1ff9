"""The wrapper keeps what every provider promises."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cloudllm_core import Completion, Emit, Provider, Request
from cloudllm_core.errors import AuthenticationFailed, Overloaded
from cloudllm_core.testing import ScriptedProvider
from cloudllm_core.testing.conformance import ProviderContract
from cloudllm_provider_resilient import Resilient


class Echo(ScriptedProvider):
    """Repeats what it is told, after a moment."""

    def __init__(self) -> None:
        super().__init__(lambda request: request.messages[-1].text or "(nothing)", repeat=True)

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0)
        return await super().complete(request)

    async def stream(self, request: Request, emit: Emit) -> Completion:
        await asyncio.sleep(0)
        return await super().stream(request, emit)


def failing() -> Provider:
    return ScriptedProvider(Overloaded("too busy"), repeat=True)


class TestResilient(ProviderContract):
    """With a gate that one call fills."""

    @pytest.fixture
    def provider(self) -> Provider:
        return Resilient(Echo(), maximum=1)

    @pytest.fixture
    def failing(self) -> Sequence[Provider]:
        bad = ScriptedProvider(AuthenticationFailed("no key"), repeat=True)
        return [Resilient(failing()), Resilient(failing(), fallback=[(bad, "m")]), Resilient(bad, gate=False)]


class TestFallback(ProviderContract):
    """Where the first model is always out, the other answers."""

    @pytest.fixture
    def provider(self) -> Provider:
        return Resilient(failing(), fallback=[(Echo(), "other")])
