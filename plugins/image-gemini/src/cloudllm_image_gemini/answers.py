"""A message of the provider as an image: pure functions, no SDK, no network."""

from __future__ import annotations

import base64
import json
from typing import Any

from cloudllm_core import Completion, GeneratedImage, Image, Private
from cloudllm_core.errors import BadResponse, ContentFiltered

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_STOPS = {
    "max_tokens": "The answer was cut at its longest; raise maxOutputTokens in the options.",
    "end": "Say in the prompt that a picture is wanted, and check that the model makes pictures.",
}


def image_in(answer: Completion, provider: str, model: str) -> GeneratedImage:
    """
    The picture in *answer*; where there are several, the first.

    Raises:
        ContentFiltered: a filter held it back. BadResponse: there is none, or it is broken.
    """
    return images_in(answer, provider, model)[0]


def images_in(answer: Completion, provider: str, model: str) -> tuple[GeneratedImage, ...]:
    """Every picture in *answer*. Raises: as `image_in`."""
    whose: dict[str, Any] = {"provider": provider, "model": model, "request_id": answer.request_id}
    text = " ".join(answer.message.text.split())
    if answer.stop == "content_filtered":
        reason = _reason(answer) or text or "no reason was given"
        raise ContentFiltered(f"the picture was held back: {reason}", **whose, hint="Change the wording of the prompt.")
    images = [part for part in answer.message.parts if isinstance(part, Image)]
    if not images:
        instead = f"the model said: {_short(text)!r}" if text else _reason(answer) or f"it ended with {answer.stop!r}"
        raise BadResponse(f"the answer has no picture; {instead}", **whose, hint=_STOPS.get(answer.stop, ""))
    return tuple(_image(image, whose) for image in images)


def _image(image: Image, whose: dict[str, Any]) -> GeneratedImage:
    if image.data is None:
        raise BadResponse("the answer has an address where the picture itself was asked for", **whose)
    try:
        data = base64.b64decode("".join(image.data.split()), validate=True)
    except ValueError:
        data = b""
    if not data:
        raise BadResponse("the answer has a picture whose base64 is broken", **whose)
    return GeneratedImage(mime_of(data) or image.mime, data)


def mime_of(data: bytes) -> str:
    """What kind of picture *data* begins as; empty for none that is known."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for magic, mime in _MAGIC if data.startswith(magic)), "")


def _reason(answer: Completion) -> str:
    """What the API says about a block or an end, as far as it says anything."""
    found: list[str] = []
    for part in answer.message.parts:
        metadata = part.data.get("metadata") if isinstance(part, Private) and isinstance(part.data, dict) else None
        if isinstance(metadata, dict):
            found += [_spoken(said) for name in ("promptFeedback", "finishMessage") for said in metadata.get(name, ())]
    return _short("; ".join(filter(None, found))).rstrip(".")


def _spoken(said: Any) -> str:
    if isinstance(said, str):
        return said
    if isinstance(said, dict):
        return ": ".join(str(said[name]) for name in ("blockReason", "blockReasonMessage") if said.get(name))
    return json.dumps(said)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "..."
