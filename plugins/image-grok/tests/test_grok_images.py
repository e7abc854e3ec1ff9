"""xAI's images: what is sent, what is refused, and the contract."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core import GeneratedImage, ImageGenerator
from cloudllm_core.errors import (
    AuthenticationFailed,
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
from cloudllm_image_grok import GrokImages
from cloudllm_image_grok.images import RATIOS

FOLDER = Path(__file__).parents[2] / "image-openai" / "tests"
"""Where the server that paints is kept."""

KEY = "canary-key-83b0"


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


easels = _neighbour("easel")
Reply = easels.Reply
URL = "https://images.example/1.jpeg"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XAI_API_KEY", "XAI_KEY", "GROK_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def easel() -> Iterator[Any]:
    with easels.painting() as easel:
        yield easel


def made(easel: Any, settings: dict[str, Any] | None = None, **call: Any) -> tuple[GeneratedImage, ...]:
    async def main() -> tuple[GeneratedImage, ...]:
        generator = GrokImages(base_url=f"{easel.address}/v1", **(settings or {}))
        try:
            return await generator.generate("A red fox.", **call)
        finally:
            await generator.aclose()

    return asyncio.run(main())


class TestGrokImages(ImageGeneratorContract):
    """Through the real SDK."""

    key = KEY

    @pytest.fixture
    def generator(self, easel: Any) -> ImageGenerator:
        return GrokImages(base_url=f"{easel.address}/v1", api_key=KEY)

    @pytest.fixture
    def asked(self, easel: Any) -> Callable[[], int]:
        return lambda: len(easel.asked)

    @pytest.fixture
    def failing(self) -> Iterator[Sequence[ImageGenerator]]:
        with easels.painting() as rude:
            rude.always = Reply(400, {"code": "invalid-argument", "error": f"Incorrect API key provided: {KEY}"})
            addresses = [rude.address, "http://127.0.0.1:1"]
            yield [GrokImages(base_url=f"{address}/v1", api_key=KEY) for address in addresses]


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_ratio_is_sent_as_it_is(ratio: str) -> None:
    """With the format, and without a size, which xAI does not know."""
    body = {"model": "grok-imagine-image", "prompt": "A fox.", "n": 2, "aspect_ratio": ratio}
    assert body | {"response_format": "b64_json"} == GrokImages().request("A fox.", ratio, 2, "bytes")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"aspect_ratio": "5:4"}, "aspect_ratio: found '5:4', expected one of 1:1, 3:2, 2:3, "),
        ({"aspect_ratio": "32:18"}, "aspect_ratio: found '32:18', expected one of "),
        ({"n": 11}, "n: found 11, expected a whole number from 1 to 10."),
    ],
)
def test_what_xai_cannot_do_is_refused(easel: Any, call: dict[str, Any], sentence: str) -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError) as refused:
        made(easel, **call)

    assert str(refused.value).startswith(sentence)
    assert [] == easel.asked


def test_images_come_whole_or_as_addresses(easel: Any) -> None:
    """Both formats; a data URI is read too, and the type is what the bytes begin as."""
    png = easels.coded(easels.PNG)
    easel.replies = [
        Reply(200, {"data": [{"b64_json": f"data:image/jpeg;base64,{png}", "mime_type": "image/jpeg"}]}),
        Reply(200, {"data": [{"url": URL, "mime_type": "image/jpeg", "revised_prompt": ""}]}),
    ]

    assert (GeneratedImage("image/png", easels.PNG),) == made(easel)
    assert (GeneratedImage("image/jpeg", url=URL),) == made(easel, format="url")
    assert ["b64_json", "url"] == [asked.body["response_format"] for asked in easel.asked]


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (Reply(429, {"code": "x", "error": "Too many requests."}, {"Retry-After": "3"}), RateLimited, "Too many"),
        (Reply(401, {"error": "No credentials."}), AuthenticationFailed, "No credentials"),
        (Reply(400, {"code": "x", "error": "Generated image rejected by content moderation."}), ContentFiltered, "rej"),
        (Reply(200, {"data": [], "block_reason": "minors"}), ContentFiltered, "minors"),
        (Reply(200, {"data": [{"url": "", "respect_moderation": False}]}), ContentFiltered, "held back"),
        (Reply(500, {"error": "Internal."}), Overloaded, "Internal"),
        (Reply(200, {"data": [{"b64_json": "iVBO"}]}, cut=True), ConnectionFailed, "the connection broke"),
        (Reply(200, b"hello"), BadResponse, "not JSON"),
        (Reply(200, {"data": []}), BadResponse, "no images"),
        (Reply(200, {"data": [{"b64_json": "?"}]}), BadResponse, "base64 is broken"),
    ],
)
def test_what_goes_wrong_is_said(easel: Any, reply: Any, error: type[ProviderError], said: str) -> None:
    """In the class that fits, by xAI's name, after one call."""
    easel.always = reply
    with pytest.raises(ProviderError) as refused:
        made(easel)

    assert error is type(refused.value), refused.value
    assert said in refused.value.problem
    assert ("grok", "grok-imagine-image") == (refused.value.provider, refused.value.model)
    assert 1 == len(easel.asked)


def test_a_server_that_says_nothing_is_left(easel: Any) -> None:
    """After `timeout` seconds."""
    easel.always = easels.HANG
    with pytest.raises(ProviderTimeout):
        made(easel, {"timeout": 0.2})


def test_the_address_and_the_key_are_xais(easel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever OpenAI's variables say; without a key nothing is sent there."""
    monkeypatch.setenv("OPENAI_API_KEY", "k-openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(AuthenticationFailed, match="XAI_API_KEY and XAI_KEY and GROK_API_KEY are not set"):
        asyncio.run(GrokImages().generate("A red fox."))
    monkeypatch.setenv("XAI_API_KEY", "k-xai")
    made(easel, {"options": {"resolution": "2k"}})

    assert "Bearer k-xai" == easel.asked[0].headers["authorization"]
    assert "2k" == easel.asked[0].body["resolution"]
    assert "https://api.x.ai/v1" == GrokImages.line.home
