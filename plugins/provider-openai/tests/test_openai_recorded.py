"""What real servers answered, replayed on loopback through the real SDK."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core.errors import BadResponse, ConnectionFailed
from cloudllm_provider_openai import OpenAI


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorded = _neighbour("recorded")
pytestmark = recorded.needs_traffic

SURFACES = {"chat": ("openai.chat", 800), "responses": ("openai.responses", 300)}
"""Of each API: the name of its cases, and how many there are at least."""


@pytest.fixture(scope="module", params=SURFACES)
def api(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def cases(api: str) -> list[Any]:
    surface, least = SURFACES[api]
    found: list[Any] = recorded.load(surface)
    assert len(found) > least
    return found


@pytest.fixture(scope="module")
def server(cases: list[Any]) -> Iterator[Any]:
    with recorded.replaying(cases) as running:
        yield running


@pytest.fixture
def make(api: Any) -> Any:
    return lambda url: OpenAI(base_url=url, api=api)


def _read(server: Any, make: Any, cases: list[Any]) -> None:
    outcomes = recorded.play(server, make, cases, lambda case: case.streams)

    assert [] == recorded.report(cases, outcomes)
    assert {} == recorded.stale(cases, outcomes), "a deviation that no longer deviates leaves the list"


def test_recorded_answers_are_read_as_expected(server: Any, make: Any, cases: list[Any]) -> None:
    """Text, thoughts, calls, usage, stop reason and error class are the expected ones, or listed."""
    _read(server, make, recorded.sample(cases, 200))


def test_the_deviations_are_real(server: Any, make: Any, cases: list[Any]) -> None:
    """What is listed deviates, and in just these fields."""
    _read(server, make, [case for case in cases if case.id in recorded.DEVIATIONS])


@pytest.mark.soak
def test_every_recorded_answer_is_read_as_expected(server: Any, make: Any, cases: list[Any]) -> None:
    """The same of every case."""
    _read(server, make, cases)


def _awkward(server: Any, make: Any, streams: list[Any], **options: Any) -> list[str]:
    outcomes = recorded.play(server, make, streams, lambda case: True, crlf=1, comments=1, **options)
    found: list[str] = recorded.report(streams, outcomes)
    return found


def test_streams_read_the_same_however_they_are_split(server: Any, make: Any, cases: list[Any]) -> None:
    """Splits inside characters, line ends, field names and JSON escapes change nothing."""
    streams = recorded.sample(recorded.streams_of(cases, 20_000), 40)

    assert [] == _awkward(server, make, streams, chunk="awkward")


@pytest.mark.soak
@pytest.mark.parametrize("chunk", ["awkward", "rand:1", "rand:2", "1"])
def test_all_streams_read_the_same_however_they_are_split(server: Any, make: Any, cases: list[Any], chunk: str) -> None:
    """The same of every stream, and byte by byte."""
    assert [] == _awkward(server, make, recorded.streams_of(cases), chunk=chunk)


BREAKS = [(cut, end) for cut in (0.1, 0.5, 0.9) for end in ("close", "reset")]


@pytest.mark.parametrize(("cut", "end"), BREAKS)
def test_a_stream_that_breaks_off_is_never_an_answer(
    server: Any, make: Any, cases: list[Any], cut: float, end: str
) -> None:
    """A connection lost in the middle of a stream is an error that a retry may mend."""
    streams = recorded.sample([case for case in recorded.streams_of(cases) if not case.fails], 15)

    assert [] == recorded.broken_off(server, make, streams, cut, end)


@pytest.mark.soak
@pytest.mark.parametrize(("cut", "end"), BREAKS)
def test_no_stream_that_breaks_off_is_an_answer(server: Any, make: Any, cases: list[Any], cut: float, end: str) -> None:
    """The same of every stream."""
    streams = [case for case in recorded.streams_of(cases, 10**9) if not case.fails]

    assert [] == recorded.broken_off(server, make, streams, cut, end)


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.95])
def test_a_stream_that_ends_early_but_politely_is_no_answer_either(
    server: Any, make: Any, cases: list[Any], cut: float
) -> None:
    """A well-formed HTTP end does not make half a stream an answer; only what follows its end may miss."""
    whole = [case for case in recorded.streams_of(cases) if not case.fails and case.expected["complete"]]

    assert [] == recorded.ended_early(server, make, recorded.sample(whole, 20), cut)


@pytest.mark.soak
@pytest.mark.parametrize("cut", [0.3, 0.7, 0.95])
def test_no_stream_that_ends_early_is_an_answer(server: Any, make: Any, cases: list[Any], cut: float) -> None:
    """The same of every stream."""
    whole = [case for case in recorded.streams_of(cases, 10**9) if not case.fails and case.expected["complete"]]

    assert [] == recorded.ended_early(server, make, whole, cut)


def test_a_cut_whole_answer_is_an_error(server: Any, make: Any, cases: list[Any]) -> None:
    """Half a JSON body is never an answer."""
    whole = recorded.sample([case for case in cases if not case.streams and not case.fails], 40)
    outcomes = recorded.play(server, make, whole, lambda case: False, cut=0.6)

    assert [] == [
        case.id for case, outcome in zip(whole, outcomes, strict=True) if not isinstance(outcome, ConnectionFailed)
    ]


def test_one_api_is_not_taken_for_the_other(server: Any, api: str, cases: list[Any]) -> None:
    """Answers of the API that was not asked are a `BadResponse`, whole or streamed."""
    wrong = "chat" if api == "responses" else "responses"
    some = recorded.sample([case for case in recorded.streams_of(cases) if not case.fails], 10)
    some += recorded.sample([case for case in cases if not case.streams and not case.fails], 10)
    outcomes = recorded.play(server, lambda url: OpenAI(base_url=url, api=wrong), some, lambda case: case.streams)

    assert [BadResponse] * len(some) == [type(outcome) for outcome in outcomes]
