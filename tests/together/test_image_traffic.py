"""What servers really answered to those who wanted images, replayed on loopback through the real SDKs."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cloudllm_cli.teams import read_team
from cloudllm_core import GeneratedImage, ImageGenerator, Registry, RunResult
from cloudllm_core.errors import (
    BadResponse,
    ConnectionFailed,
    ContentFiltered,
    ProviderError,
    RateLimited,
    StreamTruncated,
)
from cloudllm_image_gemini import GeminiImages
from cloudllm_image_grok import GrokImages
from cloudllm_image_openai import OpenAIImages


def _neighbour(folder: str, name: str) -> Any:
    path = Path(__file__).parents[2] / "plugins" / folder / "tests" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorded, easels = _neighbour("provider-openai", "recorded"), _neighbour("image-openai", "easel")
needs_traffic = recorded.needs_traffic
Outcome = tuple[GeneratedImage, ...] | ProviderError

DEVIATIONS: dict[str, str] = {
    "gemini-image-b227bf8e": "speech, from a model that speaks; no picture, so it is BadResponse",
}
"""Cases whose images are not extracted as expected, and why."""


def load(surface: str) -> list[Any]:
    return list(recorded.load(surface)) if recorded.TRAFFIC.is_dir() else []


OPENAI = [case for case in load("openai.images") if case.stored["provider"] != "grok"]
GROK = [case for case in load("openai.images") if case.stored["provider"] == "grok"]
GEMINI = load("gemini.generate")
PAINTED = [case for case in GEMINI if case.expected.get("images")]
CHAT_ERRORS = [case for case in load("openai.chat") if case.stored["response"]["status"] >= 400]
"""The errors of an Images API are those of its neighbour."""


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with recorded.replaying([*OPENAI, *GROK, *GEMINI, *CHAT_ERRORS]) as running:
        yield running


RUNS = itertools.count()
"""Each run through a list of cases begins at its first one."""


def of(cases: Sequence[Any]) -> type[OpenAIImages] | type[GeminiImages]:
    """Who is to ask for *cases*, which are all of one kind."""
    if all(case.stored["surface"] == "gemini.generate" for case in cases):
        return GeminiImages
    return GrokImages if cases == GROK else OpenAIImages


def play(server: Any, cases: Sequence[Any], **options: Any) -> list[Outcome]:
    """
    What comes of each case, asked for as many images, and in the form, as it has; one after the other over one client.

    The model is one that nobody knows, so that it may give bytes and addresses.
    """

    async def one(generator: ImageGenerator, case: Any) -> Outcome:
        images = case.expected.get("images") or [{}]
        format: Any = "url" if "url" in images[0] else "bytes"
        n = 1 if isinstance(generator, GeminiImages) else len(images)
        try:
            return await generator.generate("A red fox.", n=n, format=format)
        except ProviderError as problem:
            return problem

    async def all_of_them() -> list[Outcome]:
        ids = [case.id for case in cases]
        generator = of(cases)("any", base_url=server.url(*ids, "no-more", name=next(RUNS), **options))
        try:
            return [await one(generator, case) for case in cases]
        finally:
            await generator.aclose()

    return asyncio.run(all_of_them())


def shown(image: GeneratedImage, expected: dict[str, Any]) -> dict[str, Any]:
    """*image* in the words of *expected*."""
    data = image.data or b""
    facts: dict[str, Any] = {
        "mime": image.mime,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "url": image.url,
        "revised_prompt": image.revised_prompt,
    }
    return {name: facts[name] for name in expected}


def differences(cases: Sequence[Any], outcomes: Sequence[Outcome]) -> list[str]:
    found = []
    for case, outcome in zip(cases, outcomes, strict=True):
        wanted: Any
        got: Any
        if case.fails:
            wanted = recorded.ERRORS[case.expected["error"]["class"]].__name__, case.stored["response"]["status"]
            got = (type(outcome).__name__, outcome.status) if isinstance(outcome, ProviderError) else outcome
        else:
            wanted = case.expected.get("images") or []
            got = (
                repr(outcome)
                if isinstance(outcome, ProviderError)
                else [shown(image, each) for image, each in zip(outcome, wanted, strict=False)]
            )
        if wanted != got:
            found.append(f"{case.id}: expected {wanted!r}, got {got!r}"[:600])
    return found


def without_deviations(found: Sequence[str]) -> list[str]:
    return [line for line in found if line.partition(":")[0] not in DEVIATIONS]


@needs_traffic
@pytest.mark.parametrize("options", [{}, {"chunk": "awkward"}, {"chunk": "rand:3"}], ids=["whole", "awkward", "random"])
@pytest.mark.parametrize("cases", [OPENAI, GROK, PAINTED], ids=["openai", "grok", "gemini"])
def test_recorded_images_are_extracted(server: Any, cases: Sequence[Any], options: dict[str, Any]) -> None:
    """Each has the bytes, the type and the address that are expected, however the answer is split."""
    cases = [case for case in cases if not options or len(case.stored["response"]["body"]) < 100_000]
    assert cases

    assert [] == without_deviations(differences(cases, play(server, cases, **options)))


@needs_traffic
def test_deviations_are_still_there() -> None:
    """None is listed that is gone."""
    assert set() == set(DEVIATIONS) - {case.id for case in [*OPENAI, *GROK, *GEMINI]}


@needs_traffic
def test_speech_is_no_picture(server: Any) -> None:
    """The one deviation."""
    (outcome,) = play(server, [case for case in GEMINI if case.id in DEVIATIONS])

    assert isinstance(outcome, BadResponse)
    assert "the answer has no picture" in outcome.problem


@needs_traffic
@pytest.mark.parametrize("cut", [0.02, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_answer_that_breaks_off_is_no_image(server: Any, cut: float, end: str) -> None:
    """At whatever place: a retry may mend it."""
    cases = [case for case in OPENAI if not case.fails and len(case.stored["response"]["body"]) < 100_000]
    outcomes = play(server, cases, cut=cut, end=end)

    assert {ConnectionFailed} == {type(outcome) for outcome in outcomes}


@needs_traffic
def test_recorded_refusals_are_told_apart(server: Any) -> None:
    """The errors of Chat Completions, told to one who wanted an image, are the same errors."""
    outcomes = play(server, CHAT_ERRORS)
    listed = recorded.DEVIATIONS
    found = differences(CHAT_ERRORS, outcomes)

    assert len(CHAT_ERRORS) > 50
    assert [] == [line for line in found if "error" not in listed.get(line.partition(":")[0], ())]


@needs_traffic
def test_whatever_gemini_said_is_an_image_or_an_error(server: Any) -> None:
    """Errors are classified as expected; words and calls are `BadResponse`, blocked answers `ContentFiltered`."""
    cases = [case for case in GEMINI if not case.expected.get("images")]
    played = list(zip(cases, play(server, cases), strict=True))
    refused = [(case, outcome) for case, outcome in played if case.fails]
    said = {case.id: type(outcome) for case, outcome in played if not case.fails}

    assert [] == differences([case for case, _ in refused], [outcome for _, outcome in refused])
    assert {case.id: kind_of(case) for case in cases if not case.fails} == said


def kind_of(case: Any) -> type[ProviderError]:
    """What an answer without an image is."""
    if not case.expected["complete"]:
        return StreamTruncated if case.streams else BadResponse
    return ContentFiltered if case.expected["stop_reason"] == "content_filtered" else BadResponse


@needs_traffic
def test_a_server_that_recovers_gives_the_image(server: Any) -> None:
    """A call that was refused is refused once, and a later one works: the SDK does not retry by itself."""
    busy = next(case for case in CHAT_ERRORS if case.expected["error"]["class"] == "rate_limited")
    good = next(case for case in OPENAI if not case.fails)
    refused, again, images = play(server, [busy, busy, good])

    assert [RateLimited, RateLimited] == [type(refused), type(again)]
    assert [] == differences([good], [images])


# -- by the tool --------------------------------------------------------------

TEAM = """
mode = "round-robin"

[[agents]]
name = "ada"
model = {{ name = "script:ada", path = "play.toml" }}
tools = [{{ name = "image", generator = {generator}, folder = "out" }}]
"""
PLAY = """
[[ada]]
call = {{ tool = "generate_image", arguments = {{ prompt = "A red fox.", aspect_ratio = "{ratio}" }} }}

[[ada]]
say = "Done."
"""


@pytest.fixture
def easel() -> Iterator[Any]:
    with easels.painting() as easel:
        yield easel


@pytest.mark.parametrize(
    ("generator", "path", "model"),
    [
        ('{{ name = "openai:gpt-image-1.5", base_url = "{address}/v1" }}', "/v1/images/generations", "gpt-image-1.5"),
        ('{{ name = "grok", base_url = "{address}/v1" }}', "/v1/images/generations", "grok-imagine-image"),
        ('{{ name = "gemini", base_url = "{address}" }}', "/v1/models/gemini-2.5-flash-image:generateContent", None),
    ],
)
def test_a_team_file_paints_over_a_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, easel: Any, generator: str, path: str, model: str | None
) -> None:
    """The whole way: from a team file to a picture in a folder beside it, with any of the three."""
    monkeypatch.chdir(tmp_path)
    Path("team.toml").write_text(TEAM.format(generator=generator.format(address=easel.address)), "utf-8")
    Path("play.toml").write_text(PLAY.format(ratio="3:2"), "utf-8")
    orchestration = read_team("team.toml").build(Registry.from_environment({}))

    async def main() -> RunResult:
        try:
            return await orchestration.run("Paint.")
        finally:
            await orchestration.aclose()

    result = asyncio.run(main())
    assert "Done." == result.messages[-1].text, result
    (image,) = Path("out").iterdir()
    assert easels.PNG == image.read_bytes()[: len(easels.PNG)]
    assert image.name.startswith("a-red-fox-")
    (asked,) = easel.asked
    assert (path, model) == (asked.path, asked.body.get("model"))
