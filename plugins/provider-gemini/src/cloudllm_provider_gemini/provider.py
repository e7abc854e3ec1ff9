"""Gemini's generateContent as a provider."""

from __future__ import annotations

import os
from functools import partial
from typing import ClassVar
from urllib.parse import quote

import attrs

from cloudllm_core import Completion, Emit, Request
from cloudllm_provider_http import EFFORT, Door, HTTPProvider, Origin

from .connection import connect
from .listing import PAGE, listed
from .reading import read
from .wire import HERE, encode, failure, request_body


@attrs.define(eq=False, kw_only=True)
class Gemini(HTTPProvider):
    """Models of Google's Gemini API."""

    name: ClassVar[str] = "gemini"
    home: ClassVar[str] = "https://generativelanguage.googleapis.com"
    key_variables: ClassVar[tuple[str, ...]] = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GEMINI_KEY")
    base_url_variable: ClassVar[str | None] = "GOOGLE_GEMINI_BASE_URL"
    request_ids: ClassVar[tuple[str, ...]] = ("x-goog-request-id", "x-request-id", "request-id")

    api_version: str | None = None
    """``v1beta`` knows more models; without it the SDK's own choice is taken, which is ``v1``."""

    _connect = staticmethod(connect)
    _encode = staticmethod(encode)
    _failure = staticmethod(failure)

    async def _call(self, request: Request, emit: Emit | None) -> Completion:
        door, origin = self._door(request.model), self._origin(request.model)
        content = self._content(request_body(request, self.name, os.environ.get(EFFORT, "")), request.model)
        path = _path(request.model) + (":generateContent" if emit is None else ":streamGenerateContent?alt=sse")
        async with (
            self._in_time(origin) as watch,
            self._asked(door, path, origin, content, watch if emit else None) as (response, heard),
        ):
            return await read(response, heard, emit, request.messages)

    async def _listed(self, door: Door, origin: Origin) -> tuple[str, ...]:
        return await listed(partial(self._page, door, origin, PAGE), origin)

    def _origin(self, model: str) -> Origin:
        return attrs.evolve(HERE, provider=self.name, model=model, key_hint=self._key_hint())

    def _door(self, model: str) -> Door:
        return attrs.evolve(super()._door(model), version=self.api_version)


def _path(model: str) -> str:
    """Where *model* lives below the API's version; tuned models and the like bring their own folder."""
    folder = "" if model.startswith(("models/", "tunedModels/")) else "models/"
    return folder + quote(model, safe="/-._~@")
