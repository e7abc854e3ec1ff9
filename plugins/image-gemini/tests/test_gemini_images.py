"""Gemini's images: what is sent, what is read, what goes wrong, and the contract."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import GeneratedImage, ImageGenerator
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    BadResponse,
    ConnectionFailed,
    ContentFiltered,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    SettingsError,
)
from cloudllm_core.testing.conformance import ImageGeneratorContract
from cloudllm_image_gemini import GeminiImages
from cloudllm_image_gemini.answers import image_in
from cloudllm_image_gemini.asking import RATIOS, options_of
from cloudllm_provider_gemini.wire import completion

FOLDER = Path(__file__).parents[2] / "image-openai" / "tests"
"""Where the server that paints is kept."""

KEY = "canary-key-9c44"


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


easels = _neighbour("easel")
Reply, gemini = easels.Reply, easels.gemini
GOOD = {"inlineData": {"mimeType": "image/png", "data": easels.coded(easels.PNG)}}
WORDS = {"text": "I would rather not paint foxes."}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GEMINI_KEY", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def easel() -> Iterator[Any]:
    with easels.painting() as easel:
        yield easel


def made(easel: Any, settings: dict[str, Any] | None = None, **call: Any) -> tuple[GeneratedImage, ...]:
    async def main() -> tuple[GeneratedImage, ...]:
        generator = GeminiImages(base_url=easel.address, **({"api_key": KEY} | (settings or {})))
        try:
            return await generator.generate("A red fox.", **call)
        finally:
            await generator.aclose()

    return asyncio.run(main())


class TestGeminiImages(ImageGeneratorContract):
    """Through the real SDK."""

    key = KEY

    @pytest.fixture
    def generator(self, easel: Any) -> ImageGenerator:
        return GeminiImages(base_url=easel.address, api_key=KEY)

    @pytest.fixture
    def asked(self, easel: Any) -> Callable[[], int]:
        return lambda: len(easel.asked)

    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
        from google import genai

        clients: list[Any] = []
        real = genai.Client

        def counted(**settings: Any) -> Any:
            clients.append(real(**settings))
            return clients[-1]

        monkeypatch.setattr(genai, "Client", counted)
        return lambda: len(clients)

    @pytest.fixture
    def failing(self) -> Iterator[Sequence[ImageGenerator]]:
        with easels.painting() as rude, easels.painting() as cut:
            rude.always = Reply(400, {"error": {"status": "INVALID_ARGUMENT", "message": f"API key not valid: {KEY}"}})
            cut.always = Reply(200, gemini(GOOD), cut=True)
            addresses = [rude.address, cut.address, "http://127.0.0.1:1"]
            yield [GeminiImages(base_url=address, api_key=KEY) for address in addresses]


# -- requests -----------------------------------------------------------------


def test_a_call_asks_for_a_picture_of_that_ratio(easel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is in a header and never in the address; an effort for models that think is not sent."""
    monkeypatch.setenv("CLOUDLLM_REASONING_EFFORT", "high")
    (image,) = made(easel, {"options": {"seed": 7, "image_config": {"imageSize": "2K"}}}, aspect_ratio="21:9")

    (asked,) = easel.asked
    assert asked.path.endswith("/models/gemini-2.5-flash-image:generateContent")
    assert KEY not in asked.path
    assert KEY == asked.headers["x-goog-api-key"]
    assert [{"role": "user", "parts": [{"text": "A red fox."}]}] == asked.body["contents"]
    config = {"seed": 7, "responseModalities": ["IMAGE"], "imageConfig": {"imageSize": "2K", "aspectRatio": "21:9"}}
    assert config == asked.body["generationConfig"]
    assert GeneratedImage("image/png", easels.PNG) == image


@pytest.mark.parametrize("ratio", RATIOS)
def test_ten_ratios_are_known(ratio: str) -> None:
    """To every image model."""
    assert {"aspectRatio": ratio} == options_of("gemini-2.5-flash-image", ratio, {})["imageConfig"]


def test_longer_ratios_are_for_models_that_make_them() -> None:
    """Others refuse, and the sentence says what there is."""
    assert {"aspectRatio": "8:1"} == options_of("gemini-3.1-flash-image-preview", "8:1", {})["imageConfig"]
    with pytest.raises(SettingsError) as refused:
        options_of("gemini-3-pro-image", "8:1", {})

    assert (
        "aspect_ratio: found '8:1', expected one of 1:1, 2:3, 3:2, 3:4, 4:3, 4:5, 5:4, 9:16, 16:9, 21:9 for "
        "gemini-3-pro-image."
    ) == str(refused.value)


def test_addresses_are_refused(easel: Any) -> None:
    """With the remedy, before anything is sent."""
    with pytest.raises(SettingsError) as refused:
        made(easel, format="url")

    said = "format: found 'url', expected 'bytes', as Gemini gives no addresses. Ask for format='bytes' and save the"
    assert f"{said} image." == str(refused.value)
    assert [] == easel.asked


# -- several ------------------------------------------------------------------


def test_several_images_are_as_many_calls(easel: Any) -> None:
    """Each brings one, even where a call brings two."""
    easel.always = lambda asked: gemini(GOOD, GOOD)

    assert 5 == len(made(easel, n=5))
    assert 5 == len(easel.asked)


def test_one_failed_call_fails_all_and_its_error_is_kept(easel: Any) -> None:
    """No more calls are begun, and the errors of others are notes of the first one."""
    easel.always = Reply(429, {"error": {"message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}})
    with pytest.raises(RateLimited) as refused:
        made(easel, n=10)

    assert "Slow down" == refused.value.problem
    notes = getattr(refused.value, "__notes__", [])
    assert 4 >= len(easel.asked) == 1 + len(notes)
    assert [] == [note for note in notes if not note.startswith("Another of the 10 calls: gemini:gemini-2.5")]


# -- answers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "mime", "data"),
    [
        (gemini(GOOD), "image/png", easels.PNG),
        (gemini({"inlineData": GOOD["inlineData"] | {"mimeType": "image/jpeg"}}), "image/png", easels.PNG),
        (
            gemini({"inlineData": {"mimeType": "image/jpeg", "data": "/9j/4AAQ"}}),
            "image/jpeg",
            b"\xff\xd8\xff\xe0\0\x10",
        ),
        (gemini({"inlineData": {"mimeType": "image/heic", "data": "aGVsbG8="}}), "image/heic", b"hello"),
        (gemini({"text": "Here:"}, GOOD, {"text": "Enjoy."}), "image/png", easels.PNG),
        (
            gemini({"inlineData": {"mimeType": "image/png", "data": "aGVsbG8="}, "thought": True}, GOOD),
            "image/png",
            easels.PNG,
        ),
        (gemini({**GOOD, "thoughtSignature": "c2ln"}), "image/png", easels.PNG),
    ],
)
def test_a_picture_is_read(body: Any, mime: str, data: bytes) -> None:
    """Among words, signatures and drafts that were only thoughts; the type is what the bytes begin as."""
    assert GeneratedImage(mime, data) == image_in(completion(body), "gemini", "m")


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (gemini(WORDS), BadResponse, "the answer has no picture; the model said: 'I would rather not paint foxes.'"),
        (gemini(), BadResponse, "the answer has no picture; it ended with 'end'"),
        (gemini(finishReason="NO_IMAGE"), BadResponse, "the answer has no picture; it ended with 'other'"),
        (
            gemini(finishReason="NO_IMAGE", finishMessage="Unable to show it."),
            BadResponse,
            "the answer has no picture; Unable to show it",
        ),
        (gemini(WORDS, finishReason="MAX_TOKENS"), BadResponse, "the model said: 'I would"),
        (gemini({"inlineData": {"mimeType": "audio/L16", "data": "AAAA"}}), BadResponse, "the answer has no picture"),
        (gemini({"inlineData": {"mimeType": "image/png", "data": "*"}}), BadResponse, "base64 is broken"),
        (gemini({"inlineData": {"mimeType": "image/png", "data": ""}}), BadResponse, "base64 is broken"),
        (gemini({"fileData": {"mimeType": "image/png", "fileUri": "gs://b/1"}}), BadResponse, "an address where"),
        (gemini(finishReason="IMAGE_SAFETY"), ContentFiltered, "the picture was held back: no reason was given"),
        (
            gemini(finishReason="IMAGE_PROHIBITED_CONTENT", finishMessage="It violates the policy."),
            ContentFiltered,
            "the picture was held back: It violates the policy",
        ),
        (gemini(GOOD, finishReason="IMAGE_SAFETY"), ContentFiltered, "the picture was held back"),
        (
            {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "No."}},
            ContentFiltered,
            "the picture was held back: PROHIBITED_CONTENT: No",
        ),
    ],
)
def test_an_answer_without_a_picture_is_an_error(body: Any, error: type[ProviderError], said: str) -> None:
    """It quotes what the model said, or why there is nothing."""
    with pytest.raises(ProviderError) as refused:
        image_in(completion(body), "gemini", "m")

    assert error is type(refused.value)
    assert said in refused.value.problem
    assert ("gemini", "m") == (refused.value.provider, refused.value.model)


WORDS_OF_THE_WIRE = ["inlineData", "mimeType", "data", "text", "image/png", "fileData", "fileUri", "thought"]


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.just("image/png"),
        lambda kept: st.lists(kept, max_size=3) | st.dictionaries(st.sampled_from(WORDS_OF_THE_WIRE), kept, max_size=4),
        max_leaves=12,
    )
)
def test_any_answer_is_a_picture_or_one_of_our_errors(part: Any) -> None:
    """Whatever JSON a server sends."""
    body = gemini(part if isinstance(part, dict) else {"text": "x"}, finishMessage=part)
    try:
        image = image_in(completion(body), "gemini", "m")
    except ProviderError:
        return
    assert image.data


# -- faults -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (Reply(429, {"error": {"message": "Slow down."}}, {"Retry-After": "7"}), RateLimited, "Slow down"),
        (Reply(401, {"error": {"message": "Bad key."}}), AuthenticationFailed, "Bad key"),
        (Reply(400, {"error": {"message": "Blocked by our safety policy."}}), ContentFiltered, "Blocked by"),
        (Reply(400, {"error": {"message": "Aspect ratio is not enabled."}}), BadRequest, "Aspect ratio"),
        (Reply(500, {"error": {"message": "Oops."}}), Overloaded, "Oops"),
        (Reply(200, gemini(GOOD), cut=True), ConnectionFailed, "the connection broke"),
        (Reply(200, b"<html>hello</html>", {"Content-Type": "text/html"}), BadResponse, "is not JSON"),
        (Reply(200, {"candidates": []}), BadResponse, "has no candidates"),
        (Reply(200, gemini({"inlineData": {"mimeType": "image/png", "data": "!"}})), BadResponse, "base64 is broken"),
    ],
)
def test_what_goes_wrong_is_said(easel: Any, reply: Any, error: type[ProviderError], said: str) -> None:
    """In the class that fits, after one call."""
    easel.always = reply
    with pytest.raises(ProviderError) as refused:
        made(easel)

    assert error is type(refused.value), refused.value
    assert said in refused.value.problem
    assert ("gemini", "gemini-2.5-flash-image") == (refused.value.provider, refused.value.model)
    assert 1 == len(easel.asked)


def test_a_server_that_says_nothing_is_left(easel: Any) -> None:
    """After `timeout` seconds."""
    easel.always = easels.HANG
    with pytest.raises(ProviderTimeout):
        made(easel, {"timeout": 0.2})


def test_the_key_comes_from_the_environment(easel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without one nothing is sent to Google."""
    with pytest.raises(AuthenticationFailed, match="GEMINI_API_KEY and GOOGLE_API_KEY and GEMINI_KEY are not set"):
        asyncio.run(GeminiImages().generate("A red fox."))
    monkeypatch.setenv("GOOGLE_API_KEY", "k-1")
    made(easel, {"api_key": None})

    assert "k-1" == easel.asked[0].headers["x-goog-api-key"]
