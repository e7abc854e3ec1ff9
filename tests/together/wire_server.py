"""A server on loopback that does as it is told, well or badly; each connection carries one call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

Script = Callable[["Server", asyncio.StreamWriter], Awaitable[None]]
Reply = bytes | Script

CHUNK = 64 * 1024


def http(body: bytes | str, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    lines = {"content-type": kind, "content-length": str(len(content)), "connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + content


def sse(body: bytes | str, **headers: str) -> bytes:
    """A stream that ends with its connection."""
    return http(body, kind="text/event-stream", **({"content_length": ""} | headers))


@attrs.define(eq=False)
class Server:
    """Answers each request with the next of *replies*; the last one repeats."""

    replies: list[Reply] = attrs.Factory(list)
    requests: list[Any] = attrs.Factory(list)
    """The bodies that came, parsed."""

    sent: int = 0
    """Bytes that scripts sent."""

    url: str = ""
    _listening: asyncio.Server | None = None
    _busy: set[asyncio.Task[None]] = attrs.Factory(set)

    async def open(self) -> None:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        assert self._listening is not None
        self._listening.close()
        for task in tuple(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)
        await self._listening.wait_closed()

    def script(self, *replies: Reply) -> None:
        """Begin anew."""
        self.replies, self.requests, self.sent = list(replies), [], 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client hung up, as it may
        except asyncio.CancelledError:
            writer.transport.abort()  # or one that has more to say would outlive its loop
        finally:
            self._busy.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first != b"P":
            return  # no POST: somebody speaks TLS here
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.lower().split(": ", 1) for line in head.strip().split("\r\n")[1:])
        self.requests.append(json.loads(await reader.readexactly(int(fields["content-length"]))))
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if isinstance(reply, bytes):
            writer.write(reply)
            await writer.drain()
            return
        acting = asyncio.ensure_future(reply(self, writer))
        leaving = asyncio.ensure_future(reader.read())  # ends when the client hangs up
        try:
            await asyncio.wait({acting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (acting, leaving):
                each.cancel()
            await asyncio.gather(acting, leaving, return_exceptions=True)


def dripping(first: bytes, piece: bytes, every: float = 0.02) -> Script:
    """*first*, then *piece* again and again, slowly, for ever."""

    async def drip(server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            await writer.drain()
            await asyncio.sleep(every)
            writer.write(piece)

    return drip


def endless(first: bytes, piece: bytes) -> Script:
    """*first*, then *piece* for ever, as fast as it is read."""

    async def pour(server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(piece)
            server.sent += len(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return pour


def in_pieces(content: bytes, size: int) -> Script:
    async def dribble(server: Server, writer: asyncio.StreamWriter) -> None:
        for at in range(0, len(content), size):
            writer.write(content[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)

    return dribble


def resetting(first: bytes = b"") -> Script:
    """*first*, then no goodbye."""

    async def reset(server: Server, writer: asyncio.StreamWriter) -> None:
        import socket
        import struct

        writer.write(first)
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return reset
