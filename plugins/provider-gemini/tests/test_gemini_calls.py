"""The provider against a server on loopback, through the real SDK."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

import cloudllm_provider_gemini
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
from cloudllm_provider_gemini import Gemini
from cloudllm_provider_http import reading

CANARY = "canary-0123456789"
VARIABLES = (
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GEMINI_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_GENAI_API_VERSION",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "CLOUDLLM_REASONING_EFFORT",
)
ASK = Request(model="m", instructions="", messages=(Message.user("Hello."),))


def said(text: str, finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "modelVersion": "m-1"}


USAGE = {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}
ANSWER = said("Hi.", "STOP") | USAGE

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def http(status: int, body: Any, headers: dict[str, str] | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content))} | (headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content


def sse(*chunks: Any) -> bytes:
    body = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks)
    return http(200, body.encode(), {"content-type": "text/event-stream"})


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


def outcome(*replies: bytes | Script, stream: bool = False, **settings: Any) -> Any:
    """What one call brings, an answer or an error."""

    async def main() -> Any:
        async with serving(*replies) as server:
            provider = Gemini(base_url=server.url, **settings)
            try:
                return await (provider.stream(ASK, lambda sort, piece: None) if stream else provider.complete(ASK))
            except ProviderError as problem:
                return problem
            finally:
                await provider.aclose()

    return asyncio.run(main())


# -- what goes out ------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "model", "path"),
    [
        ({}, "m", "/v1/models/m"),
        ({"api_version": "v1beta"}, "models/m-1", "/v1beta/models/m-1"),
        ({}, "tunedModels/m", "/v1/tunedModels/m"),
        ({}, "m?x=1&y", "/v1/models/m%3Fx%3D1%26y"),
    ],
)
def test_a_call_goes_to_the_model_with_key_and_headers(settings: dict[str, Any], model: str, path: str) -> None:
    """One request reaches the model's address below the base_url, with the key, the headers and the whole body."""

    async def main() -> None:
        async with serving(http(200, ANSWER | {"responseId": "r-1"})) as server:
            provider = Gemini(base_url=server.url, api_key=CANARY, headers={"X-Team": "blue"}, **settings)
            found = await provider.complete(attrs.evolve(ASK, model=model))
            await provider.aclose()
            ((first, headers, body),) = server.requests

            assert ("Hi.", "r-1", "m-1") == (found.message.text, found.request_id, found.model)
            assert f"POST {path}:generateContent HTTP/1.1" == first
            assert (CANARY, "blue") == (headers["x-goog-api-key"], headers["x-team"])
            assert "application/json" == headers["content-type"]
            assert {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]} == body

    asyncio.run(main())


def test_a_stream_hands_out_its_pieces() -> None:
    """Pieces come in order, and the whole answer with its usage at the end."""
    pieces: list[tuple[str, str]] = []

    async def main() -> None:
        async with serving(sse(said("Hel"), said("lo."), said("", "STOP") | USAGE)) as server:
            provider = Gemini(base_url=server.url)
            found = await provider.stream(ASK, lambda sort, piece: pieces.append((sort, piece)))
            await provider.aclose()

            assert ("Hello.", 5) == (found.message.text, found.usage.total if found.usage else None)
            assert "POST /v1/models/m:streamGenerateContent?alt=sse HTTP/1.1" == server.requests[0][0]

    asyncio.run(main())
    assert [("content", "Hel"), ("content", "lo.")] == pieces


def test_the_environment_may_say_how_much_to_think(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOUDLLM_REASONING_EFFORT holds for all agents whose options do not say."""
    monkeypatch.setenv("CLOUDLLM_REASONING_EFFORT", "low")

    async def main() -> None:
        async with serving(http(200, ANSWER)) as server:
            provider = Gemini(base_url=server.url)
            await provider.complete(attrs.evolve(ASK, model="gemini-3-pro"))
            await provider.aclose()

            thinking = {"thinkingLevel": "LOW", "includeThoughts": True}
            assert {"thinkingConfig": thinking} == server.requests[0][2]["generationConfig"]

    asyncio.run(main())


def test_a_setting_of_the_sdk_does_not_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that turns the SDK to Vertex AI does not move a call that has a Gemini key."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")

    assert "Hi." == outcome(http(200, ANSWER)).message.text


def test_what_is_no_json_cannot_be_sent() -> None:
    """An option that JSON does not know is refused before anything is sent."""
    with pytest.raises(BadRequest, match="cannot be written as JSON"):
        asyncio.run(Gemini(base_url="http://127.0.0.1:1").complete(attrs.evolve(ASK, options={"top_p": float("nan")})))


def test_what_the_sdk_refuses_is_told_as_ours() -> None:
    """A key that is for another API is refused by the SDK, and said without its own kind of error."""
    error = outcome(http(200, ANSWER), api_key="auth_tokens/x")

    assert BadRequest is type(error)
    assert "the SDK cannot make the request: Ephemeral tokens can only be used with the live API" in str(error)


# -- keys ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "settings", "sent"),
    [
        ({}, {}, "no-key-needed"),
        ({"GEMINI_KEY": "third", "GOOGLE_API_KEY": "second"}, {}, "second"),
        ({"GEMINI_API_KEY": "first", "GOOGLE_API_KEY": "second"}, {}, "first"),
        ({"GEMINI_API_KEY": "first", "MINE": "mine"}, {"api_key_env": "MINE"}, "mine"),
        ({"GEMINI_API_KEY": "first"}, {"api_key": "given"}, "given"),
    ],
)
def test_the_key_is_found(
    environment: dict[str, str], settings: dict[str, Any], sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The given key, else the named variable, else the known ones in order, else a placeholder for servers without."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    async def main() -> None:
        async with serving(http(200, ANSWER)) as server:
            provider = Gemini(base_url=server.url, **settings)
            await provider.complete(ASK)
            await provider.aclose()

            assert sent == server.requests[0][1]["x-goog-api-key"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {},
            "there is no API key: GEMINI_API_KEY and GOOGLE_API_KEY and GEMINI_KEY are not set. Set GEMINI_API_KEY, ",
        ),
        (
            {"base_url": "http://127.0.0.1:1", "api_key_env": "MINE"},
            "there is no API key: MINE is not set. Set MINE, ",
        ),
        (
            {"api_key": "\u201ccanary", "base_url": "http://127.0.0.1:1"},
            "the API key has characters that no header can carry. Copy it again into api_key.",
        ),
    ],
)
def test_a_missing_key_is_said_before_anything_is_sent(settings: dict[str, Any], says: str) -> None:
    """The error names the variables and the ways out."""
    with pytest.raises(AuthenticationFailed) as caught:
        asyncio.run(Gemini(**settings).complete(ASK))

    remedy = "or pass api_key; a local server needs only base_url." if says.endswith(", ") else ""
    assert f"gemini:m: {says}{remedy}" == str(caught.value)


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in repr, not in an error although the server repeats it, not in its causes, not in logs."""
    caplog.set_level(1)
    error = outcome(http(401, {"error": {"message": f"Incorrect API key provided: {CANARY}."}}), api_key=CANARY)
    shown = "".join([repr(Gemini(api_key=CANARY, headers={"x": CANARY})), repr(error), str(error), caplog.text])

    assert "gemini:m (HTTP 401): Incorrect API key provided: ***. Check the key in api_key." == str(error)
    assert CANARY not in shown
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_a_key_may_be_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `Secret` is taken as it is, and its name is all that shows; what is known and secret is told to the kernel."""
    vault = Gemini(api_key=Secret(CANARY, "vault"), headers={"x-pass": Secret("swordfish", "door")})
    monkeypatch.setenv("GEMINI_API_KEY", f"{CANARY}\n")
    environment = Gemini()

    assert "api_key=Secret(vault), " in repr(vault)
    assert "headers={'x-pass': Secret(door)}" in repr(vault)
    assert [("vault", CANARY), ("door", "swordfish")] == [(each.name, each.reveal()) for each in vault.secrets()]
    assert [("GEMINI_API_KEY", CANARY)] == [(each.name, each.reveal()) for each in environment.secrets()]
    monkeypatch.delenv("GEMINI_API_KEY")
    assert () == environment.secrets()


def test_settings_come_from_plain_data() -> None:
    """A table of a team file makes a provider; a wrong value is named without showing the others."""
    made = Gemini.from_settings({"base_url": "http://x", "timeout": 3, "headers": {"a": "b"}, "api_key": CANARY})

    assert ("http://x", 3.0, {"a": Secret("b")}) == (
        made.base_url,
        made.timeout,
        made.headers,
    )
    for wrong in (
        {"base_url": "localhost"},
        {"timeout": 0},
        {"tiemout": 1},
        {"headers": {"a": 1}},
        {"api_key": 5},
        {"idle_timeout": 0},
        {"headers": {"a": f"{CANARY}\n"}},
    ):
        with pytest.raises(SettingsError) as caught:
            Gemini.from_settings({"api_key": CANARY} | wrong)
        assert CANARY not in str(caught.value)


# -- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}, BadRequest),
        (400, {"error": {"message": "API key not valid. Please pass a valid API key."}}, AuthenticationFailed),
        (400, {"error": {"message": "The input token count (9) exceeds the maximum (8)."}}, ContextTooLong),
        (400, {"error": {"message": "It goes against the safety settings."}}, ContentFiltered),
        (401, {"error": "Unauthorized"}, AuthenticationFailed),
        (403, {"error": {"status": "PERMISSION_DENIED"}}, AuthenticationFailed),
        (404, {"error": {"message": "models/m is not found"}}, BadRequest),
        (408, {}, ProviderTimeout),
        (413, b"", BadRequest),
        (429, {"error": {"message": "slow", "status": "RESOURCE_EXHAUSTED"}}, RateLimited),
        (499, {"error": {"status": "CANCELLED"}}, Overloaded),
        (500, {"error": {"message": "oops", "status": "INTERNAL"}}, Overloaded),
        (503, b"<html><h1>Service Unavailable</h1></html>", Overloaded),
        (503, [{"error": {"message": "overloaded", "status": "UNAVAILABLE"}}], Overloaded),
        (302, b"", BadResponse),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_becomes_its_error(status: int, body: Any, kind: type[ProviderError], stream: bool) -> None:
    """Each status is the error a caller can act on, with the facts, after exactly one request."""

    async def main() -> None:
        async with serving(http(status, body, {"x-request-id": "req-9"})) as server:
            provider = Gemini(base_url=server.url)
            with pytest.raises(ProviderError) as caught:
                await (provider.stream(ASK, lambda sort, piece: None) if stream else provider.complete(ASK))
            await provider.aclose()
            error = caught.value

            assert kind is type(error)
            assert ("gemini", "m", status, "req-9") == (error.provider, error.model, error.status, error.request_id)
            assert 1 == len(server.requests)

    asyncio.run(main())


def test_an_error_is_a_sentence_with_a_remedy() -> None:
    """What, why and what to do, in the words of the server where it has any."""
    missing = outcome(http(404, {"error": {"message": "models/m is not found for API version v1.", "code": 404}}))
    broke = outcome(
        http(429, {"error": {"message": "You exceeded your quota, see plan and billing."}}, {"retry-after": "9"})
    )
    mute = outcome(http(503, b""))

    assert (
        "gemini:m (HTTP 404): models/m is not found for API version v1. Check the model's name and base_url;"
        " previews and names such as ...-latest need api_version='v1beta'." == str(missing)
    )
    assert (
        "gemini:m (HTTP 429): You exceeded your quota, see plan and billing."
        " A quota of the plan may be used up; see the limits of the account." == str(broke)
    )
    assert 9.0 == broke.retry_after
    assert "gemini:m (HTTP 503): the server said nothing but 503 X." == str(mute)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (
            http(200, b"<html>\n<p>Welcome", {"content-type": "text/html"}),
            "is not JSON; it begins with '<html> <p>Welcome'",
        ),
        (http(200, b""), "is empty"),
        (http(200, b'{"candidates": [{"cont'), "is not JSON"),
        (http(200, b"[" * 100_000), "is not JSON"),
        (http(200, b"\xff\xfe\x00"), "is not JSON"),
        (http(200, {"candidates": []}), "has no candidates"),
        (http(200, {"hello": "x" * 5000}), "has no candidates"),
        (http(200, [1]), "is not a JSON object"),
        (http(200, b"<html>", {"content-type": "text/event-stream"}), "is not JSON"),
        (sse([]), "is not a JSON object"),
        (http(200, b"data: nonsense\n\n", {"content-type": "text/event-stream"}), "has a chunk that is not JSON"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_none_says_how_it_begins(reply: bytes, says: str, stream: bool) -> None:
    """HTML, nothing, half a JSON and the like are a `BadResponse` with a short preview."""
    error = outcome(reply, stream=stream)

    assert BadResponse is type(error)
    assert says in str(error)
    assert len(str(error)) < 450


@pytest.mark.parametrize("before", [[], [said("Hel")]])
def test_an_error_inside_a_stream_is_that_error(before: list[Any]) -> None:
    """An overload that comes inside a 200 stream is an overload, before and after the first words."""
    trouble = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}
    error = outcome(sse(*before, trouble), stream=True)
    kind = {"content-type": "text/event-stream"}
    named = http(200, b'event: error\ndata: {"message": "busy", "code": 503}\n\n', kind)
    begun = "".join(f"data: {json.dumps(each)}\n\n" for each in before)
    bare = http(200, f"{begun}{json.dumps(trouble, indent=2)}\n".encode(), kind)
    listed = http(200, f"{begun}{json.dumps([trouble], indent=2)}\n".encode(), kind)

    assert (Overloaded, "busy") == (type(error), error.problem)
    assert [Overloaded] * 3 == [type(outcome(reply, stream=True)) for reply in (named, bare, listed)]


def test_a_stream_without_an_end_is_truncated() -> None:
    """A polite end of the connection is not the end of an answer; a finishReason is, and no other wire's [DONE]."""
    kind = {"content-type": "text/event-stream"}
    done = f"data: {json.dumps(said('Hel', 'STOP'))}\n\ndata: [DONE]\n\n".encode()

    assert StreamTruncated is type(outcome(sse(said("Hel")), stream=True))
    assert StreamTruncated is type(outcome(http(200, done.replace(b"STOP", b""), kind), stream=True))
    assert StreamTruncated is type(outcome(http(200, b"", {"content-type": "text/event-stream"}), stream=True))
    assert "Hel" == outcome(sse(said("Hel", "STOP")), stream=True).message.text
    assert "Hel" == outcome(http(200, done, kind), stream=True).message.text


def test_a_server_that_does_not_stream_is_understood() -> None:
    """A whole answer to a streaming call is handed out in one piece; a stream to a plain call is put together."""
    pieces: list[str] = []

    async def main() -> None:
        async with serving(http(200, ANSWER)) as server:
            provider = Gemini(base_url=server.url)
            found = await provider.stream(ASK, lambda sort, piece: pieces.append(piece))
            await provider.aclose()

            assert "Hi." == found.message.text

    asyncio.run(main())
    assert ["Hi."] == pieces
    assert "Hello." == outcome(sse(said("Hello.", "STOP"))).message.text
    assert "Hello." == outcome(http(200, [said("Hel"), said("lo.", "STOP")]), stream=True).message.text


def test_a_broken_connection_is_said() -> None:
    """Refused, garbled and cut connections are `ConnectionFailed`, a cut stream is `StreamTruncated`."""
    refused = asyncio.run(_refused())
    long = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\nx-close: 1\r\n\r\n{"
    cut = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    packed = gzip.compress(json.dumps(ANSWER).encode())
    zipped = http(200, packed, {"content-encoding": "gzip"})
    half_zipped = http(200, packed[:10], {"content-encoding": "gzip"})

    assert "hint" not in str(refused)
    assert "and that a server listens at http://127.0.0.1:" in str(refused)
    assert ConnectionFailed is type(outcome(b"SSH-2.0-OpenSSH\r\n\r\n"))
    assert ConnectionFailed is type(outcome(long))
    assert ConnectionFailed is type(outcome(half_zipped))
    assert "Hi." == outcome(zipped).message.text
    assert StreamTruncated is type(outcome(cut + b'10\r\ndata: {"candida', stream=True))


async def _refused() -> ProviderError:
    async with serving(b"") as server:
        url = server.url
    provider = Gemini(base_url=url)
    with pytest.raises(ConnectionFailed) as caught:
        await provider.complete(ASK)
    await provider.aclose()
    return caught.value


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body larger than the cap does not fill the memory."""
    monkeypatch.setattr(reading, "BODY", 1000)

    assert "is longer than 1000 bytes" in str(outcome(http(200, b" " * 2000)))
    assert BadResponse is type(outcome(sse(*[said("word")] * 100), stream=True))


# -- time ---------------------------------------------------------------------


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while not reader.at_eof() and not writer.is_closing():
        writer.write(b": still here\n\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", [hang, drip])
def test_the_deadline_counts_the_whole_call(script: Script) -> None:
    """A server that says nothing, or drips for ever, meets the deadline all the same."""
    error = outcome(script, stream=True, timeout=0.3)

    assert "gemini:m" in str(error)
    assert "no whole answer came within 0.3 seconds" == error.problem
    assert ProviderTimeout is type(error)


@pytest.mark.parametrize("begun", [b"", sse(said("Hel")).replace(b"content-length", b"x-length")])
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
            provider = Gemini(base_url=server.url)
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
            provider = Gemini(base_url=server.url, **settings)
            try:
                found: Any = await provider.models()
            except ProviderError as problem:
                found = problem
            finally:
                await provider.aclose()
            return found, [first for first, _, _ in server.requests]

    return asyncio.run(main())


def test_the_models_that_generate_content_are_listed_page_by_page() -> None:
    """`models` gives the names on all pages, sorted, of those models that can be asked."""
    pages = [{"models": [{"name": "models/b", "supportedGenerationMethods": ["countTokens", "generateContent"]},
                         {"name": "models/e", "supportedGenerationMethods": ["embedContent"]}, {}],
              "nextPageToken": "x+y"},
             {"models": [{"name": "models/a"}]}]  # fmt: skip
    asked = ["GET /v1/models?pageSize=1000 HTTP/1.1", "GET /v1/models?pageSize=1000&pageToken=x%2By HTTP/1.1"]

    assert (("a", "b"), asked) == listing(*(http(200, page) for page in pages))


def test_a_list_that_is_none_is_an_error_like_any() -> None:
    """A refused key is `AuthenticationFailed`; what is no list says how it begins; one without an end is given up."""
    body = {"error": {"code": 401, "message": f"API key not valid: {CANARY}", "status": "UNAUTHENTICATED"}}
    refused, _ = listing(http(401, body), api_key=CANARY)
    page, _ = listing(http(200, b"<html>Hello"))
    endless, asked = listing(http(200, {"models": [], "nextPageToken": "x"}))

    assert AuthenticationFailed is type(refused)
    assert "gemini (HTTP 401): API key not valid: ***. Check the key in api_key." == str(refused)
    assert BadResponse is type(page)
    assert "the answer is no list of models; it begins with '<html>Hello'" == page.problem
    assert ("the answer has more than 100 pages", 100) == (endless.problem, len(asked))


def test_who_lists_models_needs_a_key_too() -> None:
    """A missing key is said before anything is sent, and names its variable."""
    with pytest.raises(AuthenticationFailed, match="Set GEMINI_API_KEY, or pass api_key"):
        asyncio.run(Gemini().models())


# -- connections --------------------------------------------------------------


def test_one_connection_serves_many_calls_and_aclose_ends_it() -> None:
    """Calls, streams among them, share a connection; after aclose the next call opens another."""

    async def main() -> None:
        async with serving(http(200, ANSWER), sse(said("Hi.", "STOP")), http(200, ANSWER)) as server:
            provider = Gemini(base_url=server.url)
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
    provider = Gemini(base_url="http://127.0.0.1:1")

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
        "import sys, cloudllm_provider_gemini as it; it.Gemini(); "
        "print({'google.genai', 'httpx2'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()" == done.stdout.strip()


def test_the_plugin_offers_its_class() -> None:
    """The kernel's question is answered with the provider's class."""
    assert Gemini is cloudllm_provider_gemini.cloudllm_register_provider()
    assert "gemini" == Gemini.name
