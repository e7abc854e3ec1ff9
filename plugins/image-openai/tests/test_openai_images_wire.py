"""What is sent and what is read: bodies of our own, no network."""

from __future__ import annotations

import re
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import GeneratedImage
from cloudllm_core.errors import BadResponse, ContentFiltered, Overloaded, ProviderError, SettingsError
from cloudllm_image_openai import OpenAIImages
from cloudllm_image_openai.answers import images_in
from cloudllm_image_openai.asking import size_of
from cloudllm_provider_openai.wire import Origin

ORIGIN = Origin(provider="openai", model="m", status=200, request_id="req_1")
PNG, HELLO = "iVBORw0KGgo=", "aGVsbG8="
URL = "https://images.example/1.png"


def read(body: Any, format: Any = "bytes", n: int = 1) -> tuple[GeneratedImage, ...]:
    return images_in(body, ORIGIN, format, n)


# -- requests -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "ratio", "size"),
    [
        ("gpt-image-2", "1:1", "1024x1024"),
        ("gpt-image-2", "3:2", "1536x1024"),
        ("gpt-image-2", "2:3", "1024x1536"),
        ("gpt-image-2", "16:9", "1536x864"),
        ("gpt-image-2.5-flare", "9:16", "864x1536"),
        ("gpt-image-2-2026-04-21", "4:3", "1344x1008"),
        ("gpt-image-2", "32:18", "1536x864"),
        ("gpt-image-1-mini", "3:2", "1536x1024"),
        ("gpt-image-1.5", "2:3", "1024x1536"),
        ("chatgpt-image-latest", "1:1", "1024x1024"),
        ("openai/dall-e-3", "7:4", "1792x1024"),
    ],
)
def test_a_ratio_becomes_a_size_that_has_it(model: str, ratio: str, size: str) -> None:
    """Sizes that the API's reference names where there is one."""
    assert size == size_of(model, ratio)


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_free_size_is_exact_and_within_the_limits(width: int, height: int) -> None:
    """Whatever ratio is taken, the size has it exactly, in multiples of 16 and within the limits; or it is refused."""
    try:
        size = size_of("gpt-image-2", f"{width}:{height}")
    except SettingsError:
        return
    across, down = map(int, size.split("x"))
    assert Fraction(width, height) == Fraction(across, down)
    assert (0, 0) == (across % 16, down % 16)
    assert 655_360 <= across * down <= 8_294_400
    assert max(across, down) <= 3840
    assert max(across, down) <= 3 * min(across, down)


@pytest.mark.parametrize(
    ("model", "ratio", "sentence"),
    [
        (
            "gpt-image-1.5",
            "16:9",
            "aspect_ratio: found '16:9', expected 1:1, 3:2 or 2:3 for gpt-image-1.5. Take the nearest one.",
        ),
        ("dall-e-2", "3:2", "aspect_ratio: found '3:2', expected 1:1 for dall-e-2."),
        ("gpt-image-2", "10:3", "aspect_ratio: found '10:3', expected one between 1:3 and 3:1 for gpt-image-2."),
        (
            "gpt-image-2",
            "999:1000",
            (
                "aspect_ratio: found '999:1000', expected one that a size in multiples of 16 has exactly, for "
                "gpt-image-2. Take one of smaller numbers, such as 16:9, 4:3 or 21:9."
            ),
        ),
        ("gpt-image-2", "wide", "aspect_ratio: found 'wide', expected width and height as in '16:9'."),
    ],
)
def test_a_ratio_that_cannot_be_made_is_refused_with_what_there_is(model: str, ratio: str, sentence: str) -> None:
    """It is never changed into another one."""
    with pytest.raises(SettingsError) as refused:
        size_of(model, ratio)

    assert sentence == str(refused.value)


def test_a_model_that_gives_bytes_only_is_not_asked_how() -> None:
    """`gpt-image-*` refuse a call with a `response_format`."""
    assert {"model": "gpt-image-2", "prompt": "A fox.", "n": 2, "size": "1024x1024"} == OpenAIImages().request(
        "A fox.", "1:1", 2, "bytes"
    )


@pytest.mark.parametrize(("format", "said"), [("bytes", "b64_json"), ("url", "url")])
def test_other_models_are_told_the_format(format: Any, said: str) -> None:
    """They give addresses unless they are told otherwise."""
    assert said == OpenAIImages("dall-e-2").request("A fox.", "1:1", 1, format)["response_format"]


@pytest.mark.parametrize(
    ("model", "asked", "sentence"),
    [
        (
            "gpt-image-2",
            {"format": "url"},
            (
                "format: found 'url', expected 'bytes', as gpt-image-2 gives no addresses. "
                "Ask for format='bytes' and save the image, or use another model."
            ),
        ),
        ("gpt-image-2", {"n": 11}, "n: found 11, expected a whole number from 1 to 10."),
        ("dall-e-3", {"n": 2}, "n: found 2, expected 1."),
        ("gpt-image-2", {"prompt": " "}, "prompt: found ' ', expected a text that says what is to be seen."),
    ],
)
def test_what_a_model_cannot_do_is_refused(model: str, asked: dict[str, Any], sentence: str) -> None:
    """Each with what it can do."""
    call = {"prompt": "A fox.", "aspect_ratio": "1:1", "n": 1, "format": "bytes"} | asked
    with pytest.raises(SettingsError) as refused:
        OpenAIImages(model).request(**call)

    assert sentence == str(refused.value)


@pytest.mark.parametrize("name", ["size", "n", "response_format", "stream", "prompt"])
def test_options_do_not_contradict_a_call(name: str) -> None:
    """They would be sent in its place."""
    with pytest.raises(SettingsError, match=f"options.{name}: found a field of the call itself"):
        OpenAIImages.from_settings({"options": {name: "x"}})


# -- answers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (PNG, "image/png"),
        ("/9j/4AAQ", "image/jpeg"),
        ("UklGRgAAAABXRUJQ", "image/webp"),
        ("R0lGODlh", "image/gif"),
        (HELLO, "image/svg"),
        ("iVBORw0K\nGgo=", "image/png"),
        ("data:image/jpeg;base64," + PNG, "image/png"),
        ("data:image/avif;base64," + HELLO, "image/avif"),
    ],
)
def test_the_type_is_what_the_bytes_begin_as(data: str, mime: str) -> None:
    """What the server says counts only where the bytes are no picture that is known."""
    (image,) = read({"data": [{"b64_json": data}], "output_format": "svg"})

    assert mime == image.mime


def test_an_image_says_what_was_painted() -> None:
    """The prompt as the provider changed it, and nothing where it did not."""
    first, second = read({"data": [{"b64_json": PNG, "revised_prompt": "A fox."}, {"b64_json": PNG}]}, n=2)

    assert ("A fox.", None) == (first.revised_prompt, second.revised_prompt)


def test_an_address_is_taken_as_it_is() -> None:
    """With the type the server gives, and none where it gives none."""
    first, second = read({"data": [{"url": URL, "mime_type": "image/jpeg"}, {"url": URL, "b64_json": PNG}]}, "url", 2)

    assert GeneratedImage("image/jpeg", url=URL) == first
    assert GeneratedImage("", url=URL) == second


def test_more_images_than_asked_for_are_left_out() -> None:
    """As many as asked for is the promise."""
    assert 1 == len(read({"data": [{"b64_json": PNG}] * 3}))


@pytest.mark.parametrize(
    ("body", "format", "error", "said"),
    [
        ([], "bytes", BadResponse, "the answer is not a JSON object"),
        ({"created": 1, "data": []}, "bytes", BadResponse, "the answer has no images; it has 'created', 'data'"),
        ({}, "bytes", BadResponse, "the answer has no images; it has nothing"),
        ({"data": None}, "bytes", BadResponse, "the answer has no images"),
        ({"data": [None, 1]}, "bytes", BadResponse, "the answer has no images"),
        ({"data": [{"b64_json": "***"}]}, "bytes", BadResponse, "an image whose base64 is broken"),
        ({"data": [{"b64_json": "iVBORw0KGg"}]}, "bytes", BadResponse, "an image whose base64 is broken"),
        ({"data": [{"b64_json": "\u00e9"}]}, "bytes", BadResponse, "an image whose base64 is broken"),
        ({"data": [{"b64_json": 7, "x": 1}]}, "bytes", BadResponse, "the answer has the image itself where"),
        ({"data": [{"id": 1}]}, "bytes", BadResponse, "without data or address; it has 'id'"),
        ({"data": [{"url": URL}]}, "bytes", BadResponse, "an address where the image itself was asked for"),
        ({"data": [{"b64_json": PNG}]}, "url", BadResponse, "the image itself where an address was asked for"),
        ({"data": [{"url": "", "respect_moderation": False}]}, "url", ContentFiltered, "held back by moderation"),
        ({"data": [], "block_reason": "violence"}, "url", ContentFiltered, "the request was held back: violence"),
        ({"error": {"message": "Too busy.", "code": 503}}, "bytes", Overloaded, "Too busy"),
    ],
)
def test_an_answer_that_is_none_is_an_error(body: Any, format: Any, error: type[ProviderError], said: str) -> None:
    """It says what came instead, and whose it is; an empty list is no success."""
    with pytest.raises(ProviderError) as refused:
        read(body, format)

    assert error is type(refused.value)
    assert said in refused.value.problem
    assert ("openai", "m", "req_1") == (refused.value.provider, refused.value.model, refused.value.request_id)


def test_fewer_images_than_asked_for_are_an_error() -> None:
    """All or nothing."""
    with pytest.raises(BadResponse, match=re.escape("the answer has 1 of the 2 images that were asked for")):
        read({"data": [{"b64_json": PNG}]}, n=2)


WORDS = ["data", "error", "b64_json", "url", "output_format", "mime_type", "code", "block_reason", "message"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda kept: st.lists(kept, max_size=3) | st.dictionaries(st.sampled_from(WORDS), kept, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(["bytes", "url"]),
)
def test_any_answer_is_images_or_one_of_our_errors(body: Any, format: Any) -> None:
    """Whatever JSON a server sends."""
    with suppress(ProviderError):
        (image,) = read(body, format)
        assert (image.data is None) == (format == "url")
