"""
What the checks of the HTTP tool cost: CPU of one GET against bare httpx2, on one server on loopback in one run.

The server answers from memory in the same process, so its share is in both figures alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2

from cloudllm_core import ToolContext
from cloudllm_tool_http import Http

from ._measure import Row, cpu_microseconds

REQUESTS = 300
BODY = b'{"tide": "low", "at": "' + b"x" * 2_000 + b'"}'
ANSWER = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    """A port that answers whatever it is asked."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ANSWER)
        except asyncio.IncompleteReadError:
            writer.close()

    listening = await asyncio.start_server(play, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def measured() -> tuple[float, float]:
    """Microseconds of CPU for one request: bare, and as a tool."""
    async with server() as port:
        url = f"http://127.0.0.1:{port}/tides"
        web = Http(private=["127.0.0.1"], ports=[port])

        async with httpx2.AsyncClient(trust_env=False) as client:

            async def bare() -> int:
                for _ in range(REQUESTS):
                    response = await client.get(url, params={"page": "1"})
                    assert response.text
                return REQUESTS

            async def tool() -> int:
                for _ in range(REQUESTS):
                    result = await web.call("http_get", {"url": url, "query": {"page": 1}}, CONTEXT)
                    assert result["body"]
                return REQUESTS

            figures = await cpu_microseconds(bare), await cpu_microseconds(tool)
        await web.aclose()
        await asyncio.sleep(0)
        return figures


def rows() -> Iterator[Row]:
    bare, tool = asyncio.run(measured())
    yield Row("a GET by bare httpx2", bare, "us")
    yield Row("a GET by http_get", tool, "us")
    yield Row("  it against the bare one", tool / bare, "x", 1.0)


if __name__ == "__main__":
    for row in rows():
        print(row)
