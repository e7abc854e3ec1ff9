"""A store whose clock stands still until a test moves it, a memory over it, and a way to call its tools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from cloudllm_core import ToolContext
from cloudllm_store_memory import MemoryStore
from cloudllm_tool_memory import Memory, MemoryFault

CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)


@attrs.define
class Clock:
    """The time; tests add to it."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


Tell = Callable[..., Any]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def memory(store: MemoryStore) -> Memory:
    return Memory(store)


@pytest.fixture(scope="session")
def tell() -> Tell:
    """Calls the text tool; gives what it answers, or the text of its refusal."""
    return lambda memory, command, **arguments: _told(memory, "memory", command=command, **arguments)


@pytest.fixture(scope="session")
def use() -> Tell:
    """Calls any tool by its name; gives what it answers, or the text of its refusal."""
    return _told


def _told(memory: Memory, tool: str, /, **arguments: Any) -> Any:
    try:
        return asyncio.run(memory.call(tool, arguments, CONTEXT))
    except MemoryFault as fault:
        return str(fault)
