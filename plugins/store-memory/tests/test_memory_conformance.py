"""The memory store keeps what every store promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Store
from cloudllm_core.testing.conformance import StoreContract
from cloudllm_store_memory import MemoryStore


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


class TestMemory(StoreContract):
    """A dictionary with a clock that tests can set."""

    @pytest.fixture
    def store(self) -> Store:
        self.clock = Clock()
        return MemoryStore(self.clock)

    async def advance(self, store: Store, seconds: float) -> None:
        self.clock.time += seconds
