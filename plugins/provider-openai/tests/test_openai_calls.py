"""The provider against a server on loopback, through the real SDK."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

import cloudllm_provider_openai
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
from cloudllm_provider_http import reading as reading_module
from cloudllm_provider_openai import OpenAI
from cloudllm_provider_openai.provider import Api

CANARY = "sk-canary-0123456789"
VARIABLES = ("OPENAI_API_KEY", "OPEN_AI_SECRET", "OPENAI_KEY", "OPENAI_BASE_URL")
ASK = Request(model="m", instructions="", messages=(Message.user("Hello."),))


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


loopback = _neighbour("loopback")
ANSWER, http, said, serving, sse = (getattr(loopback, name) for name in ("ANSWER", "http", "said", "serving", "sse"))
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def outcome(*replies: bytes | Script, stream: bool = False, **settings: Any) -> Any:
    """What one call brings, an answer or an error."""

    async def main() -> Any:
        async with serving(*replies) as server:
            provider = OpenAI(base_url=server.url, **settings)
            try:
                return await (provider.stream(ASK, lambda sort, piece: None) if stream else provider.complete(ASK))
            except ProviderError as problem:
                return problem
            finally:
                await provider.aclose()

    return asyncio.run(main())


# -- what goes out ------------------------------------------------------------


def test_a_call_goes_to_the_base_url_with_key_and_headers() -> None:
    """One request reaches ``/chat/completions`` below the base_url, with the key, the headers and the whole body."""

    async def main() -> None:
        async with serving(http(200, ANSWER, {"x-request-id": "req-1"})) as server:
            provider = OpenAI(base_url=server.url, api_key=CANARY, headers={"X-Team": "blue"})
            found = await provider.complete(ASK)
            await provider.aclose()
            ((first, headers, body),) = server.requests

            assert ("Hi.", "req-1", "m-1") == (found.message.text, found.request_id, found.model)
            assert "POST /v1/chat/completions HTTP/1.1" == first
            assert (f"Bearer {CANARY}", "blue") == (headers["authorization"], headers["x-team"])
            assert "application/json" == headers["content-type"]
            assert {"model": "m", "messages": [{"role": "user", "content": "Hello."}]} == body

    asyncio.run(main())


def test_a_stream_hands_out_its_pieces() -> None:
    """Pieces come in order, and the whole answer with its usage at the end."""
    pieces: list[tuple[str, str]] = []

    async def main() -> None:
        usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
        async with serving(sse(said("Hel"), said("lo."), said("", "stop"), usage)) as server:
            provider = OpenAI(base_url=server.url)
            found = await provider.stream(ASK, lambda sort, piece: pieces.append((sort, piece)))
            await provider.aclose()

            assert ("Hello.", 5) == (found.message.text, found.usage.total if found.usage else None)
            assert ({"include_usage": True}, True) == (
                server.requests[0][2]["stream_options"],
                server.requests[0][2]["stream"],
            )

    asyncio.run(main())
    assert [("content", "Hel"), ("content", "lo.")] == pieces


class Elsewhere(OpenAI):
    """A provider of another name on the same wire."""

    name: ClassVar[str] = "elsewhere"
    home_api: ClassVar[Api] = "chat"
    key_variables: ClassVar[tuple[str, ...]] = ("ELSEWHERE_KEY",)
    base_url_variable: ClassVar[str | None] = None


def test_another_provider_may_extend_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, address and key variables are class variables; at home, the output cap goes by its new name."""

    async def main() -> None:
        async with serving(http(200, ANSWER)) as server:
            monkeypatch.setattr(Elsewhere, "home", server.url)
            monkeypatch.setenv("ELSEWHERE_KEY", CANARY + "\n")
            provider = Elsewhere()
            await provider.complete(attrs.evolve(ASK, options={"max_tokens": 9}))
            await provider.aclose()
            away = OpenAI(base_url=server.url)
            await away.complete(attrs.evolve(ASK, options={"max_tokens": 9}))
            await away.aclose()

            assert f"Bearer {CANARY}" == server.requests[0][1]["authorization"]
            assert [9, None] == [body.get("max_completion_tokens") for _, _, body in server.requests]
            assert [None, 9] == [body.get("max_tokens") for _, _, body in server.requests]

    asyncio.run(main())


def test_what_is_no_json_cannot_be_sent() -> None:
    """An option that JSON does not know is refused before anything is sent."""
    with pytest.raises(BadRequest, match="cannot be written as JSON"):
        asyncio.run(
            OpenAI(base_url="http://127.0.0.1:1/v1").complete(attrs.evolve(ASK, options={"top_p": float("nan")}))
        )


# -- keys ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "settings", "sent"),
    [
        ({}, {}, "no-key-needed"),
        ({"OPENAI_KEY": "third", "OPEN_AI_SECRET": "second"}, {}, "second"),
        ({"OPENAI_API_KEY": "first", "OPEN_AI_SECRET": "second"}, {}, "first"),
        ({"OPENAI_API_KEY": "first", "MINE": "mine"}, {"api_key_env": "MINE"}, "mine"),
        ({"OPENAI_API_KEY": "first"}, {"api_key": "given"}, "given"),
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
            provider = OpenAI(base_url=server.url, **settings)
            await provider.complete(ASK)
            await provider.aclose()

            assert f"Bearer {sent}" == server.requests[0][1]["authorization"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {},
            "there is no API key: OPENAI_API_KEY and OPEN_AI_SECRET and OPENAI_KEY are not set. Set OPENAI_API_KEY, ",
        ),
        (
            {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "MINE"},
            "there is no API key: MINE is not set. Set MINE, ",
        ),
        (
            {"api_key": "sk-\u201ccanary", "base_url": "http://127.0.0.1:1/v1"},
            "the API key has characters that no header can carry. Copy it again into api_key.",
        ),
    ],
)
def test_a_missing_key_is_said_before_anything_is_sent(settings: dict[str, Any], says: str) -> None:
    """The error names the variables and the ways out."""
    with pytest.raises(AuthenticationFailed) as caught:
        asyncio.run(OpenAI(**settings).complete(ASK))

    remedy = "or pass api_key; a local server needs only base_url." if says.endswith(", ") else ""
    assert f"openai:m: {says}{remedy}" == str(caught.value)


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in repr, not in an error although the server repeats it, not in its causes, not in logs."""
    caplog.set_level(1)
    error = outcome(http(401, {"error": {"message": f"Incorrect API key provided: {CANARY}."}}), api_key=CANARY)
    shown = "".join([repr(OpenAI(api_key=CANARY, headers={"x": CANARY})), repr(error), str(error), caplog.text])

    assert "openai:m (HTTP 401): Incorrect API key provided: ***. Check the key in api_key." == str(error)
    assert CANARY not in shown
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_a_key_may_be_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `Secret` is taken as it is, and its name is all that shows; what is known and secret is told to the kernel."""
    vault = OpenAI(api_key=Secret(CANARY, "vault"), headers={"x-pass": Secret("swordfish", "door")})
    monkeypatch.setenv("OPENAI_API_KEY", f"{CANARY}\n")
    environment = OpenAI()

    assert "api_key=Secret(vault), " in repr(vault)
    assert "headers={'x-pass': Secret(door)}" in repr(vault)
    assert [("vault", CANARY), ("door", "swordfish")] == [(each.name, each.reveal()) for each in vault.secrets()]
    assert [("OPENAI_API_KEY", CANARY)] == [(each.name, each.reveal()) for each in environment.secrets()]
    monkeypatch.delenv("OPENAI_API_KEY")
    assert () == environment.secrets()


def test_settings_come_from_plain_data() -> None:
    """A table of a team file makes a provider; a wrong value is named without showing the others."""
    made = OpenAI.from_settings({"base_url": "http://x/v1", "timeout": 3, "headers": {"a": "b"}, "api_key": CANARY})

    assert ("http://x/v1", 3.0, {"a": Secret("b")}) == (
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
            OpenAI.from_settings({"api_key": CANARY} | wrong)
        assert CANARY not in str(caught.value)


# -- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "no", "code": "unsupported_value"}}, BadRequest),
        (400, {"error": {"message": "long", "code": "context_length_exceeded"}}, ContextTooLong),
        (400, {"error": {"message": "no", "code": "content_filter"}}, ContentFiltered),
        (401, {"error": "Unauthorized"}, AuthenticationFailed),
        (402, {"error": {"message": "more credits needed"}}, AuthenticationFailed),
        (403, {"detail": "Forbidden"}, AuthenticationFailed),
        (404, {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}, BadRequest),
        (408, {}, ProviderTimeout),
        (409, {}, Overloaded),
        (413, b"", BadRequest),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, BadRequest),
        (429, {"error": {"message": "slow", "type": "tokens"}}, RateLimited),
        (500, {"error": {"message": "oops", "type": "server_error"}}, Overloaded),
        (503, b"<html><h1>Service Unavailable</h1></html>", Overloaded),
        (529, [{"error": {"message": "overloaded"}}], Overloaded),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_becomes_its_error(status: int, body: Any, kind: type[ProviderError], stream: bool) -> None:
    """Each status is the error a caller can act on, with the facts, after exactly one request."""

    async def main() -> None:
        async with serving(http(status, body, {"x-request-id": "req-9"})) as server:
            provider = OpenAI(base_url=server.url)
            with pytest.raises(ProviderError) as caught:
                await (provider.stream(ASK, lambda sort, piece: None) if stream else provider.complete(ASK))
            await provider.aclose()
            error = caught.value

            assert kind is type(error)
            assert ("openai", "m", status, "req-9") == (error.provider, error.model, error.status, error.request_id)
            assert 1 == len(server.requests)

    asyncio.run(main())


def test_an_error_is_a_sentence_with_a_remedy() -> None:
    """What, why and what to do, in the words of the server where it has any."""
    missing = outcome(http(404, {"error": {"message": "The model `m` does not exist.", "code": "model_not_found"}}))
    broke = outcome(
        http(429, {"error": {"message": "You have no quota", "code": "insufficient_quota"}}, {"retry-after": "9"})
    )

    assert (
        "openai:m (HTTP 404): The model `m` does not exist."
        " Check the model's name and base_url (for most servers it ends with '/v1')." == str(missing)
    )
    assert (
        "openai:m (HTTP 429): You have no quota. Check the plan and the credit of the account; waiting does not help."
        == str(broke)
    )
    assert 9.0 == broke.retry_after


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (
            http(200, b"<html>\n<p>Welcome", {"content-type": "text/html"}),
            "is not JSON; it begins with '<html> <p>Welcome'",
        ),
        (http(200, b""), "is empty"),
        (http(200, b'{"choices": [{"mess'), "is not JSON"),
        (http(200, b"[" * 100_000), "is not JSON"),
        (http(200, b"\xff\xfe\x00"), "is not JSON"),
        (http(200, {"choices": []}), "has no choices"),
        (http(200, {"hello": "x" * 5000}), "has no choices"),
        (http(200, [1]), "is not a JSON object"),
        (http(200, b"<html>", {"content-type": "text/event-stream"}), "is not JSON"),
        (sse({"choices": []}), "has no choices"),
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
    error = outcome(sse(*before, {"error": {"type": "overloaded_error", "message": "busy"}}), stream=True)
    named = http(
        200, b'event: error\ndata: {"message": "busy", "code": 503}\n\n', {"content-type": "text/event-stream"}
    )

    assert (Overloaded, "busy") == (type(error), error.problem)
    assert Overloaded is type(outcome(named, stream=True))


def test_a_stream_without_an_end_is_truncated() -> None:
    """A polite end of the connection is not the end of an answer; a finish_reason is, with or without [DONE]."""
    assert StreamTruncated is type(outcome(sse(said("Hel"), done=False), stream=True))
    assert StreamTruncated is type(outcome(http(200, b"", {"content-type": "text/event-stream"}), stream=True))
    assert "Hel" == outcome(sse(said("Hel", "stop"), done=False), stream=True).message.text
    assert "Hel" == outcome(sse(said("Hel")), stream=True).message.text


def test_a_stream_that_calls_itself_json_is_cut_like_any_other() -> None:
    """A server with a wrong content type is understood, and half its stream is no answer."""
    body = sse(said("Hel"), said("lo.", "stop")).partition(b"\r\n\r\n")[2]

    assert "Hello." == outcome(http(200, body), stream=True).message.text
    assert StreamTruncated is type(outcome(http(200, body[:20]), stream=True))
    assert StreamTruncated is type(outcome(http(200, body[: body.index(b"lo.")]), stream=True))


def test_a_server_that_does_not_stream_is_understood() -> None:
    """A whole answer to a streaming call is handed out in one piece; a stream to a plain call is put together."""
    pieces: list[str] = []

    async def main() -> None:
        async with serving(http(200, ANSWER)) as server:
            provider = OpenAI(base_url=server.url)
            found = await provider.stream(ASK, lambda sort, piece: pieces.append(piece))
            await provider.aclose()

            assert "Hi." == found.message.text

    asyncio.run(main())
    assert ["Hi."] == pieces
    assert "Hello." == outcome(sse(said("Hello.", "stop"))).message.text


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
    assert StreamTruncated is type(outcome(cut + b'10\r\ndata: {"choices', stream=True))


async def _refused() -> ProviderError:
    async with serving(b"") as server:
        url = server.url
    provider = OpenAI(base_url=url)
    with pytest.raises(ConnectionFailed) as caught:
        await provider.complete(ASK)
    await provider.aclose()
    return caught.value


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body larger than the cap does not fill the memory."""
    monkeypatch.setattr(reading_module, "BODY", 1000)

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

    assert "openai:m" in str(error)
    assert "no whole answer came within 0.3 seconds" == error.problem
    assert ProviderTimeout is type(error)


@pytest.mark.parametrize("begun", [b"", sse(said("Hel"), done=False).replace(b"content-length", b"x-length")])
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
            provider = OpenAI(base_url=server.url)
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
            provider = OpenAI(base_url=server.url, **settings)
            try:
                found: Any = await provider.models()
            except ProviderError as problem:
                found = problem
            finally:
                await provider.aclose()
            return found, [first for first, _, _ in server.requests]

    return asyncio.run(main())


@pytest.mark.parametrize("whole", [{"object": "list", "data": [{"id": "b"}, {"id": "a"}, {"id": "b"}, {"id": 5}, "c"]},
                                   [{"id": "b"}, {"id": "a"}]])  # fmt: skip
def test_the_models_are_listed(whole: Any) -> None:
    """`models` gives the names that ``/models`` below the base_url lists, sorted, whether in an object or bare."""
    assert (("a", "b"), ["GET /v1/models HTTP/1.1"]) == listing(http(200, whole))


def test_a_list_that_is_none_is_an_error_like_any() -> None:
    """A refused key is `AuthenticationFailed`; what is no list says how it begins; a silent server is too late."""
    refused, _ = listing(http(401, {"error": {"message": f"Incorrect API key provided: {CANARY}"}}), api_key=CANARY)
    page, _ = listing(http(200, b"<html>Hello"))

    assert AuthenticationFailed is type(refused)
    assert "openai (HTTP 401): Incorrect API key provided: ***. Check the key in api_key." == str(refused)
    assert BadResponse is type(page)
    assert "the answer is no list of models; it begins with '<html>Hello'" == page.problem
    assert "no whole answer came within 0.05 seconds" == listing(hang, timeout=0.05)[0].problem  # type: ignore[arg-type]


def test_who_lists_models_needs_a_key_too() -> None:
    """A missing key is said before anything is sent, and names its variable."""
    with pytest.raises(AuthenticationFailed, match="Set OPENAI_API_KEY, or pass api_key"):
        asyncio.run(OpenAI().models())


# -- connections --------------------------------------------------------------


def test_one_connection_serves_many_calls_and_aclose_ends_it() -> None:
    """Calls, streams among them, share a connection; after aclose the next call opens another."""

    async def main() -> None:
        async with serving(http(200, ANSWER), sse(said("Hi.", "stop")), http(200, ANSWER)) as server:
            provider = OpenAI(base_url=server.url)
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
    provider = OpenAI(base_url="http://127.0.0.1:1/v1")

    async def main() -> str:
        async with serving(http(200, ANSWER)) as server:
            provider.base_url = server.url
            found = await provider.complete(ASK)
            await provider.aclose()
            return found.message.text

    assert ["Hi.", "Hi."] == [asyncio.run(main()), asyncio.run(main())]


def test_the_sdk_is_not_imported_before_the_first_call() -> None:
    """Importing and making a provider costs no SDK."""
    code = "import sys, cloudllm_provider_openai as it; it.OpenAI(); print({'openai', 'httpx2'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()" == done.stdout.strip()


def test_the_plugin_offers_its_class() -> None:
    """The kernel's question is answered with the provider's class."""
    assert OpenAI is cloudllm_provider_openai.cloudllm_register_provider()
    assert "openai" == OpenAI.name
