"""The memory keeps what every tool protocol promises, and its command what every command does."""

from __future__ import annotations

import asyncio

import pytest

from cloudllm_core import Command, ToolProtocol
from cloudllm_core.testing.conformance import CommandContract, ToolProtocolContract
from cloudllm_store_memory import MemoryStore
from cloudllm_tool_memory import Memory
from cloudllm_tool_memory.command import MemoryCommand

WORDS = (
    "P",
    "GET",
    "L a:*",
    "L META",
    "T A",
    "SPEC",
    'P a "b c" 60',
    "G plan META",
    "plan",
    "teams:x:y",
    "memory:x",
    "a b",
)
TEXT = (
    ("memory", {"command": "P page <p>One</p> two"}),
    ("memory", {"command": "PUT", "key": "a b", "value": "c\n d 60", "ttl": 60}),
    ("memory", {"command": "GET plan META"}),
    ("memory", {"command": "L META"}),
    ("memory", {"command": "T A"}),
    ("memory", {"command": "SPEC"}),
)
TYPED = (
    ("memory_put", {"key": "n", "value": {"a": [1, None]}, "ttl": 0.5}),
    ("memory_get", {"key": "plan"}),
    ("memory_list", {}),
    ("memory_delete", {"key": "nothing"}),
)  # fmt: skip


def filled() -> MemoryStore:
    store = MemoryStore()
    asyncio.run(store.put("plan", "The sea", 3600))
    return store


class TestBothForms(ToolProtocolContract):
    """Text and typed tools."""

    words = WORDS
    calls = (*TEXT, *TYPED)

    @pytest.fixture
    def protocol(self) -> ToolProtocol:
        return Memory(filled())


class TestText(ToolProtocolContract):
    """The text tool alone, which may clear."""

    words = WORDS
    calls = (*TEXT, ("memory", {"command": "CLEAR"}))

    @pytest.fixture
    def protocol(self) -> ToolProtocol:
        return Memory(filled(), form="text", allow_clear=True)


class TestTyped(ToolProtocolContract):
    """The typed tools alone, in a store of their own."""

    words = WORDS
    calls = (TYPED[0], TYPED[2], TYPED[3])

    @pytest.fixture
    def protocol(self) -> ToolProtocol:
        return Memory(form="typed", namespace="plan")


class TestReadOnly(ToolProtocolContract):
    """Tools that only read, which therefore are called with anything."""

    words = WORDS
    calls = (*TEXT[2:], *TYPED[1:3])

    @pytest.fixture
    def protocol(self) -> ToolProtocol:
        return Memory(filled(), read_only=True)


class TestMemoryCommand(CommandContract):
    """`cloudllm memory`."""

    examples = (
        ["get", "plan", "--store", "sqlite:team.db"],
        ["put", "plan", "The sea", "--ttl", "60", "--store", "sqlite:team.db", "--namespace", "plan"],
        ["list", "teams:", "--meta", "--json", "--store", "sqlite:team.db"],
        ["snapshot", "--store", "sqlite:team.db"],
        ["restore", "team.json", "--store", "sqlite:team.db"],
    )

    @pytest.fixture
    def command(self) -> Command:
        return MemoryCommand()


@pytest.mark.parametrize(
    ("settings", "effects"),
    [
        (
            {},
            {"memory": "idempotent", "memory_get": "read", "memory_list": "read", "memory_put": "idempotent",
             "memory_delete": "idempotent"},
        ),
        ({"read_only": True}, {"memory": "read", "memory_get": "read", "memory_list": "read"}),
        ({"form": "text"}, {"memory": "idempotent"}),
        ({"form": "typed", "read_only": True}, {"memory_get": "read", "memory_list": "read"}),
    ],
)  # fmt: skip
def test_each_tool_says_what_repeating_it_does(settings: dict[str, object], effects: dict[str, str]) -> None:
    """Reading changes nothing, and nothing it does happens twice."""
    assert effects == {tool.name: tool.effect for tool in Memory.from_settings(settings).tools()}
