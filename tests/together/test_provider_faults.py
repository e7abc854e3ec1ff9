"""
Every provider against a server that misbehaves: only our errors come out, each in time, and nothing is made up.

The numbers are those of the table of faults: F01 to F36, as far as they concern one call of one provider.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import traceback
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from cloudllm_core import Agent, Completion, Message, Provider, Request, tool
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadResponse,
    ConnectionFailed,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    StreamTruncated,
)
from cloudllm_provider_http import reading

from .wire_rules import judged
from .wire_server import CHUNK, Reply, Server, dripping, endless, http, in_pieces, resetting, sse
from .wires import KEY, WIRES, Asked, Said, Wire, event

LATE = 0.2
"""Seconds for calls that must not end by themselves."""

BOUND = 4 * 1024 * 1024
"""What an answer may have in the tests of answers without end."""

SLACK = 8 * 1024 * 1024
"""What may be on its way when a reader has had enough."""

HELLO = Said(text="Hello to all.", thought="A greeting.")


@attrs.frozen
class Outcome:
    """What a call came to: an answer or an error, what was handed out before, and how often it was made."""

    got: Completion | ProviderError
    pieces: tuple[tuple[str, str], ...]
    requests: int

    @property
    def error(self) -> ProviderError:
        assert isinstance(self.got, ProviderError), self.got
        return self.got

    @property
    def answer(self) -> Completion:
        assert isinstance(self.got, Completion), self.got
        return self.got


@attrs.define(eq=False)
class Stage:
    """One loop, one server and its providers for all tests: a client with its trust store is costly to make."""

    runner: asyncio.Runner
    server: Server
    patient: dict[str, Provider] = attrs.Factory(dict)
    hasty: dict[str, Provider] = attrs.Factory(dict)

    def call(self, wire: Wire, *replies: Reply, stream: bool = True, hasty: bool = False) -> Outcome:
        """One call, to a server that answers with *replies*."""
        return self.runner.run(self._call(wire, replies, stream, (self.hasty if hasty else self.patient)[wire.name]))

    def elsewhere(self, wire: Wire, url: str) -> Outcome:
        """One call to another address."""

        async def run() -> Outcome:
            provider = wire.make(url, 10.0)
            try:
                return await self._call(wire, (), True, provider)
            finally:
                await provider.aclose()

        return self.runner.run(run())

    async def _call(self, wire: Wire, replies: tuple[Reply, ...], stream: bool, provider: Provider) -> Outcome:
        self.server.script(*replies)
        pieces: list[tuple[str, str]] = []
        request = Request(model=wire.model, instructions="", messages=(Message.user("Hi."),))
        try:
            if stream:
                got = await provider.stream(request, lambda sort, text: pieces.append((sort, text)))
            else:
                got = await provider.complete(request)
        except ProviderError as problem:
            return Outcome(problem, tuple(pieces), len(self.server.requests))
        return Outcome(got, tuple(pieces), len(self.server.requests))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        stage = Stage(runner, Server())
        runner.run(stage.server.open())
        for wire in WIRES.values():
            stage.patient[wire.name] = wire.make(stage.server.url, 10.0)
            stage.hasty[wire.name] = wire.make(stage.server.url, LATE)
            assert "Hello to all." == stage.call(wire, whole(wire, HELLO), stream=False).answer.message.text
        yield stage
        for provider in (*stage.patient.values(), *stage.hasty.values()):
            runner.run(provider.aclose())
        runner.run(stage.server.close())


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def whole(wire: Wire, said: Said) -> bytes:
    return http(wire.speech.whole(said))


def streamed(wire: Wire, said: Said) -> bytes:
    begun, ended = wire.speech.stream(said)
    return sse("".join([*begun, *ended]))


def told(wire: Wire, said: Said, stream: bool) -> bytes:
    return streamed(wire, said) if stream else whole(wire, said)


def refused(wire: Wire, status: int, message: str = "Not now.", **headers: str) -> bytes:
    return http(json.dumps(wire.speech.trouble(status, message)), status, **headers)


def spoken(outcome: Outcome) -> str:
    return "".join(text for sort, text in outcome.pieces if sort == "content")


# -- statuses -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7), ("0.5", 0.5, 0.5), ("0", 0, 0), ("999999999999", 999999999999, 999999999999),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 1e9, 1e10), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("-5", None, None), ("soon", None, None), ("nan", None, None), ("inf", None, None), ("", None, None),
        ("1e999", None, None), ("Wed, 99 Zzz 2099 99:99:99 GMT", None, None), ("7, 8", None, None),
    ],
)  # fmt: skip
def test_f01_how_long_to_wait_is_a_number_or_unknown(stage, wire, asked, least, most):
    """A 429 is `RateLimited`, tried once; its Retry-After is seconds from now, or None where it is nonsense."""
    outcome = stage.call(wire, refused(wire, 429, retry_after=asked))
    assert (RateLimited, 429, 1) == (type(outcome.error), outcome.error.status, outcome.requests)
    wait = outcome.error.retry_after
    assert (wait is None) if least is None else (wait is not None and least <= wait <= most)


@pytest.mark.parametrize("status", [503, 529, 500, 502])
def test_f03_an_overload_is_told_as_one(stage, wire, status):
    """503, 529 and their kind are `Overloaded`, which may be tried again; the provider itself tries once."""
    outcome = stage.call(wire, refused(wire, status))
    assert (Overloaded, status, 1) == (type(outcome.error), outcome.error.status, outcome.requests)
    assert "Not now" in str(outcome.error)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("stream", [False, True])
def test_f32_a_refused_key_is_never_printed(stage, wire, status, stream, caplog):
    """A bad key is `AuthenticationFailed`, tried once; even a server that repeats the key does not get it printed."""
    caplog.set_level(0)
    outcome = stage.call(wire, refused(wire, status, f"The key {KEY} is not known here."), stream=stream)
    assert (AuthenticationFailed, 1) == (type(outcome.error), outcome.requests)
    shown = [str(outcome.error), repr(outcome.error), *traceback.format_exception(outcome.error), caplog.text]
    assert KEY not in "".join(shown)
    assert KEY not in repr(stage.patient[wire.name])


def test_f30_a_prompt_that_is_too_long_has_an_error_of_its_own(stage, wire):
    """So that a session can be made shorter and sent again."""
    said = {
        "messages": "prompt is too long: 208310 tokens > 200000 maximum",
        "generate": "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    }.get(wire.rules, "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.")
    outcome = stage.call(wire, refused(wire, 400, said))
    assert (ContextTooLong, 1) == (type(outcome.error), outcome.requests)


# -- streams that break -------------------------------------------------------


def test_f04_an_overload_inside_a_200_before_any_word(stage, wire):
    """An error as the first event of a good status is the error it says, not an answer."""
    outcome = stage.call(wire, sse(wire.speech.outcry(529, "Overloaded.")))
    assert (Overloaded, 1, ()) == (type(outcome.error), outcome.requests, outcome.pieces)


def test_f05_an_overload_in_the_middle_is_not_replayed(stage, wire):
    """An error after some words is the error it says; the provider does not ask again by itself."""
    begun, _ = wire.speech.stream(HELLO)
    outcome = stage.call(wire, sse("".join([*begun, wire.speech.outcry(529, "Overloaded.")])))
    assert (Overloaded, 1) == (type(outcome.error), outcome.requests)
    assert outcome.pieces, "what came before was handed out"


@pytest.mark.parametrize("hangs_up", ["politely", "by reset", "in a chunk"])
def test_f06_a_stream_without_its_end_is_no_answer(stage, wire, hangs_up):
    """Whole sentences without the wire's own end are `StreamTruncated`, however the connection closes."""
    begun, _ = wire.speech.stream(HELLO)
    body = "".join(begun)
    replies: dict[str, Reply] = {
        "politely": sse(body),
        "by reset": resetting(sse(body)),
        "in a chunk": sse(f"{len(body) + 99:x}\r\n{body}", transfer_encoding="chunked"),
    }
    outcome = stage.call(wire, replies[hangs_up])
    assert (StreamTruncated, 1) == (type(outcome.error), outcome.requests)


def test_f06_every_cut_between_events_is_noticed(stage, wire):
    """Cut after any event before the end, no stream passes for an answer."""
    begun, _ = wire.speech.stream(attrs.evolve(HELLO, calls=(Asked("call_1", "note", '{"a": 1}'),)))
    for number in range(len(begun) + 1):
        outcome = stage.call(wire, sse("".join(begun[:number])))
        assert isinstance(outcome.error, (StreamTruncated, BadResponse)), number


def test_f07_a_cut_inside_a_call_leaves_no_call(stage, wire):
    """A stream that ends among a call's arguments is `StreamTruncated`: there is nothing to run."""
    begun, _ = wire.speech.stream(Said(calls=(Asked("call_1", "note", '{"a": "b", "c": "d"}'),)))
    body = "".join(begun)
    for cut in (body.rindex('"c'), len(body) - 8):
        assert StreamTruncated is type(stage.call(wire, sse(body[:cut])).error)


# -- arguments ----------------------------------------------------------------

BROKEN = {
    "F08 cut": '{"path": "x", "content": "and the',
    "F10 words": "path=x",
    "F10 single quotes": "{'path': 'x'}",
    "F10 trailing comma": '{"path": "x",}',
    "F10 two values": '{"path": "x"}{"path": "y"}',
    "F10 comment": '{"path": "x" // here\n}',
    "F10 fence": '```json\n{"path": "x"}\n```',
    "F11 null": "null",
    "F11 list": '["x"]',
    "F11 number": "3",
    "F11 text": '"x"',
    "F13 brackets": "[" * 100_000,
    "F13 braces": '{"path":' * 100_000,
    "F13 deep": '{"path":' * 70 + "1" + "}" * 70,
    "F14 digits": '{"path": ' + "9" * 5_000 + "}",
    "F15 NaN": '{"path": NaN}',
    "F15 Infinity": '{"path": -Infinity}',
    "F15 too large": '{"path": 1e999}',
    "F17 a key twice": '{"path": "x", "path": "y"}',
    "F17 a key twice inside": '{"path": {"x": 1, "x": 2}}',
}
NO_CALL = {("anthropic", "F11 null"), ("gemini", "F11 null")}
"""Where the wire itself says "no arguments" this way in a whole answer."""


@both
@pytest.mark.parametrize("case", BROKEN)
def test_f08_to_f17_broken_arguments_are_never_run(stage, wire, case, stream):
    """A call with arguments that are no sound object says so, or the answer is none; nothing is repaired (F12)."""
    said = Said(calls=(Asked("call_1", "note", BROKEN[case]),), stop="end")
    outcome = stage.call(wire, told(wire, said, stream), stream=stream)
    if isinstance(outcome.got, ProviderError):
        assert BadResponse is type(outcome.got)
        assert "gemini" == wire.name or not stream, "only where arguments are a part of the answer itself"
        return
    (call,) = outcome.answer.message.tool_calls
    assert {} == call.arguments
    assert call.problem or (wire.name, case) in NO_CALL
    assert len(call.problem or "") < 800


def test_f08_a_cut_call_that_calls_itself_whole(stage, wire):
    """Arguments are read strictly, whatever the server says about why it stopped."""
    for stop in ("end", "length"):
        said = Said(calls=(Asked("call_1", "note", '{"path": "x"'),), stop=stop)
        got = stage.call(wire, streamed(wire, said)).got
        assert isinstance(got, BadResponse) or [True] == [bool(call.problem) for call in got.message.tool_calls]


@both
def test_f16_a_lone_surrogate_is_replaced(stage, wire, stream):
    """What cannot be encoded is replaced at the border, so that nothing breaks later."""
    said = Said(text="a\ud800b", thought="\udc00", calls=(Asked("call_1", "note", '{"p\\ud800": "\\udfffx"}'),))
    reply = told(wire, said, stream).replace(b'"m-1"', b'"m\\ud800"').replace(b"content-length", b"x-length")
    answer = stage.call(wire, reply, stream=stream).answer
    assert ("a�b", "m�") == (answer.message.text, answer.model)
    assert {"p�": "�x"} == answer.message.tool_calls[0].arguments
    json.dumps(answer.to_json(), ensure_ascii=False).encode()


@pytest.mark.parametrize("ids", [("call_1", "call_1"), (None, None), ("call_2", None), (None, "call_1", "call_1")])
@both
def test_f19_every_call_has_an_id_of_its_own(stage, wire, ids, stream):
    """Ids that are missing or taken are made up, so that each result finds its call."""
    calls = tuple(Asked(ident, "note", json.dumps({"n": number})) for number, ident in enumerate(ids))
    answer = stage.call(wire, told(wire, Said(calls=calls), stream), stream=stream).answer
    got = [call.id for call in answer.message.tool_calls]
    assert len(ids) == len(set(got))
    assert all(got)
    assert [{"n": number} for number in range(len(ids))] == [call.arguments for call in answer.message.tool_calls]


@both
def test_f20_nobody_asks_for_ten_thousand_calls(stage, wire, stream):
    """More calls than a turn can sensibly have are no answer."""
    calls = tuple(Asked(f"c{number}", "note") for number in range(10_000))
    error = stage.call(wire, told(wire, Said(calls=calls), stream), stream=stream).error
    assert BadResponse is type(error)
    assert "128" in str(error)


def test_f20_pieces_of_calls_may_come_in_any_order(stage, wire):
    """Pieces that are mixed are put together by their index; servers without indexes are understood by order."""
    if wire.rules in ("responses", "generate"):
        pytest.skip("this wire sends each call in one piece")
    calls = tuple(Asked(f"call_{n}", f"note{n}", json.dumps({"n": n, "words": "some more"})) for n in range(3))
    begun, ended = wire.speech.stream(Said(calls=calls))
    if wire.rules == "chat":
        mixed = [begun[0], *begun[1::2], *begun[:1:-2][:3]]
    else:
        blocks = [begun[1 + 4 * n : 5 + 4 * n] for n in range(3)]
        mixed = [begun[0], *(block[step] for step in range(4) for block in (blocks if step % 2 else reversed(blocks)))]
    answer = stage.call(wire, sse("".join([*mixed, *ended]))).answer
    assert {n: f"note{n}" for n in range(3)} == {c.arguments["n"]: c.name for c in answer.message.tool_calls}
    if wire.rules == "chat":
        unnumbered = "".join([*begun, *ended])
        for n in range(3):
            unnumbered = unnumbered.replace(f', "index": {n}', "").replace(f'"index": {n}, "function"', '"function"')
        answer = stage.call(wire, sse(unnumbered)).answer
        assert [0, 1, 2] == [call.arguments["n"] for call in answer.message.tool_calls]


# -- bytes --------------------------------------------------------------------

FORMS = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "comments": lambda text: ": ping\n\n" + text.replace("\n\n", "\n\n: ping\n\n"),
    "BOM": lambda text: "\ufeff" + text,
    "ids and retries": lambda text: text.replace("data: ", "id: 7\nretry: 10\ndata: "),
    "no blanks": lambda text: text.replace("data: ", "data:"),
    "data in many lines": lambda text: "".join(_spread(line) for line in text.splitlines(keepends=True)),
}


def _spread(line: str) -> str:
    if not line.startswith("data: {"):
        return line
    return event(json.dumps(json.loads(line.removeprefix("data: ")), indent=1)).removesuffix("\n")


@pytest.mark.parametrize("form", FORMS)
def test_f21_a_stream_means_the_same_however_it_is_written_and_cut(stage, wire, form):
    """Line ends, comments, a BOM, data over many lines, and splits inside letters change nothing."""
    said = Said(text="Grüße, 世界 😀!", thought="Ω", calls=(Asked("call_1", "note", '{"ö": ["😀"]}'),))
    expected = stage.call(wire, streamed(wire, said))
    begun, ended = wire.speech.stream(said)
    content = sse(FORMS[form]("".join([*begun, *ended]).replace("\\u00fc", "ü")))
    for size in (1, 7):
        outcome = stage.call(wire, in_pieces(content, size))
        assert (expected.answer, expected.pieces) == (outcome.answer, outcome.pieces)


@pytest.fixture
def capped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap as every provider has, but small enough to be reached in no time."""
    assert reading.BODY <= 64 * 1024 * 1024
    monkeypatch.setattr(reading, "BODY", BOUND)


@pytest.mark.usefixtures("capped")
def test_f22_a_line_without_end_is_given_up(stage, wire):
    """A line that never ends is `BadResponse` after so many bytes, and the connection is closed."""
    outcome = stage.call(wire, endless(sse("data: "), b"x" * CHUNK))
    assert BadResponse is type(outcome.error)
    assert stage.server.sent < BOUND + SLACK


@pytest.mark.usefixtures("capped")
def test_f35_an_answer_without_end_is_given_up(stage, wire):
    """A model that never stops talking is `BadResponse` after so many bytes, and the connection is closed."""
    begun, _ = wire.speech.stream(Said(text="x" * 2 * CHUNK))
    at = next(number for number, each in enumerate(begun) if len(each) > CHUNK)
    outcome = stage.call(wire, endless(sse("".join(begun[:at])), begun[at].encode()))
    assert BadResponse is type(outcome.error)
    assert stage.server.sent < BOUND + SLACK


SLOW: dict[str, Reply] = {
    "F23 a body that drips": dripping(http(b"", content_length="100000"), b" "),
    "F23 a stream that drips": dripping(sse("data: "), b"x"),
    "F24 headers that drip": dripping(b"HTTP/1.1 200 OK\r\nx: ", b"x"),
    "F24 continue for ever": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "F25 heartbeats only": dripping(sse(""), b": ping\n\n"),
    "nothing at all": dripping(b"", b""),
}


@pytest.mark.parametrize("case", SLOW)
def test_f23_f24_f25_the_whole_call_has_a_deadline(stage, wire, case):
    """A server that always sends a little more does not hold a call beyond its time."""
    outcome = stage.call(wire, SLOW[case], hasty=True)
    assert (ProviderTimeout, 1) == (type(outcome.error), outcome.requests)
    assert f"{LATE:g} seconds" in str(outcome.error)


# -- connections --------------------------------------------------------------


def test_f26_nobody_listens(stage, wire):
    """A refused connection is `ConnectionFailed`, and the address is in the hint."""

    async def free_port() -> int:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return port

    url = f"http://127.0.0.1:{stage.runner.run(free_port())}"
    error = stage.elsewhere(wire, url).error
    assert ConnectionFailed is type(error)
    assert url in str(error)


def test_f26_no_tls_where_tls_was_asked_for(stage, wire):
    """A server that does not speak TLS is `ConnectionFailed` where the address begins with https."""
    error = stage.elsewhere(wire, stage.server.url.replace("http:", "https:")).error
    assert ConnectionFailed is type(error)


@both
@pytest.mark.parametrize(
    "reply", [resetting(), b"", b"HTTP/1.1 garbage\r\n\r\n", b"\x16\x03\x01\x00nonsense\r\n\r\n"],
    ids=["F26 reset", "F26 hung up", "F28 garbage", "F28 binary"],
)  # fmt: skip
def test_f26_f28_no_http_comes_back(stage, wire, reply, stream):
    """A connection that breaks before an answer is `ConnectionFailed`, and the call is made once."""
    outcome = stage.call(wire, reply, stream=stream)
    assert (ConnectionFailed, 1) == (type(outcome.error), outcome.requests)


PAGE = "<html><body>" + "Bad gateway. " * 400 + "</body></html>"


@both
@pytest.mark.parametrize(
    ("body", "kind"),
    [(PAGE, "text/html"), (PAGE, "application/json"), ("", "application/json"), ('{"a": ', "application/json"),
     ("[]", "application/json"), ("7", "application/json"), ("{}", "application/json"), ("\x00\x01", "image/png")],
)  # fmt: skip
def test_f27_a_200_that_is_no_answer(stage, wire, body, kind, stream):
    """A page of HTML, nothing, half a JSON or another kind of thing is `BadResponse`, with a short look at it."""
    error = stage.call(wire, http(body, kind=kind), stream=stream).error
    assert BadResponse is type(error)
    assert len(str(error)) < 600
    assert "Bad gateway" in str(error) or body != PAGE


def test_f27_an_answer_under_a_wrong_name(stage, wire):
    """An answer that is one is taken, whatever its content type says."""
    assert HELLO.text == stage.call(wire, http(wire.speech.whole(HELLO), kind="text/plain")).answer.message.text
    begun, ended = wire.speech.stream(HELLO)
    got = stage.call(wire, http("".join([*begun, *ended]), kind="application/json"))
    assert HELLO.text == got.answer.message.text == spoken(got)


@pytest.mark.parametrize("fault", ["F28 too short", "F28 chunk cut", "F29 gzip cut", "F29 gzip broken"])
@both
def test_f28_f29_a_body_that_is_not_whole(stage, wire, fault, stream):
    """A body shorter than it says, or compressed and cut, is a broken connection and never a short answer."""
    begun, _ = wire.speech.stream(HELLO)
    body = "".join(begun).encode() if stream else wire.speech.whole(HELLO).encode()
    kind = "text/event-stream" if stream else "application/json"
    packed = gzip.compress(body, mtime=0)
    replies = {
        "F28 too short": http(body, kind=kind, content_length=str(len(body) + 50)),
        "F28 chunk cut": http(
            b"%x\r\n" % (len(body) + 9) + body, kind=kind, content_length="", transfer_encoding="chunked"
        ),
        "F29 gzip cut": http(packed[:20], kind=kind, content_encoding="gzip"),
        "F29 gzip broken": http(packed[:20] + b"?" * 40, kind=kind, content_encoding="gzip"),
    }
    error = stage.call(wire, replies[fault], stream=stream).error
    assert type(error) in (ConnectionFailed, StreamTruncated)


# -- what it says about itself ------------------------------------------------


@both
@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        -1,
        {"a": 1},
        [],
        {"P": "7", "A": "2"},
        {"P": -7, "A": -2},
        {"P": 1.5, "A": None},
        {"P": True, "A": {}},
    ],
)
def test_f33_a_usage_that_makes_no_sense_is_unknown(stage, wire, usage, stream):
    """A usage that is missing or nonsense is None: unknown, not zero, and no failure."""
    names = dict(zip("PA", wire.speech.counts, strict=True))
    body = {names.get(name, name): value for name, value in usage.items()} if isinstance(usage, dict) else usage
    answer = stage.call(wire, told(wire, attrs.evolve(HELLO, usage=body), stream), stream=stream).answer
    assert (HELLO.text, None) == (answer.message.text, answer.usage)


@both
def test_f33_a_usage_that_makes_sense_is_told(stage, wire, stream):
    """So the tests above do not pass for want of looking."""
    usage = stage.call(wire, told(wire, HELLO, stream), stream=stream).answer.usage
    assert (7, 7) == (usage.input, usage.output)


@both
@pytest.mark.parametrize("stop", ["refusal", "filtered", "length"])
def test_f34_why_it_stopped_is_told(stage, wire, stop, stream):
    """A refusal, a filter and a cap are outcomes with names, not plain ends."""
    names = {
        "refusal": ("refusal", "content_filtered"),
        "filtered": ("content_filtered", "refusal"),
        "length": ("max_tokens",),
    }
    got = stage.call(wire, told(wire, Said(text="I cannot", stop=stop), stream), stream=stream).got
    assert isinstance(got, ContentFiltered) or got.stop in names[stop]


@both
def test_f34_an_answer_of_nothing(stage, wire, stream):
    """No choices, no candidates, no output: `BadResponse`, or an empty answer where the wire allows one."""
    key = {"chat": "choices", "responses": "output", "messages": "content", "generate": "candidates"}[wire.rules]
    body = json.loads(wire.speech.whole(Said())) | {key: []}
    got = stage.call(wire, http(json.dumps(body)), stream=stream).got
    if wire.rules in ("chat", "generate"):
        assert BadResponse is type(got)
    else:
        assert ("", "end") == (got.message.text, got.stop)


# -- the loop around it -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("note", '{"path": "x"}', "content"),  # F09: it parses, and the schema says what is missing
        ("note", '{"path": "x", "content": "and the', "arguments cannot be read"),  # F10
        ("note", '["x"]', "arguments cannot be read"),  # F11
        ("no_such_tool", "{}", "There is no tool called"),  # F18
        ("", "{}", "There is no tool called"),
        ("no\nsuch", "{}", "There is no tool called"),
    ],
)
def test_f09_to_f18_the_model_reads_what_was_wrong(stage, wire, name, arguments, words):
    """A call that cannot be made is answered with the reason, nothing runs, and the loop goes on by the rules."""
    ran = []

    @tool
    async def note(path: str, content: str) -> str:
        """Write *content* to *path*."""
        ran.append(path)
        return "done"

    if wire.rules == "generate" and words == "arguments cannot be read" and arguments.startswith("{"):
        pytest.skip("here the arguments are a part of the answer, which is then none")
    server = stage.server
    server.script(streamed(wire, Said(calls=(Asked("call_1", name, arguments),))), streamed(wire, HELLO))
    agent = Agent("ada", stage.patient[wire.name], tools=[note])
    reply = stage.runner.run(_sent(agent))
    assert (HELLO.text, []) == (reply, ran)
    heard = judged(wire.rules, json.dumps(server.requests[1]).encode())
    assert 1 == len(heard.results)
    assert words in heard.results[0]
    assert len(heard.results[0]) <= 800


async def _sent(agent: Agent) -> Any:
    return (await agent.send("Note this.")).text
