"""The connections below the SDK: what is sent and read, and what becomes of a connection afterwards."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_provider_http.transport import EVERYWHERE, Transport

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Server:
    """Answers each request with the next of *replies*, bytes or pieces of them; the last one repeats."""

    def __init__(self, *replies, hang_up=False):
        self.replies, self.hang_up = replies, hang_up
        self.connections = self.requests = 0
        self.writers = []
        self.heard = asyncio.Queue()
        self.gone = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                reply = self.replies[min(self.requests, len(self.replies) - 1)]
                self.requests += 1
                self.heard.put_nowait(None)
                await self.hold.wait()
                for piece in [reply] if isinstance(reply, bytes) else reply:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.hang_up:
                    return
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()


@asynccontextmanager
async def reached(server):
    """A client, and the address at which it finds *server*."""
    async with (
        await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening,
        httpx2.AsyncClient(mounts={EVERYWHERE: Transport(ssl.create_default_context())}, trust_env=False) as client,
    ):
        host, port = listening.sockets[0].getsockname()
        yield client, f"http://{host}:{port}/"
    for writer in server.writers:
        writer.transport.abort()  # or one that has more to say would outlive its loop
    for _ in range(3):
        await asyncio.sleep(0)


def test_calls_in_flight_have_a_connection_each_and_later_ones_use_them_again():
    """Twenty calls at once open twenty connections; the next sixty open none."""

    async def scene():
        server = Server(OK)
        server.hold.clear()
        async with reached(server) as (client, url):
            first = asyncio.gather(*[client.get(url) for _ in range(20)])
            for _ in range(20):
                await server.heard.get()
            server.hold.set()
            answers = await first
            for _ in range(3):
                answers += await asyncio.gather(*[client.get(url) for _ in range(20)])
        assert {"hi"} == {answer.text for answer in answers}
        assert 20 == server.connections

    asyncio.run(scene())


def test_a_connection_that_the_server_closed_is_not_used_again():
    """A server that hangs up after each answer, without a word about it, disturbs nobody."""

    async def scene():
        server = Server(OK, hang_up=True)
        async with reached(server) as (client, url):
            for _ in range(5):
                assert "hi" == (await client.get(url)).text
        assert 5 == server.connections

    asyncio.run(scene())


def test_an_answer_that_is_left_unread_costs_its_connection():
    """Who leaves a response before its end closes the connection, and the next call opens another."""

    async def scene():
        server = Server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal", OK)
        async with reached(server) as (client, url):
            async with client.stream("GET", url) as response:
                assert b"hal" == await anext(response.aiter_raw())
            await asyncio.wait_for(server.gone.wait(), 5)
            assert "hi" == (await client.get(url)).text
        assert 2 == server.connections

    asyncio.run(scene())


def test_a_call_that_is_cancelled_costs_its_connection():
    """A call that is given up while it waits leaves neither its connection nor its turn behind."""

    async def scene():
        server = Server(OK)
        server.hold.clear()
        async with reached(server) as (client, url):
            call = asyncio.create_task(client.get(url))
            await server.heard.get()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            server.hold.set()
            assert "hi" == (await client.get(url)).text
        assert 2 == server.connections

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (b"", httpx2.RemoteProtocolError, "hung up without an answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal", httpx2.RemoteProtocolError, "without sending complete"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
            httpx2.RemoteProtocolError,
            "without sending complete",
        ),
        (b"SMTP at your service\r\n\r\n", httpx2.RemoteProtocolError, "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, httpx2.RemoteProtocolError, "too long"),
    ],
)
def test_a_broken_answer_is_an_error_of_the_client(reply, error, says):
    """Whatever a server sends and leaves out: the error is one that the provider translates."""

    async def scene():
        async with reached(Server(reply, hang_up=True)) as (client, url):
            with pytest.raises(error, match=f"(?i){says}"):
                await client.get(url)

    asyncio.run(scene())


def test_no_server_is_an_error_of_the_client():
    """A refused connection is a `ConnectError`."""

    async def scene():
        async with reached(Server(OK)) as (client, url):
            pass
        async with httpx2.AsyncClient(mounts={EVERYWHERE: Transport(ssl.create_default_context())}) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(url)

    asyncio.run(scene())


def test_what_comes_before_the_answer_is_passed_over():
    """Early hints are no answer."""

    async def scene():
        async with reached(Server(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK)) as (client, url):
            assert "hi" == (await client.get(url)).text

    asyncio.run(scene())


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=3000), st.booleans(), st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_a_body_arrives_whole_however_it_is_cut(body, chunked, sizes):
    """With a length or in chunks, in whatever pieces it comes, a body is what was sent."""
    pieces, rest, nth = [], body, 0
    while rest:
        size = sizes[nth % len(sizes)]
        pieces, rest, nth = [*pieces, rest[:size]], rest[size:], nth + 1
    if chunked:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
    else:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def scene():
        async with reached(Server([head, *pieces])) as (client, url):
            for _ in range(2):
                assert body == (await client.get(url)).content

    asyncio.run(scene())


def test_a_reader_that_is_slow_holds_the_server_back():
    """What nobody reads is not gathered without end: far less than the whole has been taken from the server."""
    size, taken = 64 * 1024 * 1024, 0

    def pieces():
        nonlocal taken
        yield b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size
        while taken < size:
            taken += 64 * 1024
            yield b"x" * (64 * 1024)

    async def scene():
        async with reached(Server(pieces())) as (client, url), client.stream("GET", url):
            seen = -1
            while seen != taken:  # until the server is stuck
                seen = taken
                for _ in range(100):
                    await asyncio.sleep(0)
        assert taken < size / 2

    asyncio.run(scene())
