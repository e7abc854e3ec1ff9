"""What can go wrong on the way, through the real SDK."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
)
from cloudllm_image_openai import OpenAIImages


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


easels = _neighbour("easel")
Reply = easels.Reply
KEYS = ("OPENAI_API_KEY", "OPEN_AI_SECRET", "OPENAI_KEY", "OPENAI_BASE_URL")
GOOD = {"data": [{"b64_json": easels.coded(easels.PNG)}]}
BLOCKED = {
    "error": {
        "message": "Your request was rejected by the safety system. safety_violations=[violence].",
        "type": "image_generation_user_error",
        "code": "moderation_blocked",
    }
}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def easel() -> Iterator[Any]:
    with easels.painting() as easel:
        yield easel


def made(easel: Any, **settings: Any) -> tuple[GeneratedImage, ...]:
    async def main() -> tuple[GeneratedImage, ...]:
        generator: ImageGenerator = OpenAIImages(base_url=f"{easel.address}/v1", **settings)
        try:
            return await generator.generate("A red fox.", aspect_ratio="16:9")
        finally:
            await generator.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (Reply(429, {"error": {"message": "Slow down."}}, {"Retry-After": "7"}), RateLimited, "Slow down"),
        (Reply(401, {"error": {"message": "Bad key."}}), AuthenticationFailed, "Bad key"),
        (Reply(400, BLOCKED), ContentFiltered, "rejected by the safety system"),
        (Reply(400, {"error": {"message": "No.", "code": "content_policy_violation"}}), ContentFiltered, "No"),
        (Reply(400, {"error": {"message": "Invalid value: 'x'.", "param": "quality"}}), BadRequest, "Invalid value"),
        (
            Reply(400, {"error": {"message": "Unknown parameter: 'moderation'."}}),
            BadRequest,
            "Unknown parameter: 'moderation'",
        ),
        (Reply(500, {"error": {"message": "Oops."}}), Overloaded, "Oops"),
        (Reply(503, b"<html>busy</html>"), Overloaded, "busy"),
        (Reply(200, GOOD, cut=True), ConnectionFailed, "the connection broke"),
        (Reply(200, b"", {"Content-Encoding": "gzip"}), ConnectionFailed, "before any of the answer had come"),
        (Reply(200, b"not gzip", {"Content-Encoding": "gzip"}), ConnectionFailed, "the connection broke"),
        (Reply(200, b"<html>hello</html>", {"Content-Type": "text/html"}), BadResponse, "is not JSON; it begins with"),
        (Reply(200, b""), BadResponse, "is empty"),
        (Reply(200, b"[" * 100_000), BadResponse, "is not JSON"),
        (Reply(200, {"data": []}), BadResponse, "has no images"),
        (Reply(200, {"data": [{"b64_json": "!"}]}), BadResponse, "base64 is broken"),
        (Reply(200, {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}), RateLimited, "Slow down"),
    ],
)
def test_what_goes_wrong_is_said(easel: Any, reply: Any, error: type[ProviderError], said: str) -> None:
    """In the class that fits, after one call: the SDK's own retries are off."""
    easel.always = reply
    with pytest.raises(ProviderError) as refused:
        made(easel)

    assert error is type(refused.value), refused.value
    assert said in refused.value.problem
    assert ("openai", "gpt-image-2") == (refused.value.provider, refused.value.model)
    assert 1 == len(easel.asked)


def test_the_wait_that_a_server_asks_for_is_kept(easel: Any) -> None:
    """So that who retries can keep to it."""
    easel.always = Reply(429, {"error": {"message": "Slow down."}}, {"Retry-After": "7"})
    with pytest.raises(RateLimited) as refused:
        made(easel)

    assert 7.0 == refused.value.retry_after


def test_a_server_that_says_nothing_is_left(easel: Any) -> None:
    """After `timeout` seconds, and the sentence names the setting."""
    easel.always = easels.HANG
    with pytest.raises(ProviderTimeout) as refused:
        made(easel, timeout=0.3)

    said = "openai:gpt-image-2: no whole answer came within 0.3 seconds. Raise timeout to wait longer."
    assert said == str(refused.value)


def test_no_server_is_a_failed_connection() -> None:
    """With a hint where to look."""
    with pytest.raises(ConnectionFailed, match="a server listens at http://127.0.0.1:1/v1"):
        asyncio.run(OpenAIImages(base_url="http://127.0.0.1:1/v1").generate("A red fox."))


def test_without_a_key_nothing_is_sent() -> None:
    """At the provider's own address; the sentence names the variables."""
    with pytest.raises(AuthenticationFailed, match="OPENAI_API_KEY and OPEN_AI_SECRET and OPENAI_KEY are not set"):
        asyncio.run(OpenAIImages().generate("A red fox."))


def test_a_call_says_what_was_asked_for(easel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path, the key in its header, the body with the options; and the image comes whole."""
    monkeypatch.setenv("OPENAI_API_KEY", "k-1")
    (image,) = made(easel, options={"quality": "low"}, headers={"X-Team": "foxes"})

    (asked,) = easel.asked
    assert "/v1/images/generations" == asked.path
    assert ("Bearer k-1", "foxes") == (asked.headers["authorization"], asked.headers["x-team"])
    body = {"model": "gpt-image-2", "prompt": "A red fox.", "n": 1, "size": "1536x864", "quality": "low"}
    assert body == asked.body
    assert ("image/png", easels.PNG + b"\0") == (image.mime, image.data)


@pytest.mark.parametrize(
    ("settings", "where"),
    [({"timeout": 0}, "timeout"), ({"base_url": "x"}, "base_url"), ({"headers": {"a": "\n"}}, "headers.'a'")],
)
def test_wrong_settings_are_named_at_once(settings: dict[str, Any], where: str) -> None:
    """Before anything is asked for."""
    from cloudllm_core.errors import SettingsError

    with pytest.raises(SettingsError) as refused:
        OpenAIImages.from_settings(settings)

    assert where == refused.value.where


def test_options_that_are_no_json_are_refused(easel: Any) -> None:
    """As the provider does."""
    with pytest.raises(BadRequest, match="cannot be written as JSON"):
        made(easel, options={"quality": object()})
    assert [] == easel.asked


def test_what_nobody_may_read_is_known() -> None:
    """The key and the headers' values, for the kernel to hide."""
    painter = OpenAIImages(api_key="canary-key-1", headers={"X-Pass": "canary-pass-2"})

    assert {"canary-key-1", "canary-pass-2"} <= {secret.reveal() for secret in painter.secrets()}
    assert "canary" not in repr(painter)
