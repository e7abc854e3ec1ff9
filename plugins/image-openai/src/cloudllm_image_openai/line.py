"""The connection: the provider's own, asked for images."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from cloudllm_core.errors import BadRequest, ConnectionFailed, ProviderTimeout
from cloudllm_provider_openai import OpenAI
from cloudllm_provider_openai.connection import request_id, translated
from cloudllm_provider_openai.wire import Origin, bad_response

from .answers import filtered

T = TypeVar("T")

BODY = 256 * 1024 * 1024
"""Bytes one answer may have: ten large pictures in base64."""


class Line(OpenAI):
    """OpenAI's provider, which knows the address and the key, and keeps one SDK client per event loop."""

    async def ask(self, fields: Mapping[str, Any], read: Callable[[Any, Origin], T]) -> T:
        """
        What *read* makes of the server's answer to *fields*; it is told, too, whose errors are to be raised.

        Raises:
            ProviderError: in its most fitting subclass.
        """
        model = str(fields["model"])
        try:
            async with asyncio.timeout(self.timeout):
                return await self._asked(fields, model, read)
        except TimeoutError:
            late = f"no whole answer came within {self.timeout:g} seconds"
            raise ProviderTimeout(late, self.name, model, hint="Raise timeout to wait longer.") from None

    async def _asked(self, fields: Mapping[str, Any], model: str, read: Callable[[Any, Origin], T]) -> T:
        self._content(dict(fields), model)  # or the SDK's JSON would fail in its own words
        door, key_hint = self._door(model), f"Check the key in {self._key_names()}."
        origin = Origin(provider=self.name, model=model, api="an Images API", key_hint=key_hint)
        try:
            with translated(origin, door):
                client: Any = await self._connections.client(door)
                known = {name: fields[name] for name in ("model", "prompt")}
                more = {name: value for name, value in fields.items() if name not in known}
                async with client.images.with_streaming_response.generate(**known, extra_body=more) as response:
                    origin = attrs.evolve(origin, status=response.status_code, request_id=request_id(response.headers))
                    return read(_parsed(await _whole(response, origin), origin), origin)
        except BadRequest as problem:
            raise filtered(problem) from None


async def _whole(response: Any, origin: Origin) -> bytes:
    content = bytearray()
    async for piece in response.iter_bytes():
        content += piece
        if len(content) > BODY:
            raise bad_response(f"is longer than {BODY} bytes", "", origin)
    if not content and response.headers.get("content-encoding"):  # a cut gzip body reads as an empty one
        raise ConnectionFailed(**origin.facts(), problem="the connection broke before any of the answer had come")
    return bytes(content)


def _parsed(content: bytes, origin: Origin) -> Any:
    if not content.strip():
        raise bad_response("is empty", "", origin)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise bad_response("is not JSON", content[:4000].decode("utf-8", "replace"), origin) from None
