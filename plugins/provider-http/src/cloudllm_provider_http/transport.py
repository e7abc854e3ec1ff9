"""How bytes travel: HTTP/1.1 on asyncio, a connection for each call in flight. Imported once a client is opened."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import h11
import httpx2

EVERYWHERE = "all://*"
"""Where to mount a `Transport` in a client: for all addresses; a proxy that the environment names goes before."""

MOST = 1000
"""Calls in flight at once; more wait for their turn."""

IDLE = 5.0
"""Seconds after which an unused connection is not used again."""

HEAD = 100 * 1024
"""Bytes that the head of an answer may have."""

BUFFER = 256 * 1024
"""Bytes that may wait to be read before the server is told to wait."""

_KEPT_ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5))
"""Seconds of silence, seconds between questions, questions, after which a peer is taken for gone."""


class Transport(httpx2.AsyncBaseTransport):
    """
    Lends each call a connection of its own; the one used last is used next.

    The pool of the HTTP library looks through all its connections twice in each call, and asks the socket of each
    idle one whether it still stands: with 200 agents that is more work than the calls are. What it does beside
    (several protocols, locks, a timer for each read) is not needed here: a call has its deadlines already. The
    addresses of a host are tried one after the other.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        trust.set_alpn_protocols(["http/1.1"])
        self._trust = trust
        self._turns = asyncio.Semaphore(MOST)
        self._idle: deque[Line] = deque()
        self._closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """
        Send *request*; its connection is free again once the response is closed.

        Raises:
            httpx2.TransportError: in its most fitting subclass.
        """
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        content = b"".join([piece async for piece in request.stream])
        await self._turns.acquire()
        line: Line | None = None
        try:
            line = self._known(request.url) or await self._connected(request)
            answer = await line.ask(request, content)
        except BaseException:
            self._put_back(line)
            raise
        extensions = {"http_version": b"HTTP/" + answer.http_version, "reason_phrase": bytes(answer.reason)}
        headers = answer.headers.raw_items()
        return httpx2.Response(answer.status_code, headers=headers, stream=Body(self, line), extensions=extensions)

    async def aclose(self) -> None:
        """Close the idle connections now, and the others as they come back."""
        self._closed = True
        for line in self._idle:
            line.drop()
        self._idle.clear()
        await asyncio.sleep(0)  # only then are the sockets closed

    def _put_back(self, line: Line | None) -> None:
        self._turns.release()
        if line is not None:
            self._keep(line)

    def _keep(self, line: Line) -> None:
        now = time.monotonic()
        if line.again(now) and not self._closed:
            self._idle.append(line)
        else:
            line.drop()
        while self._idle and self._idle[0].since < now - IDLE:
            self._idle.popleft().drop()

    def _known(self, url: httpx2.URL) -> Line | None:
        """A connection from before that still stands."""
        now = time.monotonic()
        while self._idle and self._idle[-1].goes_to(url):
            line = self._idle.pop()
            if line.since >= now - IDLE and line.stands():
                return line
            line.drop()
        return None

    async def _connected(self, request: httpx2.Request) -> Line:
        url, seconds = request.url, request.extensions.get("timeout", {}).get("connect")
        secure = url.scheme == "https"
        host, port = url.raw_host.decode("ascii"), url.port or (443 if secure else 80)
        try:
            async with asyncio.timeout(seconds):
                _, line = await asyncio.get_running_loop().create_connection(
                    lambda: Line(url), host, port, ssl=self._trust if secure else None
                )
        except TimeoutError as problem:
            raise httpx2.ConnectTimeout(str(problem), request=request) from problem
        except OSError as problem:  # TLS that fails is one, too
            raise httpx2.ConnectError(str(problem), request=request) from problem
        return line


class Line(asyncio.Protocol):
    """One connection: a question, its answer, the next question."""

    def __init__(self, url: httpx2.URL) -> None:
        self.since = 0.0
        """When it was last used."""

        self._end = (url.scheme, url.raw_host, url.port)
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD)
        self._received = bytearray()
        self._over = False
        self._lost: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have the system notice a peer that is gone; an answer may be silent for minutes."""
        assert isinstance(transport, asyncio.Transport)
        self._way = transport
        wire = transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEPT_ALIVE:
            if (option := getattr(socket, name, None)) is not None:
                wire.setsockopt(socket.IPPROTO_TCP, option, value)

    def data_received(self, data: bytes) -> None:
        """Keep it for the reader."""
        self._received += data
        if len(self._received) > BUFFER:
            self._way.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The server will say no more."""
        self._over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody will say any more."""
        self._over, self._lost = True, exc
        self._wake()

    def goes_to(self, url: httpx2.URL) -> bool:
        return self._end == (url.scheme, url.raw_host, url.port)

    def stands(self) -> bool:
        """Whether another question can be asked: there is nothing to read, not even an end."""
        if self._over or self._received or self._way.is_closing():
            return False
        file = self._way.get_extra_info("socket").fileno()
        if not hasattr(select, "poll"):
            return not select.select([file], [], [], 0)[0]
        poll = select.poll()
        poll.register(file, select.POLLIN)
        return not poll.poll(0)

    def again(self, now: float) -> bool:
        """Make ready for another question, if question and answer are at their end."""
        if (self._state.our_state, self._state.their_state) != (h11.DONE, h11.DONE):
            return False
        self._state.start_next_cycle()
        self.since = now
        return True

    def drop(self) -> None:
        self._way.abort()  # a close would wait for the peer, where there is TLS

    async def ask(self, request: httpx2.Request, content: bytes) -> h11.Response:
        """Send *request*, and return the head of its answer."""
        with _told():
            head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            events = (head, h11.Data(content), h11.EndOfMessage()) if content else (head, h11.EndOfMessage())
            self._way.write(b"".join([self._state.send(event) or b"" for event in events]))
            while True:
                event = self._state.next_event()
                if isinstance(event, h11.Response):
                    return event
                if event is h11.NEED_DATA:
                    self._state.receive_data(await self._read(b"the server hung up without an answer"))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The answer's body, as it comes: what has come together is handed on together."""
        with _told():
            found: list[bytes | bytearray] = []
            while True:
                event = self._state.next_event()
                if isinstance(event, h11.Data):
                    found.append(event.data)
                    continue
                if found:
                    yield b"".join(found)
                    found.clear()
                if event is not h11.NEED_DATA:
                    return
                self._state.receive_data(await self._read())

    async def _read(self, hung_up: bytes = b"") -> bytes:
        """What has come, or nothing at the end."""
        while not self._received and not self._over:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self._received:
            data = bytes(self._received)
            self._received.clear()
            if len(data) > BUFFER and not self._way.is_closing():
                self._way.resume_reading()
            return data
        if self._lost is not None:
            raise httpx2.ReadError(str(self._lost)) from self._lost
        if hung_up:
            raise httpx2.RemoteProtocolError(hung_up.decode())
        return b""

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Body(httpx2.AsyncByteStream):
    """An answer's body, on the line that is lent for it."""

    def __init__(self, transport: Transport, line: Line) -> None:
        self._transport, self._line = transport, line
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._line.pieces()

    async def aclose(self) -> None:
        """Give the line back."""
        if self._open:
            self._open = False
            self._transport._put_back(self._line)


@contextmanager
def _told() -> Iterator[None]:
    """Say broken rules of the protocol in the client's words."""
    try:
        yield
    except h11.RemoteProtocolError as problem:
        raise httpx2.RemoteProtocolError(str(problem)) from problem
    except h11.LocalProtocolError as problem:
        raise httpx2.LocalProtocolError(str(problem)) from problem
