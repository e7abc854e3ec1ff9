"""A provider of a small wire of its own, through the shared parts: keys, addresses, refusals, cuts, connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_core import Completion, Emit, Message, Request
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    BadResponse,
    ConnectionFailed,
    Overloaded,
    ProviderError,
    StreamTruncated,
)
from cloudllm_provider_http import (
    Door,
    HTTPProvider,
    Line,
    Origin,
    Reading,
    encode,
    http_client,
    parsed,
    quoted,
    read,
    requests,
)

ASK = Request(model="m", instructions="", messages=(Message.user("Hello."),))
CANARY = "sk-canary-0123456789"


@attrs.define(eq=False)
class Words:
    """An answer of this wire: words, until one of them is ``end``."""

    emit: Emit | None
    said: list[str] = attrs.Factory(list)
    ended: bool = False

    def add(self, name: str, data: str, last: bool) -> None:
        if data == "end":
            self.ended = True
        else:
            self.said.append(data)

    def completion(self) -> Completion:
        if not self.ended:
            raise StreamTruncated("no end came")
        return Completion(message=Message.assistant(" ".join(self.said)))


def connect(door: Door) -> Line:
    import httpx2

    if door.version == "none":
        raise ValueError("there is no such version")
    http = http_client(door, httpx2.create_ssl_context(), redirects=False)
    headers: dict[str, Any] = {"Content-Type": "application/json", "X-Key": door.key.reveal(), "x-omitted": object()}
    return Line(http, requests(http, httpx2.URL(door.base_url + "/"), {**headers, **dict(door.headers)}), http.aclose)


def failure(body: Any, origin: Origin, headers: Mapping[str, str]) -> ProviderError:
    said = body if isinstance(body, str) else body["error"]
    return (AuthenticationFailed if origin.status == 401 else Overloaded)(**origin.facts(), problem=said)


@attrs.define(eq=False, kw_only=True)
class Acme(HTTPProvider):
    name: ClassVar[str] = "acme"
    home: ClassVar[str] = "http://127.0.0.1:1"
    key_variables: ClassVar[tuple[str, ...]] = ("ACME_KEY",)
    base_url_variable: ClassVar[str | None] = "ACME_URL"

    version: str | None = None

    _connect = staticmethod(connect)
    _encode = staticmethod(lambda body: encode(body, ("said",), quoted))
    _failure = staticmethod(failure)

    async def _call(self, request: Request, emit: Emit | None) -> Completion:
        door = attrs.evolve(self._door(request.model), version=self.version)
        origin, words = self._origin(request.model), Words(emit)
        content = self._content({"said": [each.text for each in request.messages], **request.options}, request.model)

        def whole(content: bytes) -> Completion:
            return Completion(message=Message.assistant(parsed(content, origin)["said"]))

        async with (
            self._in_time(origin) as watch,
            self._asked(door, "/say", origin, content, watch if emit else None) as (response, heard),
        ):
            answer = await read(response, heard, Reading(assembly=words, add=words.add, whole=whole))
            return attrs.evolve(answer, request_id=heard.request_id)

    async def _listed(self, door: Door, origin: Origin) -> tuple[str, ...]:
        return tuple(json.loads(await self._page(door, origin, 20, "/list")))

    def _origin(self, model: str) -> Origin:
        return Origin(provider=self.name, model=model, api="an Acme API", key_hint=self._key_hint())


@attrs.define(eq=False)
class Server:
    """Sends *reply* to each request, and hangs up after those that say so."""

    reply: bytes
    url: str = ""
    heads: list[list[str]] = attrs.Factory(list)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = attrs.Factory(list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
                self.heads.append(head)
                sizes = [line.split(": ")[1] for line in head if line.lower().startswith("content-length")]
                await reader.readexactly(int(sizes[0]) if sizes else 0)
                writer.write(self.reply)
                await writer.drain()
                if b"connection: close" in self.reply:
                    return
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(reply: bytes) -> AsyncIterator[Server]:
    server = Server(reply)
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


def http(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


STREAM = "content-type: text/event-stream"
CLOSE = "connection: close"


def outcome(reply: bytes, stream: bool = False, **settings: Any) -> Any:
    """What one call brings, an answer or an error."""

    async def main() -> Any:
        async with serving(reply) as server:
            provider = Acme(base_url=server.url, **settings)
            try:
                return await (provider.stream(ASK, lambda sort, piece: None) if stream else provider.complete(ASK))
            except ProviderError as problem:
                return problem
            finally:
                await provider.aclose()

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACME_KEY", "ACME_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_call_goes_where_the_line_says_with_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Address and key come from the environment, the later header counts, an omitted one is not sent."""

    async def main() -> None:
        async with serving(http(200, b'{"said": "Hi."}', "x-request-id: r1")) as server:
            monkeypatch.setenv("ACME_URL", server.url)
            monkeypatch.setenv("ACME_KEY", CANARY + "\n")
            provider = Acme(headers={"content-type": "application/acme"})
            found = await provider.complete(ASK)
            await provider.aclose()

            ((first, *lines),) = server.heads
            sent = dict(line.lower().split(": ", 1) for line in lines)
            assert ("Hi.", "r1") == (found.message.text, found.request_id)
            assert "POST /v1/say HTTP/1.1" == first
            assert (CANARY, "application/acme") == (sent["x-key"], sent["content-type"])
            assert "x-omitted" not in sent

    asyncio.run(main())


def test_what_is_there_is_asked_for_up_to_a_size() -> None:
    """A question sends no content type; what is longer than expected is refused."""

    async def main() -> None:
        async with serving(http(200, b'["b", "a"]')) as server:
            provider = Acme(base_url=server.url)
            assert ("b", "a") == await provider.models()
            assert [] == [line for line in server.heads[0] if line.lower().startswith("content-")]
            server.reply = http(200, b"[" + b" " * 20)
            with pytest.raises(BadResponse, match="is longer than 20 bytes"):
                await provider.models()
            await provider.aclose()

    asyncio.run(main())


def test_a_changed_key_opens_another_line_and_closes_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same door is open as long as it is the same; each loop has its own."""
    monkeypatch.setenv("ACME_KEY", "one")

    async def main(provider: Acme, keys: list[str]) -> int:
        async with serving(http(200, b'{"said": "Hi."}')) as server:
            provider.base_url = server.url
            for key in keys:
                monkeypatch.setenv("ACME_KEY", key)
                await provider.complete(ASK)
            await provider.aclose()
            return server.connections

    provider = Acme()
    assert 2 == asyncio.run(main(provider, ["one", "one", "two", "two"]))
    assert 1 == asyncio.run(main(provider, ["two", "two"]))


@pytest.mark.parametrize(
    ("reply", "stream", "kind", "says"),
    [
        (http(503, b'{"error": "busy"}'), False, Overloaded, "busy"),
        (http(503, b"<p>busy</p>"), True, Overloaded, "<p>busy</p>"),
        (http(503, b"\xe9", "content-type: text/plain; charset=latin-1"), True, Overloaded, "é"),
        (http(503, b""), True, Overloaded, "the server said nothing but 503 X"),
        (http(401, b"no", CLOSE, length=9), False, AuthenticationFailed, "no"),
        (http(503, b"x" * 2_000_000, CLOSE), False, Overloaded, "xxx"),
        (http(302, b"", "location: /v1/else"), False, BadResponse, "the server answered 302, which is no answer"),
        (http(200, b""), False, BadResponse, "the answer is empty"),
        (http(200, b"hello"), False, BadResponse, "the answer is not JSON; it begins with 'hello'"),
        (http(200, b"", "content-encoding: gzip"), False, ConnectionFailed, "before any of the answer had come"),
        (http(200, b"{", CLOSE, length=9), False, ConnectionFailed, "the connection broke before the whole answer"),
        (http(200, b"data: a\n\n", STREAM, CLOSE, length=99), True, StreamTruncated, "the stream broke off"),
        (http(200, b"data: a\n\n", STREAM), True, StreamTruncated, "no end came"),
        (http(200, b"<html>", STREAM), True, BadResponse, "is not JSON; it begins with '<html>'"),
    ],
)
def test_what_goes_wrong_is_an_error_of_the_kernel(reply: bytes, stream: bool, kind: type, says: str) -> None:
    """Whatever a server sends, and wherever it stops: in the class that fits, a refusal by its status first of all."""
    found = outcome(reply, stream)

    assert kind is type(found), found
    assert says in found.problem


@pytest.mark.parametrize("content_type", [STREAM, "content-type: text/plain"])
def test_a_stream_is_read_to_its_end_whatever_it_calls_itself(content_type: str) -> None:
    """What follows the end is read and forgotten."""
    reply = http(200, b"data: Hi\n\ndata: there.\n\ndata: end\n\ndata: more\n\n", content_type)

    assert "Hi there." == outcome(reply, stream=True).message.text


def test_the_key_shows_nowhere() -> None:
    """Not in repr, nor in an error although the server repeats it, nor in its causes."""
    refused = outcome(http(401, json.dumps({"error": f"bad key {CANARY}"}).encode()), api_key=CANARY)

    assert "bad key ***" == refused.problem
    assert CANARY not in repr(Acme(api_key=CANARY, headers={"x": CANARY}))
    assert (None, True) == (refused.__cause__, refused.__suppress_context__)


def test_what_cannot_be_asked_is_said() -> None:
    """A missing key, a body that is no JSON, a line that cannot be opened: nothing is sent."""
    asks = attrs.evolve(ASK, options={"top_p": float("nan")})
    with pytest.raises(AuthenticationFailed, match="there is no API key: ACME_KEY is not set. Set ACME_KEY, or"):
        asyncio.run(Acme().complete(ASK))
    with pytest.raises(BadRequest, match="the request cannot be written as JSON"):
        asyncio.run(Acme(api_key=CANARY).complete(asks))
    with pytest.raises(BadRequest, match="the SDK cannot make the request: there is no such version"):
        asyncio.run(Acme(api_key=CANARY, version="none").complete(ASK))
    with pytest.raises(ConnectionFailed, match=r"Check the network, and that a server listens at http://127.0.0.1:1\."):
        asyncio.run(Acme(api_key=CANARY).complete(ASK))
