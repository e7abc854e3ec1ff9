"""Recorded traffic, played back on loopback through the real SDK; for the tests of all providers on this wire."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_core import Completion, Message, Provider, Request, Text, Thinking
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

TRAFFIC = Path(__file__).parents[3].parent / "shared" / "data" / "provider-traffic"
needs_traffic = pytest.mark.skipif(
    not TRAFFIC.is_dir(), reason=f"the recorded traffic is not part of the project; none at {TRAFFIC}"
)

DEVIATIONS: dict[str, tuple[str, ...]] = {
    # Five answers carry an empty `function_call` beside (or instead of) real calls; it is no call.
    # Their finish_reason is "", which is read as an ordinary end.
    "snowflake-3a3a8dc1": ("tool_calls", "stop"),
    "snowflake-885c7211": ("tool_calls", "stop"),
    "snowflake-cba2dee6": ("tool_calls", "stop"),
    "snowflake-df25097d": ("tool_calls", "stop"),
    "snowflake-f2362ac0": ("tool_calls", "stop"),
    # No finish_reason at all in a whole answer, or in a stream that said [DONE]: an ordinary end.
    "openai-chat-30d22959": ("stop",),
    "openai-chat-c8359c59": ("stop",),
    "openrouter-2bfecda7": ("stop",),
    "snowflake-c19f1bc7": ("stop",),
    # Structured output as a JSON object where a string belongs: its JSON text.
    "cloudflare-2033d9d9": ("text",),
    "cloudflare-9f549477": ("text",),
    # "The total length of all messages is too long" is said of the context, so it is ContextTooLong.
    "perplexity-f4d4eeb9": ("error",),
    # More reasoning than answer: it comes on top. The recorded cost says so too: for 1cbdcf28,
    # 57 tokens at $0.30 and 10 + 37 at $2.50 a million are the $0.0001346 that was charged.
    **dict.fromkeys(
        [
            "doubleword-34f1c983",
            "vercel-gateway-1cbdcf28",
            "vercel-gateway-24b3ed13",
            "vercel-gateway-27efe71d",
            "vercel-gateway-3d4ad0bc",
            "vercel-gateway-48bb49cb",
            "vercel-gateway-801ca327",
            "vercel-gateway-979a2770",
            "vercel-gateway-9cb39819",
            "vercel-gateway-b8222ead",
            "vercel-gateway-be65f7eb",
        ],
        ("usage",),
    ),
    # Responses. A response that is queued or in progress is no answer; nobody asked for one in the background.
    "openai-responses-1ec311d6": ("error",),
    "openai-responses-3ad93e46": ("error",),
    "openai-responses-81caf4ed": ("error",),
    # Two responses in one recording: the first one's end is the end.
    "openai-responses-0922eeb3": ("text", "usage"),
    # "insufficient_quota" is the same inside a stream as with a status of 429, so it is RateLimited.
    "openai-responses-23e3bb74": ("error",),
    # More tokens read from the cache than the whole prompt has: no more than the prompt is believed.
    **dict.fromkeys(
        [
            "azure-ai-127635d6",
            "azure-ai-15107fb4",
            "azure-ai-2de511d5",
            "azure-ai-3764a69a",
            "azure-ai-51b17c80",
            "azure-ai-60252abb",
            "azure-ai-88f450f5",
            "azure-ai-8aba2d85",
            "azure-ai-9301a4c1",
            "azure-ai-bc854ed5",
            "azure-ai-dbc3e2a4",
        ],
        ("usage",),
    ),
}
"""What differs from the expected record, by case, and why."""

ELIDED = ("openai-responses-6e1dc207", "openai-responses-fedd4c4e")
"""Recordings from which pieces were taken out, so that they do not add up to the text at their end."""

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


def load(surface: str, *providers: str) -> list[Case]:
    """The cases of *surface*, of *providers* only if some are named."""
    expected: dict[str, Any] = {}
    for file in (*TRAFFIC.glob("expected/*.json"), *TRAFFIC.glob("synthetic/expected/*.json")):
        expected |= json.loads(file.read_text(encoding="utf-8"))
    files = sorted((*TRAFFIC.glob("cases/*.jsonl"), *TRAFFIC.glob("synthetic/cases/*.jsonl")))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]
    stored = [case for case in map(json.loads, lines) if case["surface"] == surface]
    return [
        Case(case["id"], case, expected[case["id"]])
        for case in stored
        if not providers or case["provider"] in providers
    ]


@contextmanager
def replaying(cases: Sequence[Case]) -> Iterator[Any]:
    """A server that answers with *cases*."""
    spec = importlib.util.spec_from_file_location("provider_traffic_replay", TRAFFIC / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    with module.Replay({case.id: case.stored for case in cases}) as running:
        yield running
    running._loop.close()


def sample(cases: Sequence[Case], number: int) -> list[Case]:
    """Some of *cases*, the same each time."""
    return random.Random(7).sample(list(cases), min(number, len(cases)))


DOUBLE = ("openai-responses-0922eeb3",)
"""Recordings of two streams in one: cut in the middle, the first one is still whole."""


def streams_of(cases: Sequence[Case], limit: int = 60_000) -> list[Case]:
    """The streamed ones, without those of great length."""
    streams = [case for case in cases if case.streams and case.id not in DOUBLE]
    return [case for case in streams if len(case.stored["response"]["body"]) < limit]


RUNS = itertools.count()
"""Each run through a list of cases begins at its first one."""


Outcome = Completion | ProviderError
Make = Callable[[str], Provider]
"""Makes the provider under test for a base_url."""


def play(
    server: Any, make: Make, cases: Sequence[Case], streaming: Callable[[Case], bool], **options: Any
) -> list[Outcome]:
    """What comes of each case, one after the other over one client; streamed pieces must add up to the answer."""
    request = Request(model="any", instructions="", messages=(Message.user("Hello."),))

    async def one(provider: Provider, case: Case) -> Outcome:
        pieces: dict[str, list[str]] = {"content": [], "reasoning": []}
        try:
            if not streaming(case):
                return await provider.complete(request)
            answer = await provider.stream(request, lambda sort, piece: pieces[sort].append(piece))
        except ProviderError as problem:
            return problem
        if case.id not in ELIDED:
            assert answer.message.text == "".join(pieces["content"]), case.id
        assert thinking_of(answer) == "".join(pieces["reasoning"]), case.id
        return answer

    async def all_of_them() -> list[Outcome]:
        ids = [case.id for case in cases]
        provider = make(server.url(*ids, "no-more", name=next(RUNS), **options))
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
    if expected["error"] is not None:
        want = ERRORS[expected["error"]["class"]]
        found = {"error": (want.__name__, type(outcome).__name__)}
        if isinstance(outcome, RateLimited):
            found["retry_after"] = (expected["error"]["retry_after_s"], outcome.retry_after)
        if isinstance(outcome, ProviderError) and case.stored["response"]["status"] != 200:
            found["status"] = (case.stored["response"]["status"], outcome.status)
    elif isinstance(outcome, ProviderError):
        found = {"error": (None, f"{type(outcome).__name__}: {outcome}")}
    else:
        found = {
            "text": (expected["text"], text_of(outcome)),
            "thinking": (expected["thinking"] or "", thinking_of(outcome)),
            "tool_calls": _calls(expected["tool_calls"], outcome),
            "usage": (_usage(expected["usage"]), outcome.usage and outcome.usage.to_json()),
            "stop": (expected["stop_reason"], outcome.stop),
        }
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _calls(expected: list[dict[str, Any]], outcome: Completion) -> tuple[Any, Any]:
    want = [
        (call["id"], call["name"], call["arguments"] if call["arguments_valid"] else call["arguments_raw"])
        for call in expected
    ]
    got = [
        (call.id, call.name, dict(call.arguments) if call.problem is None else call.raw)
        for call in outcome.message.tool_calls
    ]
    assert len({ident for ident, *_ in got}) == len(got)
    if len(want) == len(got):  # where none was sent, any id will do
        want = [
            (mine[0] if theirs[0] is None else theirs[0], *theirs[1:]) for theirs, mine in zip(want, got, strict=True)
        ]
    return want, got


def _usage(expected: dict[str, Any] | None) -> dict[str, Any] | None:
    if expected is None:
        return None
    write = expected["cache_write"] or 0
    return {
        "input": expected["input_uncached"] - write,
        "output": expected["output_total"],
        "cache_read": expected["cache_read"] or 0,
        "cache_write": write,
        "reasoning": expected["reasoning"] or 0,
    }


def report(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{case.id} {name}: expected {pair[0]!r}, got {pair[1]!r}"[:600]
        for case, outcome in zip(cases, outcomes, strict=True)
        for name, pair in differences(case, outcome).items()
        if name not in DEVIATIONS.get(case.id, ())
    ]


def broken_off(server: Any, make: Make, cases: Sequence[Case], cut: float, end: str) -> list[str]:
    """Which of the streams that lose their connection are no error that a retry may mend; there should be none."""
    outcomes = play(server, make, cases, lambda case: True, cut=cut, end=end)
    kinds = (StreamTruncated, ConnectionFailed)
    return [case.id for case, outcome in zip(cases, outcomes, strict=True) if not isinstance(outcome, kinds)]


def ended_early(server: Any, make: Make, cases: Sequence[Case], cut: float) -> list[str]:
    """
    Which of the streams that end early but politely are another answer; there should be none.

    What follows the answer's own end (usage, ``[DONE]``) may miss.
    """
    outcomes = play(server, make, cases, lambda case: True, cut=cut, end="clean")
    assert any(isinstance(outcome, StreamTruncated) for outcome in outcomes)
    return [
        case.id
        for case, outcome in zip(cases, outcomes, strict=True)
        if not isinstance(outcome, StreamTruncated)
        and {"text", "tool_calls", "stop", "error"} & {*differences(case, outcome)} - {*DEVIATIONS.get(case.id, ())}
    ]


def stale(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> dict[str, tuple[Any, Any]]:
    """Listed deviations of *cases* that no longer deviate, or in other fields: (listed, found)."""
    found = {case.id: set(differences(case, outcome)) for case, outcome in zip(cases, outcomes, strict=True)}
    listed = {case.id: set(DEVIATIONS.get(case.id, ())) for case in cases}
    return {ident: (listed[ident], found[ident]) for ident in found if listed[ident] != found[ident]}
