"""What Anthropic's servers and gateways answered, replayed on loopback through the real SDK."""

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

from cloudllm_core import Completion, Message, Private, Request, Text, Thinking
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamTruncated,
)
from cloudllm_provider_anthropic import Anthropic
from cloudllm_provider_anthropic.wire import request_body

TRAFFIC = Path(__file__).parents[3].parent / "shared" / "data" / "provider-traffic"
pytestmark = pytest.mark.skipif(
    not TRAFFIC.is_dir(), reason=f"the recorded traffic is not part of the project; none at {TRAFFIC}"
)

DEVIATIONS: dict[str, tuple[str, ...]] = {
    # Four calls by code that ran at Anthropic, whose result stands in the same answer: they are over, not to be made.
    "anthropic-05384ee7": ("tool_calls",),
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
    def body(self) -> str:
        return str(self.stored["response"]["body"])

    @property
    def streams(self) -> bool:
        return self.body.lstrip("\ufeff \n").startswith(("data:", "event:", ":"))

    @property
    def fails(self) -> bool:
        return self.expected["error"] is not None


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
    files = sorted((*TRAFFIC.glob("cases/*.jsonl"), *TRAFFIC.glob("synthetic/cases/*.jsonl")))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]
    stored = [case for case in map(json.loads, lines) if case["surface"] == "anthropic.messages"]
    found = [Case(case["id"], case, expected[case["id"]]) for case in stored]
    assert len(found) >= 196
    return found


@pytest.fixture(scope="module")
def server(replay: Any, cases: list[Case]) -> Any:
    with replay.Replay({case.id: case.stored for case in cases}) as running:
        yield running
    running._loop.close()


RUNS = itertools.count()
"""Each run through a list of cases begins at its first one."""

Outcome = Completion | ProviderError

ASK = Request(model="any", instructions="", messages=(Message.user("Hello."),))


def play(server: Any, cases: Sequence[Case], streaming: Callable[[Case], bool], **options: Any) -> list[Outcome]:
    """What comes of each case, one after the other over one client; streamed pieces must add up to the answer."""

    async def one(provider: Anthropic, case: Case) -> Outcome:
        pieces: dict[str, list[str]] = {"content": [], "reasoning": []}
        try:
            if not streaming(case):
                return await provider.complete(ASK)
            answer = await provider.stream(ASK, lambda sort, piece: pieces[sort].append(piece))
        except ProviderError as problem:
            return problem
        assert text_of(answer) == "".join(pieces["content"]), case.id
        assert thinking_of(answer) == "".join(pieces["reasoning"]), case.id
        return answer

    async def all_of_them() -> list[Outcome]:
        ids = [case.id for case in cases]
        provider = Anthropic(base_url=server.url(*ids, "no-more", name=next(RUNS), **options))
        try:
            return [await one(provider, case) for case in cases]
        finally:
            await provider.aclose()

    return asyncio.run(all_of_them())


def text_of(answer: Completion) -> str:
    return "".join(part.text for part in answer.message.parts if isinstance(part, Text))


def thinking_of(answer: Completion) -> str:
    return "".join(part.text for part in answer.message.parts if isinstance(part, Thinking))


def traces_of(answer: Completion) -> list[dict[str, Any]]:
    private = [part.data for part in answer.message.parts if isinstance(part, Private)]
    return [data["block"] for data in private if "block" in data]


def differences(case: Case, outcome: Outcome) -> dict[str, tuple[Any, Any]]:
    """Field to (expected, actual), for all that differs."""
    expected = case.expected
    found: dict[str, tuple[Any, Any]]
    if expected["error"] is not None:
        want = ERRORS[expected["error"]["class"]]
        found = {"error": (want.__name__, type(outcome).__name__)}
        if isinstance(outcome, ProviderError):
            found["retry_after"] = (expected["error"]["retry_after_s"], outcome.retry_after)
            found["status"] = (case.stored["response"]["status"], outcome.status)
            found["message"] = (expected["error"]["message"].rstrip("."), outcome.problem)
    elif isinstance(outcome, ProviderError):
        found = {"error": (None, f"{type(outcome).__name__}: {outcome}")}
    else:
        redacted = [part for part in outcome.message.parts if isinstance(part, Thinking) and "redacted" in part.private]
        traces = traces_of(outcome)
        found = {
            "text": (expected["text"], text_of(outcome)),
            "thinking": (expected["thinking"] or "", thinking_of(outcome)),
            "redacted": (expected["redacted_thinking_blocks"], len(redacted)),
            "tool_calls": (_calls(expected["tool_calls"]), _made(outcome)),
            "provider_tool_calls": (
                [(call["id"], call["name"], call["type"]) for call in expected["provider_tool_calls"]],
                [(call["id"], call["name"], call["type"]) for call in traces if call["type"].endswith("_use")],
            ),
            "other_blocks": (expected["other_blocks"], [b["type"] for b in traces if not b["type"].endswith("_use")]),
            "usage": (_usage(expected["usage"]), outcome.usage and outcome.usage.to_json()),
            "stop": (expected["stop_reason"], outcome.stop),
            "model": (expected["model"] or "", outcome.model),
        }
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _calls(expected: list[dict[str, Any]]) -> list[Any]:
    return [
        (call["id"], call["name"], call["arguments"] if call["arguments_valid"] else call["arguments_raw"])
        for call in expected
    ]


def _made(outcome: Completion) -> list[Any]:
    return [
        (call.id, call.name, dict(call.arguments) if call.problem is None else call.raw)
        for call in outcome.message.tool_calls
    ]


def _usage(expected: dict[str, Any] | None) -> dict[str, Any] | None:
    if expected is None:
        return None
    return {
        "input": expected["input_uncached"],
        "output": expected["output_total"],
        "cache_read": expected["cache_read"] or 0,
        "cache_write": expected["cache_write"] or 0,
        "reasoning": expected["reasoning"] or 0,
    }


def report(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{case.id} {name}: expected {pair[0]!r}, got {pair[1]!r}"[:600]
        for case, outcome in zip(cases, outcomes, strict=True)
        for name, pair in differences(case, outcome).items()
        if name not in DEVIATIONS.get(case.id, ())
    ]


def sample(cases: Sequence[Case], number: int, longest: int = 60_000) -> list[Case]:
    """*number* of the cases that are not too long; always the same."""
    short = [case for case in cases if len(case.body) <= longest]
    return random.Random(4).sample(short, min(number, len(short)))


def test_every_recorded_answer_is_read_as_expected(server: Any, cases: list[Case]) -> None:
    """Text, thoughts, calls, traces, usage, stop reason and error of each case are the expected ones."""
    outcomes = play(server, cases, lambda case: case.streams)

    assert [] == report(cases, outcomes)


def test_the_deviations_are_real(server: Any, cases: list[Case]) -> None:
    """A deviation that no longer deviates leaves the list."""
    listed = [case for case in cases if case.id in DEVIATIONS]
    outcomes = play(server, listed, lambda case: case.streams)

    found = {case.id: set(differences(case, outcome)) for case, outcome in zip(listed, outcomes, strict=True)}
    assert {ident: set(names) for ident, names in DEVIATIONS.items()} == found


def test_a_whole_answer_to_a_streaming_call_is_understood(server: Any, cases: list[Case]) -> None:
    """What is not streamed although it was asked for is handed out in one piece per block."""
    whole = sample([case for case in cases if not case.streams], 30)

    assert [] == report(whole, play(server, whole, lambda case: True))


@pytest.mark.parametrize("chunk", ["awkward", "rand:7"])
def test_streams_read_the_same_however_they_are_split(server: Any, cases: list[Case], chunk: str) -> None:
    """Splits inside characters, line ends, field names and JSON escapes change nothing, nor do CRLF and comments."""
    streams = sample([case for case in cases if case.streams], 40, 40_000)
    outcomes = play(server, streams, lambda case: True, chunk=chunk, crlf=1, comments=1)

    assert [] == report(streams, outcomes)


def test_a_stream_reads_the_same_byte_by_byte(server: Any, cases: list[Case]) -> None:
    """One byte at a time is the worst that a network can do."""
    streams = sample([case for case in cases if case.streams], 12, 5000)

    assert [] == report(streams, play(server, streams, lambda case: True, chunk=1))


@pytest.mark.soak
@pytest.mark.parametrize("options", [{"chunk": 1}, {"chunk": "awkward"}, {"chunk": "awkward", "crlf": 1}])
def test_every_stream_reads_the_same_however_it_is_split(
    server: Any, cases: list[Case], options: dict[str, Any]
) -> None:
    """The same, for all of them."""
    streams = [case for case in cases if case.streams]

    assert [] == report(streams, play(server, streams, lambda case: True, **options))


@pytest.mark.parametrize("end", ["close", "reset", "clean"])
@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_stream_that_breaks_off_is_never_an_answer(server: Any, cases: list[Case], cut: float, end: str) -> None:
    """A stream that stops in the middle is an error that a retry may mend, also where HTTP ends as it should."""
    streams = [case for case in cases if case.streams and not case.fails][::3]
    outcomes = play(server, streams, lambda case: True, cut=cut, end=end)

    kinds = (StreamTruncated, ConnectionFailed)
    assert [] == [case.id for case, outcome in zip(streams, outcomes, strict=True) if not isinstance(outcome, kinds)]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
def test_a_stream_that_breaks_off_anywhere_is_never_an_answer(server: Any, cases: list[Case], seed: int) -> None:
    """Wherever it is cut before its last event, what comes is an error of ours."""
    streams = [case for case in cases if case.streams and not case.fails]
    cut = random.Random(seed).uniform(0.0, 0.95)
    outcomes = play(server, streams, lambda case: True, cut=cut, end="clean")

    whole = [case.id for case, outcome in zip(streams, outcomes, strict=True) if not isinstance(outcome, ProviderError)]
    assert [] == whole


def test_a_cut_whole_answer_is_an_error(server: Any, cases: list[Case]) -> None:
    """Half a JSON body is never an answer."""
    whole = [case for case in cases if not case.streams and not case.fails][::3]
    outcomes = play(server, whole, lambda case: False, cut=0.6)

    assert [] == [
        case.id for case, outcome in zip(whole, outcomes, strict=True) if not isinstance(outcome, ConnectionFailed)
    ]


def test_each_failure_costs_one_request(server: Any) -> None:
    """Two refusals and an answer are three calls of ours: nothing is retried behind our back."""

    async def main() -> list[str]:
        ids = ("synthetic-anthropic-429-retry-after", "synthetic-anthropic-529", "anthropic-1eec0c8c")
        provider = Anthropic(base_url=server.url(*ids, name=next(RUNS)))
        found: list[str] = []
        for _ in ids:
            try:
                found.append((await provider.complete(ASK)).stop)
            except ProviderError as problem:
                found.append(f"{type(problem).__name__} {problem.retry_after} {problem.request_id}")
        await provider.aclose()
        return found

    expected = ["RateLimited 7.0 req_synthetic02", "Overloaded None req_synthetic01", "tool_use"]
    assert expected == asyncio.run(main())


def test_what_was_said_goes_back_as_it_came(server: Any, cases: list[Case]) -> None:
    """
    The blocks of a recorded answer stand in the next request as they did in the answer, signatures included.

    Results whose call came in an answer before have no place in a history without that one.
    """
    whole = [case for case in cases if not case.streams and not case.fails]
    for case, outcome in zip(whole, play(server, whole, lambda case: False), strict=True):
        assert isinstance(outcome, Completion)
        request = attrs.evolve(ASK, messages=(Message.user("Go."), outcome.message))
        back = request_body(request, False, cache=False)["messages"][1]["content"]
        ids = {block.get("id") for block in json.loads(case.body)["content"]}
        said = [block for block in json.loads(case.body)["content"] if block.get("tool_use_id") in {None, *ids}]

        if said and case.id not in DEVIATIONS:
            assert _joined(said) == _joined(back), case.id


def _joined(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """*blocks* without what need not go back: seams in plain text, empty citations, who asked for a call."""
    found: list[dict[str, Any]] = []
    for block in blocks:
        bare = {name: value for name, value in block.items() if value and (name, block["type"]) != CALLER}
        if block["type"] == "tool_use":
            bare["input"] = block["input"]
        if block["type"] == "text" and "citations" not in bare and found and found[-1].keys() == {"type", "text"}:
            found[-1]["text"] += block["text"]
        else:
            found.append(bare)
    return found


CALLER = ("caller", "tool_use")
