"""What Google's servers answered, replayed on loopback through the real SDK."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_core import Completion, Image, Message, Private, Request, Text, Thinking
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    BadResponse,
    ConnectionFailed,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamTruncated,
)
from cloudllm_provider_gemini import Gemini

TRAFFIC = Path(__file__).parents[3].parent / "shared" / "data" / "provider-traffic"
pytestmark = pytest.mark.skipif(
    not TRAFFIC.is_dir(), reason=f"the recorded traffic is not part of the project; none at {TRAFFIC}"
)

DEVIATIONS: dict[str, tuple[str, ...]] = {
    # Arguments in pieces (an option we never set): the pieces of one call are one call with a problem,
    # while the expected record has a call without arguments for each piece.
    "gemini-1381614f": ("tool_calls",),
    "gemini-37ce52cb": ("tool_calls",),
    "gemini-76c6d95d": ("tool_calls",),
}
"""What differs from the expected record, by case, and why."""

ERRORS: dict[str, type[ProviderError]] = {
    "rate_limited": RateLimited,
    "overloaded": Overloaded,
    "server": Overloaded,
    "auth": AuthenticationFailed,
    "bad_request": BadRequest,
    "context_length": ContextTooLong,
    "content_filtered": ContentFiltered,
}


@attrs.frozen
class Case:
    id: str
    stored: dict[str, Any]
    expected: dict[str, Any]

    @property
    def streams(self) -> bool:
        return str(self.stored["response"]["body"]).lstrip("\ufeff \n").startswith(("data:", "event:", ":"))

    @property
    def fails(self) -> bool:
        return self.expected["error"] is not None

    @property
    def ends_often(self) -> bool:
        """Whether several chunks carry a finishReason, as in old recordings: a polite cut there cannot be seen."""
        return str(self.stored["response"]["body"]).count('"finishReason"') > 1

    @property
    def complete(self) -> bool:
        return bool(self.expected["complete"]) and not self.fails


@pytest.fixture(scope="module")
def replay() -> Any:
    spec = importlib.util.spec_from_file_location("provider_traffic_replay", TRAFFIC / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    expected: dict[str, Any] = {}
    for file in (*TRAFFIC.glob("expected/*.json"), *TRAFFIC.glob("synthetic/expected/*.json")):
        expected |= json.loads(file.read_text(encoding="utf-8"))
    files = sorted((*TRAFFIC.glob("cases/gemini*.jsonl"), *TRAFFIC.glob("synthetic/cases/*.jsonl")))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]
    stored = [case for case in map(json.loads, lines) if case["surface"] == "gemini.generate"]
    found = [Case(case["id"], case, expected[case["id"]]) for case in stored]
    assert len(found) > 190
    return found


@pytest.fixture(scope="module")
def server(replay: Any, cases: list[Case]) -> Any:
    with replay.Replay({case.id: case.stored for case in cases}) as running:
        yield running
    running._loop.close()


RUNS = itertools.count()
"""Each run through a list of cases begins at its first one."""


Outcome = Completion | ProviderError


def play(server: Any, cases: Sequence[Case], streaming: Callable[[Case], bool], **options: Any) -> list[Outcome]:
    """What comes of each case, one after the other over one client; streamed pieces must add up to the answer."""
    request = Request(model="any", instructions="", messages=(Message.user("Hello."),))

    async def one(provider: Gemini, case: Case) -> Outcome:
        pieces: dict[str, list[str]] = {"content": [], "reasoning": []}
        try:
            if not streaming(case):
                return await provider.complete(request)
            answer = await provider.stream(request, lambda sort, piece: pieces[sort].append(piece))
        except ProviderError as problem:
            return problem
        assert text_of(answer) == "".join(pieces["content"]), case.id
        assert thinking_of(answer) == "".join(pieces["reasoning"]), case.id
        return answer

    async def all_of_them() -> list[Outcome]:
        ids = [case.id for case in cases]
        provider = Gemini(base_url=server.url(*ids, "no-more", name=next(RUNS), **options))
        try:
            return [await one(provider, case) for case in cases]
        finally:
            await provider.aclose()

    return asyncio.run(all_of_them())


def text_of(answer: Completion) -> str:
    return "".join(part.text for part in answer.message.parts if isinstance(part, Text))


def thinking_of(answer: Completion) -> str:
    return "".join(part.text for part in answer.message.parts if isinstance(part, Thinking))


def differences(case: Case, outcome: Outcome) -> dict[str, tuple[Any, Any]]:
    """Field to (expected, actual), for all that differs."""
    expected = case.expected
    found: dict[str, tuple[Any, Any]]
    if case.fails:
        want = ERRORS[expected["error"]["class"]]
        found = {"error": (want.__name__, type(outcome).__name__)}
        if isinstance(outcome, RateLimited):
            found["retry_after"] = (expected["error"]["retry_after_s"], outcome.retry_after)
        if isinstance(outcome, ProviderError):
            found["status"] = (case.stored["response"]["status"], outcome.status)
    elif not case.complete:  # no finishReason ever came
        found = {"error": ((StreamTruncated if case.streams else BadResponse).__name__, type(outcome).__name__)}
    elif isinstance(outcome, ProviderError):
        found = {"error": (None, f"{type(outcome).__name__}: {outcome}")}
    else:
        found = {
            "text": (expected["text"], text_of(outcome)),
            "thinking": (expected["thinking"] or "", thinking_of(outcome)),
            "tool_calls": _calls(expected["tool_calls"], outcome),
            "usage": (_usage(expected["usage"]), outcome.usage and outcome.usage.to_json()),
            "stop": (expected["stop_reason"], outcome.stop),
            "model": (expected["model"] or "", outcome.model),
            "images": (
                [image["mime"] for image in expected["images"] or () if image["mime"].startswith("image/")],
                [part.mime for part in outcome.message.parts if isinstance(part, Image)],
            ),
            "traces": (
                [call["type"] for call in expected["provider_tool_calls"]],
                [name for name in _traces(outcome) if name == "executableCode"],
            ),
        }
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _traces(outcome: Completion) -> list[str]:
    return [
        name
        for part in outcome.message.parts
        if isinstance(part, Private)
        for name in part.data.get("part", ())
        if name != "thoughtSignature"
    ]


def _calls(expected: list[dict[str, Any]], outcome: Completion) -> tuple[Any, Any]:
    want = [
        (call["id"], call["name"], call["arguments"] if call["arguments_valid"] else call["arguments_raw"])
        for call in expected
    ]
    got = [
        (call.id, call.name, dict(call.arguments) if call.problem is None else call.raw)
        for call in outcome.message.tool_calls
    ]
    assert all(ident for ident, *_ in got)
    assert len({ident for ident, *_ in got}) == len(got)
    if len(want) == len(got):  # where none was sent, any id will do
        want = [
            (mine[0] if theirs[0] is None else theirs[0], *theirs[1:]) for theirs, mine in zip(want, got, strict=True)
        ]
    return want, got


def _usage(expected: dict[str, Any] | None) -> dict[str, Any] | None:
    """What server-side tools read is prompt as well, and paid as such; a count left out is zero."""
    if expected is None or expected["input_total"] is None:
        return None
    return {
        "input": expected["input_uncached"] + (expected["tool_use_prompt"] or 0),
        "output": expected["output_total"] or 0,
        "cache_read": expected["cache_read"] or 0,
        "cache_write": 0,
        "reasoning": expected["reasoning"] or 0,
    }


def report(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{case.id} {name}: expected {pair[0]!r}, got {pair[1]!r}"[:600]
        for case, outcome in zip(cases, outcomes, strict=True)
        for name, pair in differences(case, outcome).items()
        if name not in DEVIATIONS.get(case.id, ())
    ]


def test_every_recorded_answer_is_read_as_expected(server: Any, cases: list[Case]) -> None:
    """Text, thoughts, calls, usage, stop reason and error class of each case are the expected ones."""
    outcomes = play(server, cases, lambda case: case.streams)

    assert [] == report(cases, outcomes)


def test_the_deviations_are_real(server: Any, cases: list[Case]) -> None:
    """A deviation that no longer deviates leaves the list."""
    listed = [case for case in cases if case.id in DEVIATIONS]
    outcomes = play(server, listed, lambda case: case.streams)

    found = {case.id: set(differences(case, outcome)) for case, outcome in zip(listed, outcomes, strict=True)}
    assert {ident: set(names) for ident, names in DEVIATIONS.items()} == found


def test_streams_read_the_same_however_they_are_split(server: Any, cases: list[Case]) -> None:
    """Splits inside characters, line ends, field names and JSON escapes, and comments, change nothing."""
    streams = [case for case in cases if case.streams and len(case.stored["response"]["body"]) < 60_000]
    outcomes = play(server, streams, lambda case: True, chunk="awkward", crlf=1, comments=1)

    assert [] == report(streams, outcomes)


def test_streams_read_the_same_byte_by_byte(server: Any, cases: list[Case]) -> None:
    """Each byte may come alone; a sample of short ones here, every stream in the long test."""
    short = [case for case in cases if case.streams and len(case.stored["response"]["body"]) < 3_000]
    sample = random.Random(20261124).sample(short, 10)
    outcomes = play(server, sample, lambda case: True, chunk=1)

    assert [] == report(sample, outcomes)


@pytest.mark.soak
def test_every_stream_reads_the_same_byte_by_byte(server: Any, cases: list[Case]) -> None:
    """Each byte of every stream may come alone."""
    streams = [case for case in cases if case.streams]

    assert [] == report(streams, play(server, streams, lambda case: True, chunk=1))


def test_a_plain_call_understands_a_stream_and_the_other_way_round(server: Any, cases: list[Case]) -> None:
    """A server that streams unasked, or does not stream when asked, is read all the same."""
    outcomes = play(server, cases, lambda case: not case.streams)

    assert [] == report(cases, outcomes)


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_stream_that_breaks_off_is_never_an_answer(server: Any, cases: list[Case], cut: float, end: str) -> None:
    """A connection lost in the middle of a stream is an error that a retry may mend."""
    streams = [case for case in cases if case.streams and case.complete]
    outcomes = play(server, streams, lambda case: True, cut=cut, end=end)

    kinds = (StreamTruncated, ConnectionFailed)
    assert [] == [case.id for case, outcome in zip(streams, outcomes, strict=True) if not isinstance(outcome, kinds)]


def polite(server: Any, cases: list[Case], cuts: Sequence[float]) -> None:
    streams = [case for case in cases if case.streams and case.complete and not case.ends_often]
    assert len(streams) > 40
    broken = 0
    for cut in cuts:
        outcomes = play(server, streams, lambda case: True, cut=cut, end="clean")
        wrong = [
            (case.id, cut)
            for case, outcome in zip(streams, outcomes, strict=True)
            if not isinstance(outcome, StreamTruncated)
            and {"text", "thinking", "tool_calls", "stop", "error"}
            & {*differences(case, outcome)} - {*DEVIATIONS.get(case.id, ())}
        ]
        assert [] == wrong
        broken += sum(isinstance(outcome, StreamTruncated) for outcome in outcomes)
    assert broken > len(streams) * len(cuts) / 2


def test_a_stream_that_ends_early_but_politely_is_no_answer_either(server: Any, cases: list[Case]) -> None:
    """A well-formed HTTP end does not make half a stream an answer; only what follows the finishReason may miss."""
    rng = random.Random(36)
    polite(server, cases, [rng.random() for _ in range(8)])


@pytest.mark.soak
def test_no_polite_cut_makes_an_answer(server: Any, cases: list[Case]) -> None:
    """As above, at many places."""
    rng = random.Random(37)
    polite(server, cases, [rng.random() for _ in range(60)])


def test_a_cut_whole_answer_is_an_error(server: Any, cases: list[Case]) -> None:
    """Half a JSON body is never an answer."""
    whole = [case for case in cases if not case.streams and case.complete]
    outcomes = play(server, whole, lambda case: False, cut=0.6)

    assert [] == [
        case.id for case, outcome in zip(whole, outcomes, strict=True) if not isinstance(outcome, ConnectionFailed)
    ]


def test_an_error_passes_and_the_next_call_works(server: Any, cases: list[Case]) -> None:
    """Twice refused with a time to wait, then answered: one request each, over one provider."""
    known = {case.id: case for case in cases}
    answered = next(case for case in cases if case.complete and not case.streams)
    sequence = [known["synthetic-gemini-429-retryinfo"]] * 2 + [answered]
    before = len(server.requests)
    first, second, third = play(server, sequence, lambda case: False)

    assert [(RateLimited, 12.0)] * 2 == [(type(each), getattr(each, "retry_after", None)) for each in (first, second)]
    assert not isinstance(third, ProviderError)
    assert 3 == len(server.requests) - before
