"""The wire's answer as images: pure functions, no SDK, no network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from cloudllm_core import GeneratedImage
from cloudllm_core.errors import BadResponse, ContentFiltered
from cloudllm_provider_http import Origin, bad_response
from cloudllm_provider_openai.wire import failure

from .asking import Format

_DATA_URI = re.compile(r"data:([\w.+/-]*)[^,]{0,100},")
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)

REWORD = "Change the wording of what is asked."


def images_in(body: Any, origin: Origin, format: Format, n: int) -> tuple[GeneratedImage, ...]:
    """
    The *n* images in *body*, a parsed answer.

    What a server sends beyond *n* is left out.

    Raises:
        BadResponse: it has fewer, or others than *format* says. ContentFiltered: a filter held some back.
        ProviderError: it is an error in an answer's clothes.
    """
    if not isinstance(body, Mapping):
        raise bad_response("is not a JSON object", json.dumps(body), origin)
    if body.get("error"):
        raise failure(body, origin)
    if reason := body.get("block_reason"):
        raise ContentFiltered(f"the request was held back: {_line(reason)}", **origin.facts(), hint=REWORD)
    found = body.get("data")
    items = [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
    if not items:
        raise BadResponse(f"the answer has no images; it has {_names(body)}", **origin.facts())
    if len(items) < n:
        raise BadResponse(f"the answer has {len(items)} of the {n} images that were asked for", **origin.facts())
    claim = body.get("output_format")
    claimed = f"image/{claim}" if isinstance(claim, str) and claim.isalnum() else ""
    return tuple(_image(item, origin, format, claimed) for item in items[:n])


def _image(item: Mapping[str, Any], origin: Origin, format: Format, claimed: str) -> GeneratedImage:
    said = item.get("revised_prompt")
    revised = said if isinstance(said, str) and said else None
    claim = item.get("mime_type")
    claimed = claim if isinstance(claim, str) and claim else claimed
    coded, url = item.get("b64_json"), item.get("url")
    if format == "url" and isinstance(url, str) and url:
        return GeneratedImage(claimed, url=url, revised_prompt=revised)
    if format == "bytes" and isinstance(coded, str) and coded:
        if uri := _DATA_URI.match(coded):
            coded, claimed = coded[uri.end() :], uri[1] or claimed
        data = decoded(coded)
        if not data:
            raise BadResponse("the answer has an image whose base64 is broken", **origin.facts())
        return GeneratedImage(mime_of(data) or claimed, data, revised_prompt=revised)
    if item.get("respect_moderation") is False:
        raise ContentFiltered("an image was held back by moderation", **origin.facts(), hint=REWORD)
    if not (coded or url):
        raise BadResponse(f"the answer has an image without data or address; it has {_names(item)}", **origin.facts())
    other, wanted = ("an address", "the image itself") if url else ("the image itself", "an address")
    hint = f"Ask for format={'url' if url else 'bytes'!r}, which this server gives."
    raise BadResponse(f"the answer has {other} where {wanted} was asked for", **origin.facts(), hint=hint)


def decoded(text: str) -> bytes | None:
    """The bytes that *text* stands for in base64; None if it is broken. Line breaks in it do no harm."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return None


def mime_of(data: bytes) -> str:
    """What kind of picture *data* begins as; empty for none that is known."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for magic, mime in _MAGIC if data.startswith(magic)), "")


def _names(body: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, list(body)[:8])) or "nothing"


def _line(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text[:1000].split())
