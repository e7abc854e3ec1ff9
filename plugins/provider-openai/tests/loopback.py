"""A scripted server on loopback, for the tests of all providers on this wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


ANSWER = {
    "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}


def http(status: int, body: Any, headers: dict[str, str] | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content))} | (headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content


def sse(*chunks: Any, done: bool = True) -> bytes:
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + ("data: [DONE]\n\n" if done else "")
    return http(200, body.encode(), {"content-type": "text/event-stream"})


def said(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


@attrs.define(eq=False)
class Server:
    """Answers each request with the next reply (bytes, or a coroutine that writes); the last one repeats."""

    replies: list[bytes | Script]
    url: str = ""
    requests: list[tuple[str, dict[str, str], Any]] = attrs.Factory(list)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = attrs.Factory(list)
    gone: asyncio.Event = attrs.Factory(asyncio.Event)
    """Set when a client hangs up."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"null")
                reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
                self.requests.append((first, headers, body))
                if isinstance(reply, bytes):
                    writer.write(reply)
                    await writer.drain()
                    if b"content-length" not in reply.lower() or b"x-close" in reply:
                        return
                else:
                    await reply(reader, writer)
                    return
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(*replies: bytes | Script) -> AsyncIterator[Server]:
    server = Server(list(replies))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()
        for writer in server.writers:
            writer.transport.abort()  # or one that has more to say would outlive its loop
        for _ in range(3):
            await asyncio.sleep(0)
