"""A team file whose model is a server on loopback that answers with recorded traffic, through the real SDK."""

from __future__ import annotations

import asyncio
import importlib.util
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core import Functions, Orchestration, tool, validate_history
from cloudllm_core.events import LLMContentDelta, ToolExecutionCompleted
from cloudllm_core.testing import Eavesdropper, Notebook

RECORDED = Path(__file__).parents[2].parent / "shared/data/provider-traffic"

TEAM = """
mode = "round-robin"

[[agents]]
name = "ada"
model = {{ name = "openai:gpt-4o-mini", base_url = "{url}/v1" }}
instructions = "Answer with the weather."
"""


@tool(effect="read")
def get_weather(location: str) -> str:
    """The weather.

    Args:
        location: a city
    """
    return f"73 degrees and sunny in {location}"


@pytest.fixture
def server() -> Iterator[Any]:
    if not RECORDED.is_dir():
        pytest.skip("recorded provider traffic is not here (../shared/data/provider-traffic beside the project)")
    spec = importlib.util.spec_from_file_location("replay", RECORDED / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.Replay([str(RECORDED)]) as running:
        yield running
    running._loop.close()  # it leaves that to whoever uses it


def team(url: str, sink: Notebook) -> Orchestration:
    orchestration = Orchestration.from_settings(tomllib.loads(TEAM.format(url=url)), sinks=[sink])
    orchestration.agents[0].add_protocol(Functions([get_weather], name="weather"))
    return orchestration


async def perform(orchestration: Orchestration) -> Any:
    try:
        run = orchestration.run("How is the weather?")
        return await run, run.records
    finally:
        await orchestration.aclose()


@pytest.mark.parametrize(
    ("cases", "sink", "calls", "answer"),
    [
        (("openai-chat-f81bacff", "openai-chat-3602ee57"), Notebook(), ["New York"], "The weather in Florence"),
        (
            ("openai-chat-f635f7d0", "openai-chat-dcd6c2c7"),
            Eavesdropper(),
            ["New York City", "London"],
            "The weather in New York",
        ),
    ],
    ids=["whole", "streamed"],
)
def test_a_turn_with_a_tool_call(
    server: Any, cases: tuple[str, str], sink: Notebook, calls: list[str], answer: str
) -> None:
    """Call, result, answer: the second request carries the calls and their results, and the run replays."""
    orchestration = team(server.url(*cases), sink)

    result, records = asyncio.run(perform(orchestration))

    made = sink.events(ToolExecutionCompleted)
    assert calls == [event.parameters["location"] for event in made]
    assert all(event.success for event in made)
    assert result.require_complete().answer.startswith(answer)
    first, second = (request["json"] for request in server.requests[-2:])
    assert ["system", "user"] == [message["role"] for message in first["messages"]]
    roles = ["system", "user", "assistant", *["tool"] * len(calls)]
    assert roles == [message["role"] for message in second["messages"]]
    assert bool(second.get("stream")) == isinstance(sink, Eavesdropper)
    validate_history(orchestration.agents[0].session.messages)
    if isinstance(sink, Eavesdropper):
        deltas = [signal.text for signal in sink.signals if isinstance(signal, LLMContentDelta)]
        assert result.answer == "".join(deltas)
        assert len(deltas) > 1

    asked = len(server.requests)
    again = asyncio.run(team(server.url(*cases), Notebook()).replay(records))
    assert result.messages == again.messages
    assert asked == len(server.requests)


def test_a_stream_that_is_cut_is_a_failure(server: Any) -> None:
    """What came before the cut is not an answer; the run says so, and the session is as it was."""
    orchestration = team(server.url("openai-chat-dcd6c2c7", cut="0.5"), Eavesdropper())

    result, _ = asyncio.run(perform(orchestration))

    assert not result.complete
    assert "StreamTruncated" in str(result.error)
    assert () == orchestration.agents[0].session.messages
