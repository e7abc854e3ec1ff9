"""The provider against a server on loopback, through the real SDK."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import attrs
import pytest

import cloudllm_provider_anthropic
from cloudllm_core import Message, Request, Secret
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    BadResponse,
    ConnectionFailed,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    SettingsError,
    StreamTruncated,
)
from cloudllm_provider_anthropic import Anthropic
from cloudllm_provider_anthropic.provider import EFFORT
from cloudllm_provider_http import reading as reading_module

CANARY = "sk-canary-0123456789"
ASK = Request(model="m", instructions="", messages=(Message.user("Hello."),))

ANSWER = {
    "model": "m-1",
    "content": [{"type": "text", "text": "Hi."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}

SHAPE = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Anthropic.key_variables, "ANTHROPIC_BASE_URL", EFFORT):
        monkeypatch.delenv(name, raising=False)


def http(status: int, body: Any, headers: dict[str, str] | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content))} | (headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content


def error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def sse(*events: dict[str, Any]) -> bytes:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return http(200, body.encode(), {"content-type": "text/event-stream"})


START = {"type": "message_start", "message": {"model": "m-1", "usage": {"input_tokens": 3, "output_tokens": 1}}}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
END: list[dict[str, Any]] = [
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


def said(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


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
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for writer in server.writers:
            writer.transport.abort()  # or one that has more to say would outlive its loop
        for _ in range(3):
            await asyncio.sleep(0)


def exchange(*replies: bytes | Script, stream: bool = False, ask: Request = ASK, **settings: Any) -> tuple[Any, Server]:
    """What one call brings, an answer or an error, and the server that saw it."""

    async def main() -> tuple[Any, Server]:
        async with serving(*replies) as server:
            provider = Anthropic(base_url=server.url, **settings)
            try:
                made = provider.stream(ask, lambda sort, piece: None) if stream else provider.complete(ask)
                return await made, server
            except ProviderError as problem:
                return problem, server
            finally:
                await provider.aclose()

    return asyncio.run(main())


def outcome(*replies: bytes | Script, **options: Any) -> Any:
    return exchange(*replies, **options)[0]


# -- what goes out ------------------------------------------------------------


def test_a_call_goes_to_the_base_url_with_key_and_headers() -> None:
    """One request reaches ``/v1/messages`` below the base_url, with the key, the headers and the whole body."""
    found, server = exchange(
        http(200, ANSWER, {"request-id": "req-1"}), api_key=CANARY, headers={"X-Team": "blue"}, cache=False
    )
    ((first, headers, body),) = server.requests

    assert ("Hi.", "req-1", "m-1", "end", 5) == (
        found.message.text,
        found.request_id,
        found.model,
        found.stop,
        found.usage.total,
    )
    assert "POST /v1/messages HTTP/1.1" == first
    assert (f"Bearer {CANARY}", "blue") == (headers["authorization"], headers["x-team"])
    assert ("application/json", "2026-10-21") == (headers["content-type"], headers["anthropic-version"])
    text = [{"type": "text", "text": "Hello."}]
    assert {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 16_384} == body


def test_the_address_may_end_with_v1() -> None:
    """Most servers of other APIs want ``/v1`` in their address; here it does no harm."""

    async def main() -> None:
        async with serving(http(200, ANSWER)) as server:
            provider = Anthropic(base_url=f"{server.url}/v1/")
            await provider.complete(ASK)
            await provider.aclose()

            assert "POST /v1/messages HTTP/1.1" == server.requests[0][0]

    asyncio.run(main())


def test_a_stream_hands_out_its_pieces() -> None:
    """Pieces come in order, and the whole answer with its usage at the end."""
    pieces: list[tuple[str, str]] = []

    async def main() -> None:
        async with serving(sse(START, BLOCK, said("Hel"), said("lo."), *END)) as server:
            provider = Anthropic(base_url=server.url)
            found = await provider.stream(ASK, lambda sort, piece: pieces.append((sort, piece)))
            await provider.aclose()

            assert ("Hello.", 5) == (found.message.text, found.usage.total if found.usage else None)
            assert server.requests[0][2]["stream"] is True

    asyncio.run(main())
    assert [("content", "Hel"), ("content", "lo.")] == pieces


class Elsewhere(Anthropic):
    """A provider of another name on the same wire."""

    name: ClassVar[str] = "elsewhere"
    key_variables: ClassVar[tuple[str, ...]] = ("ELSEWHERE_KEY",)
    base_url_variable: ClassVar[str | None] = None


def test_another_provider_may_extend_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, address and key variables are class variables."""

    async def main() -> None:
        async with serving(http(200, ANSWER)) as server:
            monkeypatch.setattr(Elsewhere, "home", server.url)
            monkeypatch.setenv("ELSEWHERE_KEY", CANARY + "\n")
            provider = Elsewhere()
            await provider.complete(ASK)
            await provider.aclose()

            assert f"Bearer {CANARY}" == server.requests[0][1]["authorization"]

    asyncio.run(main())


def test_what_is_no_json_cannot_be_sent() -> None:
    """An option that JSON does not know is refused before anything is sent."""
    with pytest.raises(BadRequest, match="cannot be written as JSON"):
        asyncio.run(
            Anthropic(base_url="http://127.0.0.1:1").complete(attrs.evolve(ASK, options={"top_p": float("nan")}))
        )


def test_temperature_is_refused_at_anthropic_and_sent_elsewhere() -> None:
    """Its own API dropped sampling with version 2026-10-21; other servers, and the version before, have it."""
    ask = attrs.evolve(ASK, options={"temperature": 0.2})
    with pytest.raises(BadRequest) as caught:
        asyncio.run(Anthropic(api_key=CANARY).complete(ask))

    assert (
        "anthropic:m: the option 'temperature' is gone from the Messages API since version 2026-10-21. Remove it; for a"
        ' model from before, set headers={"anthropic-version": "2023-06-01"}.' == str(caught.value)
    )
    assert 0.2 == exchange(http(200, ANSWER), ask=ask)[1].requests[0][2]["temperature"]
    assert Anthropic(api_key=CANARY, headers={"Anthropic-Version": "2023-06-01"})._takes_sampling()


def test_the_effort_of_all_agents_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's own effort goes before; a word that is none is said, with the words that are."""
    monkeypatch.setenv(EFFORT, "High")
    own = attrs.evolve(ASK, options={"effort": "low"})

    assert {"effort": "high"} == exchange(http(200, ANSWER))[1].requests[0][2]["output_config"]
    assert {"effort": "low"} == exchange(http(200, ANSWER), ask=own)[1].requests[0][2]["output_config"]
    monkeypatch.setenv(EFFORT, "enormous")
    assert (
        "anthropic:m: 'enormous' is no effort of thought."
        " Choose among none, minimal, low, medium, high, xhigh, max." == str(outcome(http(200, ANSWER)))
    )


# -- the shape of the answer --------------------------------------------------


def test_a_server_that_refuses_a_schema_is_asked_without() -> None:
    """The refusal is remembered for that schema, until the connection is closed; other errors pass."""
    no = http(400, error("invalid_request_error", "output_config.format: Extra inputs are not permitted"))
    ask = attrs.evolve(ASK, output=SHAPE)

    async def main() -> None:
        async with serving(no, http(200, ANSWER), http(200, ANSWER), no, http(200, ANSWER)) as server:
            provider = Anthropic(base_url=server.url)
            for _ in range(2):
                assert "Hi." == (await provider.complete(ask)).message.text
            assert [True, False, False] == ["output_config" in body for _, _, body in server.requests]
            await provider.aclose()
            await provider.stream(ask, lambda sort, piece: None)
            await provider.aclose()
            assert [True, False] == ["output_config" in body for _, _, body in server.requests[3:]]

    asyncio.run(main())
    other = http(400, error("invalid_request_error", "messages.0: wrong"))
    found, server = exchange(other, ask=ask)
    assert (BadRequest, 1) == (type(found), len(server.requests))
    found, server = exchange(no)
    assert (BadRequest, 1) == (type(found), len(server.requests))


# -- keys ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "settings", "sent"),
    [
        ({}, {}, "no-key-needed"),
        ({"CLAUDE_API_KEY": "third", "ANTHROPIC_KEY": "second"}, {}, "second"),
        ({"ANTHROPIC_API_KEY": "first", "ANTHROPIC_KEY": "second"}, {}, "first"),
        ({"ANTHROPIC_AUTH_TOKEN": "token"}, {}, "token"),
        ({"ANTHROPIC_API_KEY": "first", "MINE": "mine"}, {"api_key_env": "MINE"}, "mine"),
        ({"ANTHROPIC_API_KEY": "first"}, {"api_key": "given"}, "given"),
    ],
)
def test_the_key_is_found(
    environment: dict[str, str], settings: dict[str, Any], sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The given key, else the named variable, else the known ones in order, else a placeholder for servers without."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert f"Bearer {sent}" == exchange(http(200, ANSWER), **settings)[1].requests[0][1]["authorization"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {},
            f"there is no API key: {' and '.join(Anthropic.key_variables)} are not set. Set ANTHROPIC_API_KEY, ",
        ),
        ({"base_url": "http://127.0.0.1:1", "api_key_env": "MINE"}, "there is no API key: MINE is not set. Set MINE, "),
        (
            {"api_key": "sk-\u201ccanary", "base_url": "http://127.0.0.1:1"},
            "the API key has characters that no header can carry. Copy it again into api_key.",
        ),
    ],
)
def test_a_missing_key_is_said_before_anything_is_sent(settings: dict[str, Any], says: str) -> None:
    """The error names the variables and the ways out."""
    with pytest.raises(AuthenticationFailed) as caught:
        asyncio.run(Anthropic(**settings).complete(ASK))

    remedy = "or pass api_key; a local server needs only base_url." if says.endswith(", ") else ""
    assert f"anthropic:m: {says}{remedy}" == str(caught.value)


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in repr, not in an error although the server repeats it, not in its causes, not in logs."""
    caplog.set_level(1)
    refused = outcome(http(401, error("authentication_error", f"invalid key: {CANARY}.")), api_key=CANARY)
    shown = "".join([repr(Anthropic(api_key=CANARY, headers={"x": CANARY})), repr(refused), str(refused), caplog.text])

    assert "anthropic:m (HTTP 401): invalid key: ***. Check the key in api_key." == str(refused)
    assert CANARY not in shown
    assert refused.__cause__ is None
    assert refused.__suppress_context__


def test_a_key_may_be_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `Secret` is taken as it is, and its name is all that shows; what is known and secret is told to the kernel."""
    vault = Anthropic(api_key=Secret(CANARY, "vault"), headers={"x-pass": Secret("swordfish", "door")})
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"{CANARY}\n")
    environment = Anthropic()

    assert "api_key=Secret(vault), " in repr(vault)
    assert "headers={'x-pass': Secret(door)}" in repr(vault)
    assert [("vault", CANARY), ("door", "swordfish")] == [(each.name, each.reveal()) for each in vault.secrets()]
    assert [("ANTHROPIC_API_KEY", CANARY)] == [(each.name, each.reveal()) for each in environment.secrets()]
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert () == environment.secrets()


def test_settings_come_from_plain_data() -> None:
    """A table of a team file makes a provider; a wrong value is named without showing the others."""
    made = Anthropic.from_settings(
        {
            "base_url": "http://x",
            "timeout": 3,
            "headers": {"a": "b"},
            "api_key": CANARY,
            "max_tokens": 9,
            "cache": False,
        }
    )

    assert ("http://x", 3.0, {"a": Secret("b")}, 9, False) == (
        made.base_url,
        made.timeout,
        made.headers,
        made.max_tokens,
        made.cache,
    )
    for wrong in (
        {"base_url": "localhost"},
        {"timeout": 0},
        {"max_tokens": 0},
        {"tiemout": 1},
        {"headers": {"a": 1}},
        {"api_key": 5},
        {"idle_timeout": 0},
        {"headers": {"a": f"{CANARY}\n"}},
    ):
        with pytest.raises(SettingsError) as caught:
            Anthropic.from_settings({"api_key": CANARY} | wrong)
        assert CANARY not in str(caught.value)


# -- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("invalid_request_error", "max_tokens: Field required"), BadRequest),
        (400, error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), ContextTooLong),
        (400, error("invalid_request_error", "Your credit balance is too low to access the API"), AuthenticationFailed),
        (400, error("invalid_request_error", "Output blocked by content filtering policy"), ContentFiltered),
        (401, error("authentication_error", "invalid x-api-key"), AuthenticationFailed),
        (402, error("billing_error", "no more"), AuthenticationFailed),
        (402, {"error": "more is needed"}, AuthenticationFailed),
        (403, error("permission_error", "not yours"), AuthenticationFailed),
        (404, error("not_found_error", "model: m"), BadRequest),
        (408, b"", ProviderTimeout),
        (409, error("conflict_error", "again"), Overloaded),
        (413, error("request_too_large", "Request exceeds the maximum size"), BadRequest),
        (422, {"detail": [{"msg": "field required"}]}, BadRequest),
        (429, error("rate_limit_error", "slow"), RateLimited),
        (500, error("api_error", "oops"), Overloaded),
        (503, b"<html><h1>Service Unavailable</h1></html>", Overloaded),
        (504, error("timeout_error", "late"), ProviderTimeout),
        (529, error("overloaded_error", "Overloaded"), Overloaded),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_becomes_its_error(status: int, body: Any, kind: type[ProviderError], stream: bool) -> None:
    """Each status is the error a caller can act on, with the facts, after exactly one request."""
    found, server = exchange(http(status, body, {"request-id": "req-9"}), stream=stream)

    assert kind is type(found)
    assert ("anthropic", "m", status, "req-9") == (found.provider, found.model, found.status, found.request_id)
    assert 1 == len(server.requests)


def test_an_error_is_a_sentence_with_a_remedy() -> None:
    """What, why and what to do, in the words of the server where it has any."""
    missing = outcome(http(404, error("not_found_error", "model: m")))
    slow = outcome(http(429, error("rate_limit_error", "Too many tokens per minute."), {"retry-after": "9"}))

    assert "anthropic:m (HTTP 404): model: m. Check the model's name and base_url." == str(missing)
    assert ("anthropic:m (HTTP 429): Too many tokens per minute.", 9.0) == (str(slow), slow.retry_after)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (
            http(200, b"<html>\n<p>Hello", {"content-type": "text/html"}),
            "is not JSON; it begins with '<html> <p>Hello'",
        ),
        (http(200, b""), "is empty"),
        (http(200, b'{"content": [{"ty'), "is not JSON"),
        (http(200, b"[" * 100_000), "is not JSON"),
        (http(200, b"\xff\xfe\x00"), "is not JSON"),
        (http(200, {"content": None}), "has no content"),
        (http(200, {"hello": "x" * 5000}), "has no content"),
        (http(200, {"content": ["x"]}), "has a content block that is no object"),
        (http(200, [1]), "is not a JSON object"),
        (http(200, b"<html>", {"content-type": "text/event-stream"}), "is not JSON"),
        (sse({"type": "message_stop"}), "has no message"),
        (sse(START, said("x")), "has a piece of a content block that never began"),
        (http(200, b"data: nonsense\n\n", {"content-type": "text/event-stream"}), "has an event that is not JSON"),
        (http(200, b"data: [1]\n\n", {"content-type": "text/event-stream"}), "has an event that is not a JSON object"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_none_says_how_it_begins(reply: bytes, says: str, stream: bool) -> None:
    """HTML, nothing, half a JSON and the like are a `BadResponse` with a short preview."""
    found = outcome(reply, stream=stream)

    assert BadResponse is type(found)
    assert says in str(found)
    assert len(str(found)) < 450


@pytest.mark.parametrize("before", [[], [START], [START, BLOCK, said("Hel")]])
def test_an_error_inside_a_stream_is_that_error(before: list[Any]) -> None:
    """An overload that comes inside a 200 stream is an overload, before and after the first words."""
    found = outcome(sse(*before, error("overloaded_error", "Overloaded")), stream=True)
    nameless = http(200, b'event: error\ndata: {"message": "busy"}\n\n', {"content-type": "text/event-stream"})

    assert (Overloaded, "Overloaded", 200) == (type(found), found.problem, found.status)
    assert RateLimited is type(outcome(sse(*before, error("rate_limit_error", "slow")), stream=True))
    assert ContextTooLong is type(
        outcome(sse(*before, error("invalid_request_error", "prompt is too long: 9")), stream=True)
    )
    assert (Overloaded, "busy") == (type(outcome(nameless, stream=True)), outcome(nameless, stream=True).problem)
    assert Overloaded is type(outcome(http(200, error("overloaded_error", "busy"))))


def test_a_stream_without_an_end_is_truncated() -> None:
    """A polite end of the connection is not the end of an answer, nor is a stop reason or a gateway's [DONE]."""
    done = sse(START, BLOCK, said("Hel"), *END[:-1]).replace(b"content-length", b"x-length") + b"data: [DONE]\n\n"

    assert StreamTruncated is type(outcome(sse(START, BLOCK, said("Hel")), stream=True))
    assert StreamTruncated is type(outcome(sse(START, BLOCK, said("Hel"), *END[:-1]), stream=True))
    assert StreamTruncated is type(outcome(done, stream=True))
    assert StreamTruncated is type(outcome(http(200, b"", {"content-type": "text/event-stream"}), stream=True))


def test_a_server_that_does_not_stream_is_understood() -> None:
    """A whole answer to a streaming call is handed out in one piece; a stream to a plain call is put together."""
    pieces: list[str] = []

    async def main() -> None:
        async with serving(http(200, ANSWER)) as server:
            provider = Anthropic(base_url=server.url)
            found = await provider.stream(ASK, lambda sort, piece: pieces.append(piece))
            await provider.aclose()

            assert "Hi." == found.message.text

    asyncio.run(main())
    assert ["Hi."] == pieces
    assert "Hello." == outcome(sse(START, BLOCK, said("Hello."), *END)).message.text
    plain = sse(START, BLOCK, said("Hello."), *END).replace(b"text/event-stream", b"application/json;")
    assert "Hello." == outcome(plain).message.text


def test_a_broken_connection_is_said() -> None:
    """Refused, garbled and cut connections are `ConnectionFailed`, a cut stream is `StreamTruncated`."""
    refused = asyncio.run(_refused())
    long = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\nx-close: 1\r\n\r\n{"
    cut = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    packed = gzip.compress(json.dumps(ANSWER).encode())
    zipped = http(200, packed, {"content-encoding": "gzip"})
    half_zipped = http(200, packed[:10], {"content-encoding": "gzip"})

    assert "and that a server listens at http://127.0.0.1:" in str(refused)
    assert ConnectionFailed is type(outcome(b"SSH-2.0-OpenSSH\r\n\r\n"))
    assert ConnectionFailed is type(outcome(long))
    assert ConnectionFailed is type(outcome(half_zipped))
    assert "Hi." == outcome(zipped).message.text
    assert StreamTruncated is type(outcome(cut + b'10\r\ndata: {"type": "m', stream=True))


async def _refused() -> ProviderError:
    async with serving(b"") as server:
        url = server.url
    provider = Anthropic(base_url=url)
    with pytest.raises(ConnectionFailed) as caught:
        await provider.complete(ASK)
    await provider.aclose()
    return caught.value


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body larger than the cap does not fill the memory."""
    monkeypatch.setattr(reading_module, "BODY", 1000)

    assert "is longer than 1000 bytes" in str(outcome(http(200, b" " * 2000)))
    assert BadResponse is type(outcome(sse(START, BLOCK, *[said("word")] * 100), stream=True))


# -- time ---------------------------------------------------------------------


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while not reader.at_eof() and not writer.is_closing():
        writer.write(b'event: ping\ndata: {"type": "ping"}\n\n')
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", [hang, drip])
def test_the_deadline_counts_the_whole_call(script: Script) -> None:
    """A server that says nothing, or sends pings for ever, meets the deadline all the same."""
    found = outcome(script, stream=True, timeout=0.3)

    assert "no whole answer came within 0.3 seconds" == found.problem
    assert ProviderTimeout is type(found)


@pytest.mark.parametrize("begun", [b"", sse(START, BLOCK, said("Hel")).replace(b"content-length", b"x-length")])
def test_cancellation_passes_untouched_and_hangs_up(begun: bytes) -> None:
    """A cancelled call raises CancelledError, and the server sees the connection close."""

    async def main() -> None:
        heard, hung_up = asyncio.Event(), asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(begun)
            await writer.drain()
            heard.set()
            await reader.read()
            hung_up.set()

        async with serving(script) as server:
            provider = Anthropic(base_url=server.url)
            first_piece = asyncio.Event()
            call = asyncio.create_task(provider.stream(ASK, lambda sort, piece: first_piece.set()))
            await asyncio.wait_for((first_piece if begun else heard).wait(), 10)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.wait_for(hung_up.wait(), 10)
            await provider.aclose()

    asyncio.run(main())


# -- models -------------------------------------------------------------------


def listing(*replies: bytes, **settings: Any) -> tuple[Any, list[str]]:
    """What `models` brings, an answer or an error, and the first lines of the requests."""

    async def main() -> tuple[Any, list[str]]:
        async with serving(*replies) as server:
            provider = Anthropic(base_url=server.url, **settings)
            try:
                found: Any = await provider.models()
            except ProviderError as problem:
                found = problem
            finally:
                await provider.aclose()
            return found, [first for first, _, _ in server.requests]

    return asyncio.run(main())


def test_the_models_are_listed_page_by_page() -> None:
    """`models` gives the names on all pages of ``/v1/models``, sorted."""
    pages = [
        {"data": [{"type": "model", "id": "b"}, {"id": 5}], "has_more": True, "last_id": "b&c"},
        {"data": [{"type": "model", "id": "a"}, {"type": "model", "id": "b"}], "has_more": False, "last_id": "b"},
    ]
    asked = ["GET /v1/models?limit=1000 HTTP/1.1", "GET /v1/models?limit=1000&after_id=b%26c HTTP/1.1"]

    assert (("a", "b"), asked) == listing(*(http(200, page) for page in pages))


def test_a_list_that_is_none_is_an_error_like_any() -> None:
    """A refused key is `AuthenticationFailed`; what is no list says how it begins; one without an end is given up."""
    refused, _ = listing(http(401, error("authentication_error", f"invalid key {CANARY}")), api_key=CANARY)
    page, _ = listing(http(200, b"<html>Hello"))
    endless, asked = listing(http(200, {"data": [], "has_more": True, "last_id": "x"}))

    assert AuthenticationFailed is type(refused)
    assert "anthropic (HTTP 401): invalid key ***. Check the key in api_key." == str(refused)
    assert BadResponse is type(page)
    assert "the answer is no list of models; it begins with '<html>Hello'" == page.problem
    assert ("the answer has more than 100 pages", 100) == (endless.problem, len(asked))


def test_who_lists_models_needs_a_key_too() -> None:
    """A missing key is said before anything is sent, and names its variable."""
    with pytest.raises(AuthenticationFailed, match="Set ANTHROPIC_API_KEY, or pass api_key"):
        asyncio.run(Anthropic().models())


# -- connections --------------------------------------------------------------


def test_one_connection_serves_many_calls_and_aclose_ends_it() -> None:
    """Calls, streams among them, share a connection; after aclose the next call opens another."""

    async def main() -> None:
        async with serving(http(200, ANSWER), sse(START, BLOCK, said("Hi."), *END), http(200, ANSWER)) as server:
            provider = Anthropic(base_url=server.url)
            await provider.complete(ASK)
            await provider.stream(ASK, lambda sort, piece: None)
            await provider.complete(ASK)

            assert 1 == server.connections
            await provider.aclose()
            await asyncio.wait_for(server.gone.wait(), 10)
            await provider.complete(ASK)
            await provider.aclose()

            assert (4, 2) == (len(server.requests), server.connections)

    asyncio.run(main())


def test_one_provider_serves_several_event_loops() -> None:
    """A provider kept across `asyncio.run` works in each loop."""
    provider = Anthropic(base_url="http://127.0.0.1:1")

    async def main() -> str:
        async with serving(http(200, ANSWER)) as server:
            provider.base_url = server.url
            found = await provider.complete(ASK)
            await provider.aclose()
            return found.message.text

    assert ["Hi.", "Hi."] == [asyncio.run(main()), asyncio.run(main())]


def test_the_sdk_is_not_imported_before_the_first_call() -> None:
    """Importing and making a provider costs no SDK."""
    code = (
        "import sys, cloudllm_provider_anthropic as it; it.Anthropic(); print({'anthropic', 'httpx2'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()" == done.stdout.strip()


def test_the_plugin_offers_its_class() -> None:
    """The kernel's question is answered with the provider's class."""
    assert Anthropic is cloudllm_provider_anthropic.cloudllm_register_provider()
    assert "anthropic" == Anthropic.name
