"""Servers that mean harm, or are broken: every request ends, within its bounds, in a result or a sentence."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import threading
import tracemalloc
import zlib

import pytest

from cloudllm_tool_http import Http, HttpError
from cloudllm_tool_http.bodies import Inflate
from cloudllm_tool_http.door import look_up as LOOK_UP  # noqa: N812 -- tests replace it in its module

LIMIT = 100_000
CHUNK = b"40\r\n" + b"x" * 64 + b"\r\n"
BOMB = gzip.compress(bytes(20_000_000), mtime=0)
WAIT, CLOSE = object(), object()
"""A server that says nothing more; one that hangs up."""


def meet(serve, answer, *, requests=1, **settings):
    """What GETs come to at a server that answers each request with *answer*: the results, or the errors."""

    async def play(reader, writer):
        meet.connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in answer() if callable(answer) else answer:
                if piece is CLOSE:
                    return
                if piece is WAIT:
                    await asyncio.Event().wait()
                writer.write(piece)
                await writer.drain()

    async def main():
        async with serve(play) as port:
            web = Http(private=["127.0.0.1"], ports=[port], max_bytes=LIMIT, **({"timeout": 20} | settings))
            results = []
            for _ in range(requests):
                try:
                    results.append(await web.request("GET", f"http://127.0.0.1:{port}/x?key=hidden"))
                except HttpError as problem:
                    results.append(str(problem).replace(str(port), "PORT"))
            await web.aclose()
            return results

    meet.connections = 0
    return asyncio.run(main())


def head(*lines):
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode()


def sized(body, *lines):
    return head(*lines, f"Content-Length: {len(body)}") + body


def raw_deflate(data):
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


@pytest.mark.parametrize("answer", [
    sized(gzip.compress(b"well said", mtime=0), "Content-Encoding: gzip"),
    sized(gzip.compress(b"well said", mtime=0), "Content-Encoding: X-GZIP"),
    sized(zlib.compress(b"well said"), "Content-Encoding: deflate"),
    sized(raw_deflate(b"well said"), "Content-Encoding: deflate"),
    sized(b"well said", "Content-Encoding: identity"),
    head("Transfer-Encoding: chunked") + b"4\r\nwell\r\n5;a=b\r\n said\r\n0\r\nTrailer: x\r\n\r\n",
    head("Connection: close") + b"well said",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + sized(b"well said"),
    sized(b"well said") + b"and more than was announced",
    b"HTTP/1.0 200 OK\r\n\r\nwell said",
])  # fmt: skip
def test_every_framing_is_read(serve, answer):
    """Sized, chunked, closed; plain, gzip, deflate of both kinds; hints before, too much after."""
    (result,) = meet(serve, [answer, CLOSE])

    assert (200, "well said") == (result["status"], result["body"])


WHERE = "'http://127.0.0.1:PORT' "
LARGE = WHERE + "answered with more than the 100,000 bytes allowed. Ask for less, such as one page."
BROKEN = WHERE + "did not answer properly in HTTP, or broke off in the middle. Try again, or look for another source."
CODED = WHERE + "answered with a compressed body that {}. Try again, or elsewhere."
UNASKED = WHERE + "answered in the encoding {!r}, which was not asked for. It cannot be read; look for another source."


@pytest.mark.parametrize(("answer", "sentence"), [
    ([sized(BOMB, "Content-Encoding: gzip")], LARGE),
    ([sized(zlib.compress(bytes(20_000_000)), "Content-Encoding: deflate")], LARGE),
    ([head("Content-Encoding: gzip", "Connection: close"), BOMB, WAIT], LARGE),
    ([sized(gzip.compress(BOMB, mtime=0), "Content-Encoding: gzip, gzip")], UNASKED.format("gzip, gzip")),
    ([sized(b"x", "Content-Encoding: br")], UNASKED.format("br")),
    ([sized(b"x", "Content-Encoding: zstd")], UNASKED.format("zstd")),
    ([sized(gzip.compress(b"said", mtime=0)[:-3], "Content-Encoding: gzip")], CODED.format("was cut off")),
    ([sized(gzip.compress(b"said", mtime=0) * 2, "Content-Encoding: gzip")], CODED.format("goes on after its end")),
    ([sized(b"plainly said", "Content-Encoding: gzip")], CODED.format("is damaged")),
    ([head(f"Content-Length: {LIMIT + 1}"), WAIT], LARGE),
    ([head("Content-Length: 99999999999999999999"), WAIT], LARGE),
    ([head("Content-Length: " + "9" * 5000), WAIT], BROKEN),
    ([head("Content-Length: 10") + b"cut", CLOSE], BROKEN),
    ([head("Transfer-Encoding: chunked") + b"4\r\nwe", CLOSE], BROKEN),
    ([head("Transfer-Encoding: chunked") + b"zz\r\nwell", CLOSE], BROKEN),
    ([head("Content-Length: 4", "Content-Length: 5") + b"well", CLOSE], BROKEN),
    ([b"SSH-2.0-OpenSSH_9.9\r\n", CLOSE], BROKEN),
    ([b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", CLOSE], BROKEN),
    ([b"\x00\xff" * 300, CLOSE], BROKEN),
    ([CLOSE], BROKEN),
    (lambda: (head("Connection: close"), *itertools.repeat(b"x" * 10_000, 100), CLOSE), LARGE),
    (lambda: itertools.chain([head("Transfer-Encoding: chunked")], itertools.repeat(CHUNK)), LARGE),
    (lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"A: b\r\n" * 200)), BROKEN),
    (lambda: itertools.chain([b"HTTP/1.1 200 OK\r\nA: "], itertools.repeat(b"x" * 1000)), BROKEN),
    (lambda: itertools.repeat(b"x" * 1000), BROKEN),
    (lambda: itertools.chain([head("Transfer-Encoding: chunked"), b"1"], itertools.repeat(b"0" * 999)), BROKEN),
])  # fmt: skip
def test_broken_and_boundless_answers_are_told(serve, answer, sentence):
    """F104: bombs, endless bodies and headers, wrong lengths, cut and damaged answers, things that are no HTTP."""
    assert [sentence] == meet(serve, answer)


@pytest.mark.parametrize("answer", [
    [WAIT],
    [b"HTTP/1.1 200 OK\r\n", WAIT],
    [head("Content-Length: 5"), b"we", WAIT],
    lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
])  # fmt: skip
def test_no_server_holds_a_request_up(serve, answer):
    """Silence, a drip and endless hints end at the deadline, which is one for all of a request."""
    assert [WHERE + "gave no whole answer within 0.2 seconds. Try again later, or ask for less."] == meet(
        serve, answer, timeout=0.2
    )


def test_redirects_share_the_deadline(net):
    """However many redirects there are, the deadline is that of the whole."""
    for _ in range(50_000):
        net.redirect(302, "/again")

    async def main():
        web = Http(resolve=net.resolve, dial=net.dial, timeout=0.2, max_redirects=50_000)
        with pytest.raises(HttpError, match=r"gave no whole answer within 0\.2 seconds"):
            await web.request("GET", "http://public.example/")
        await web.aclose()

    asyncio.run(main())


def test_a_slow_drip_meets_the_deadline(serve):
    """A byte now and then keeps each read busy, and the whole does not take longer for it."""

    async def drip(reader, writer):
        writer.write(head("Content-Length: 1000"))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def main():
        async with serve(drip) as port:
            web = Http(private=True, ports=[port], timeout=0.3)
            with pytest.raises(HttpError, match=r"gave no whole answer within 0\.3 seconds"):
                await web.request("GET", f"http://127.0.0.1:{port}/")
            await web.aclose()

    asyncio.run(main())


def test_a_bomb_is_never_inflated_beyond_the_limit():
    """What comes out of one piece is bounded by what is allowed, and so is the memory taken."""
    inflate = Inflate("gzip", 1_000, "http://a.example/")
    tracemalloc.start()
    try:
        assert 1_001 == len(inflate(BOMB))
        assert 1 == len(inflate(BOMB[:0]) + inflate(BOMB[:1])[:1])
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("status", [204, 304, 404, 500, 599])
def test_any_status_is_a_result(serve, status):
    """An answer without a body, or that says no, is an answer."""
    body = b"" if status in (204, 304) else b"no"
    (result,) = meet(
        serve, [f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nA: b\r\n\r\n".encode() + body, CLOSE]
    )

    assert {"status": status, "body": body.decode(), "headers": {"content-length": str(len(body)), "a": "b"}} == result


def test_connections_are_kept_and_shared(serve):
    """Requests one after the other go over one connection, which is closed with the tools."""
    results = meet(serve, [sized(b"well")], requests=5)
    assert ["well"] * 5 == [result["body"] for result in results]
    assert 1 == meet.connections


def test_cookies_are_neither_kept_nor_told(serve):
    """A cookie is not sent back, and no model reads it."""
    heard = []

    async def play(reader, writer):
        for _ in range(2):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(sized(b"ok", "Set-Cookie: id=canary; Path=/"))
            await writer.drain()

    async def main():
        async with serve(play) as port:
            web = Http(private=True, ports=[port])
            results = [await web.request("GET", f"http://127.0.0.1:{port}/") for _ in range(2)]
            await web.aclose()
            return results

    results = asyncio.run(main())
    assert [{"content-length": "2"}] * 2 == [result["headers"] for result in results]
    assert not [text for text in heard if b"ookie" in text]


def test_a_closed_port_is_told():
    """Where nobody listens, the sentence names the port; the system's words, with addresses, are not passed on."""

    async def main():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        web = Http(private=True, ports=[port])
        with pytest.raises(HttpError) as problem:
            await web.request("GET", f"http://127.0.0.1:{port}/")
        await web.aclose()
        what = f"'http://127.0.0.1:{port}' does not answer at port {port}. Check the address, or try again later."
        assert what == str(problem.value)
        assert (None, None) == (problem.value.__cause__, problem.value.__context__)

    asyncio.run(main())


def test_names_that_are_never_found_hold_nothing_else_up(monkeypatch):
    """Forty lookups that hang take no thread from other tools, and the program ends without them."""
    found, end = [], threading.Event()

    def getaddrinfo(host, *args, **more):
        found.append(host)
        end.wait(60)
        return []

    async def main():
        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
        web = Http(timeout=0.2, resolve=LOOK_UP)
        asked = (web.request("GET", f"http://{n}.example.com/") for n in range(40))
        problems = await asyncio.gather(*asked, return_exceptions=True)
        assert {"gave no whole answer within 0.2 seconds"} == {problem.problem for problem in problems}
        async with asyncio.timeout(10):
            await asyncio.to_thread(found.append, "other work")
        await web.aclose()

    try:
        asyncio.run(main())
        assert (41, False) == (len(found), end.is_set())
    finally:
        end.set()


def test_a_name_is_looked_up_by_the_system(monkeypatch):
    """What it says becomes addresses, or a sentence."""
    answers = {"a.example.com": [(2, 1, 6, "", ("93.184.216.34", 0)), (10, 1, 6, "", ("2606:4700::1", 0, 0, 0))]}

    def getaddrinfo(host, *args, **more):
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers[host]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)

    async def main():
        assert ["93.184.216.34", "2606:4700::1"] == await LOOK_UP("a.example.com")
        with pytest.raises(HttpError) as problem:
            await Http(resolve=LOOK_UP).request("GET", "http://b.example.com/")
        assert "'http://b.example.com' has no address. Check the spelling of the host." == str(problem.value)

    asyncio.run(main())


def test_a_switch_of_protocols_is_no_answer(serve):
    """A server that would rather speak something else ends the request."""
    (result,) = meet(serve, [b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"more", CLOSE])

    assert BROKEN == result


def test_loops_have_connections_of_their_own(net):
    """The same tools serve one event loop after the other, and within a loop keep their connection until closed."""
    web = Http(resolve=net.resolve, dial=net.dial)

    async def twice():
        for _ in range(2):
            assert "ok" == (await web.request("GET", "https://public.example/"))["body"]

    async def closed_between():
        await twice()
        await web.aclose()
        await twice()
        await web.aclose()

    asyncio.run(twice())
    assert 1 == len(net.dialled)
    asyncio.run(closed_between())
    assert (3, 2) == (len(net.dialled), net.closed)
