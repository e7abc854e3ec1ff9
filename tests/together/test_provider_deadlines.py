"""What may take how long, by every provider that speaks HTTP: a connection, the first token, a silence, the call."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from cloudllm_core import Message, Request
from cloudllm_core.errors import ProviderTimeout
from cloudllm_provider_anthropic import Anthropic
from cloudllm_provider_gemini import Gemini
from cloudllm_provider_http import HTTPProvider
from cloudllm_provider_openai import OpenAI

ASK = Request(model="m", instructions="", messages=(Message.user("Hello."),))
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@attrs.frozen
class Wire:
    """A provider, a piece of an answer of its wire, and what keeps a connection open there."""

    provider: type[HTTPProvider]
    content: dict[str, Any]
    pings: list[bytes]

    @property
    def first(self) -> bytes:
        return f"data: {json.dumps(self.content)}\n\n".encode()


WIRES = [
    Wire(
        OpenAI,
        {"model": "m", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]},
        [b": PROCESSING\n\n", b'event: keepalive\ndata: {"type":"keepalive","sequence_number":7}\n\n'],
    ),
    Wire(
        Anthropic,
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}},
        [b'event: ping\ndata: {"type": "ping"}\n\n', b'data: {"type":"ping"}\r\n\r\n'],
    ),
    Wire(
        Gemini,
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}}], "modelVersion": "m"},
        [b": ping\r\n\r\n", b"\n"],
    ),
]
every_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.provider.name)


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """The address of a server on loopback that reads a request and then does as *script* says, until it is hung up."""
    busy: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        acting = asyncio.current_task()
        assert acting is not None
        busy.add(acting)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets close in the next turn of the loop


def late(wire: Wire, script: Script, *, stream: bool = True, scheme: str = "http", **settings: Any) -> ProviderTimeout:
    """The error of a call that does not end in time."""

    async def main() -> ProviderTimeout:
        async with serving(script) as address:
            provider = wire.provider(base_url=f"{scheme}://{address}", api_key="k", **settings)
            try:
                with pytest.raises(ProviderTimeout) as caught:
                    await (provider.stream(ASK, lambda sort, piece: None) if stream else provider.complete(ASK))
                return caught.value
            finally:
                await provider.aclose()

    return asyncio.run(main())


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def pinging(wire: Wire, first: bytes = b"") -> Script:
    """*first*, and then only pings, for ever."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + first)
        while True:
            for ping in wire.pings:
                writer.write(ping)
            await writer.drain()
            await asyncio.sleep(0.01)

    return script


@every_wire
@pytest.mark.parametrize("pings", [False, True], ids=["silence", "pings"])
def test_a_stream_must_begin_in_time(wire: Wire, pings: bool) -> None:
    """A stream that does not begin, or only pings, is given up after `first_token_timeout`, which the error names."""
    error = late(wire, pinging(wire) if pings else hang, first_token_timeout=0.05)

    assert "no answer began within 0.05 seconds" == error.problem
    assert str(error).endswith("within 0.05 seconds. Raise first_token_timeout to wait longer.")


@every_wire
def test_a_stream_must_go_on(wire: Wire) -> None:
    """A stream that has begun and then only pings is given up after `idle_timeout`, which the error names."""
    error = late(wire, pinging(wire, wire.first), idle_timeout=0.05)

    assert "the answer did not go on for 0.05 seconds" == error.problem
    assert str(error).endswith("for 0.05 seconds. Raise idle_timeout to wait longer.")


@every_wire
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_whole_call_must_end_in_time(wire: Wire, stream: bool) -> None:
    """Whatever comes, a call is given up after `timeout`; a call that does not stream knows no other deadline."""
    more = {} if stream else {"first_token_timeout": 0.01, "idle_timeout": 0.01}
    error = late(wire, pinging(wire, wire.first), stream=stream, timeout=0.1, **more)

    assert "no whole answer came within 0.1 seconds" == error.problem
    assert str(error).endswith("within 0.1 seconds. Raise timeout to wait longer.")


@every_wire
def test_a_connection_must_come_about_in_time(wire: Wire) -> None:
    """A server that takes no part in TLS is given up after `connect_timeout`, which the error names."""

    error = late(wire, hang, stream=False, scheme="https", connect_timeout=0.05)

    assert "no connection came about within 0.05 seconds" == error.problem
    assert re.fullmatch(r"Check that https://127.0.0.1:\d+ can be reached, or raise connect_timeout.", error.hint)
