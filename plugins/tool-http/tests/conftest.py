"""
A network that is not there, and a server on loopback that does as it is told.

`Net` stands for the system's resolver and its sockets: it writes down who is dialled, and lets nobody
through. `served` is the one thing here that really listens.
"""

# ruff: noqa: ASYNC109 -- the engine's interface has timeouts

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import httpcore2
import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Wire(httpcore2.AsyncNetworkStream):
    """One connection: each request on it gets the next answer of its network."""

    def __init__(self, net: Net) -> None:
        self.net, self.waiting = net, b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await asyncio.sleep(0)
        piece, self.waiting = self.waiting[:max_bytes], self.waiting[max_bytes:]
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.net.heard.append(bytes(buffer))
        if b"HTTP/1.1\r\n" in buffer:
            self.waiting += self.net.answers.pop(0) if self.net.answers else OK

    async def aclose(self) -> None:
        self.net.closed += 1

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        self.net.names.append(server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        return False if info == "is_readable" else None


@attrs.define(eq=False)
class Net:
    """What a request meets: *dns* gives a name's successive answers; the *answers* are served in order."""

    dns: Mapping[str, Sequence[Sequence[str]]] = attrs.Factory(dict)
    answers: list[bytes] = attrs.Factory(list)
    asked: list[str] = attrs.Factory(list)
    dialled: list[tuple[str, int]] = attrs.Factory(list)
    heard: list[bytes] = attrs.Factory(list)
    names: list[str | None] = attrs.Factory(list)
    """For which names TLS was begun."""

    deaf: set[str] = attrs.Factory(set)
    """Addresses that do not answer."""

    closed: int = 0

    async def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host in self.dns:
            answers = self.dns[host]
            return answers[min(self.asked.count(host), len(answers)) - 1]
        if host.endswith("localhost") or host in {"localhost.localdomain", "ip6-loopback"}:
            return ["127.0.0.1", "::1"]
        try:  # as systems do
            return [socket.inet_ntoa(socket.inet_aton(host))]
        except OSError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    async def dial(self, address: str, port: int, seconds: float) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((address, port))
        ipaddress.ip_address(address)  # a name here would be looked up again
        if address in self.deaf:
            raise OSError(101, "Network is unreachable")
        return Wire(self)

    def redirect(self, status: int, location: str) -> Net:
        lines = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        self.answers.append(lines.encode())
        return self


Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(play: Play) -> AsyncIterator[int]:
    """A server on loopback at a port of the system's choice; *play* has one connection each."""

    playing = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        playing.add(asyncio.current_task())
        # The client goes away, as it may; or the test is over.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await play(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _ in range(10):  # who has just come in begins, and what was ended is closed
            for task in playing:
                task.cancel()
            await asyncio.sleep(0)


@pytest.fixture
def net() -> Net:
    """A network of public hosts, none of which is really there."""
    return Net({"public.example": [["93.184.216.34"]], "other.example": [["1.1.1.1"]]})


@pytest.fixture(scope="session")
def make_net() -> type[Net]:
    return Net


@pytest.fixture(scope="session")
def serve() -> Any:
    return served


@pytest.fixture(autouse=True)
def nobody_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test does, nothing but loopback is reached, and no system is asked for a name."""

    async def only_loopback(self: Any, host: str, port: int, **more: Any) -> Any:
        assert "127.0.0.1" == host, f"{host} was really dialled"
        return await real(self, host, port, **more)

    async def nobody(*args: Any, **more: Any) -> Any:
        raise AssertionError(f"the system was asked for {args}")

    real = httpcore2.AnyIOBackend.connect_tcp
    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", only_loopback)
    monkeypatch.setattr("cloudllm_tool_http.door.look_up", nobody)
