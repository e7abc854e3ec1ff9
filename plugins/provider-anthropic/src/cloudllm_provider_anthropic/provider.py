"""Anthropic's Messages API as a provider."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from typing import Any, ClassVar

import attrs

from cloudllm_core import Completion, Emit, Request
from cloudllm_core.errors import BadRequest, SettingsError
from cloudllm_provider_http import EFFORT, Door, HTTPProvider, Origin, Watch

from .connection import connect
from .listing import PAGE, listed
from .reading import read
from .wire import HERE, encode, failure, request_body

NO_SAMPLING = "2026-10-21"
"""The version of the API from which on it takes no ``temperature``."""

_ABOUT_SHAPE = re.compile(r"output_config|output_format|structured output|schema|grammar", re.IGNORECASE)


def _positive(instance: Any, attribute: Any, value: float) -> None:
    if not value > 0:
        raise SettingsError(attribute.name, repr(value), "a number above 0")


@attrs.define(eq=False, kw_only=True)
class Anthropic(HTTPProvider):
    """
    Models of Anthropic, or of any server with a Messages API.

    A provider of another name on the same wire extends this class and changes the class variables.
    """

    name: ClassVar[str] = "anthropic"
    home: ClassVar[str] = "https://api.anthropic.com"
    key_variables: ClassVar[tuple[str, ...]] = (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_KEY",
        "CLAUDE_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
    )
    base_url_variable: ClassVar[str | None] = "ANTHROPIC_BASE_URL"
    request_ids: ClassVar[tuple[str, ...]] = ("request-id", "x-request-id")

    max_tokens: int = attrs.field(default=16_384, validator=_positive)
    """The output cap where an agent's options set none; a budget of thought comes on top."""

    cache: bool = True
    """Whether to have the server cache tools, instructions and history."""

    _shapeless: set[tuple[str, str, str]] = attrs.field(factory=set, init=False, repr=False)
    """Server, model and schema where the server would not enforce the schema; asked for once, not each time."""

    _connect = staticmethod(connect)
    _encode = staticmethod(encode)
    _failure = staticmethod(failure)

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
        self._shapeless.clear()
        await super().aclose()

    async def _call(self, request: Request, emit: Emit | None) -> Completion:
        door = self._door(request.model)
        origin = self._origin(request.model)
        shape = (door.base_url, request.model, json.dumps(request.output, default=str))
        shaped = request.output is not None and shape not in self._shapeless
        content = self._content(self._body(request, emit is not None, shaped), request.model)
        async with self._in_time(origin) as watch:
            try:
                return await self._posted(content, origin, door, emit, watch)
            except BadRequest as problem:
                shapeless = self._content(self._body(request, emit is not None, False), request.model)
                if shapeless == content or problem.status != 400 or not _ABOUT_SHAPE.search(problem.problem):
                    raise
            self._shapeless.add(shape)
            return await self._posted(shapeless, origin, door, emit, watch)

    async def _posted(self, content: bytes, origin: Origin, door: Door, emit: Emit | None, watch: Watch) -> Completion:
        async with self._asked(door, "/v1/messages", origin, content, watch if emit else None) as (response, heard):
            return await read(response, heard, emit)

    async def _listed(self, door: Door, origin: Origin) -> tuple[str, ...]:
        return await listed(partial(self._page, door, origin, PAGE), origin)

    def _origin(self, model: str) -> Origin:
        return attrs.evolve(HERE, provider=self.name, model=model, key_hint=self._key_hint())

    def _body(self, request: Request, stream: bool, shaped: bool) -> dict[str, Any]:
        return request_body(
            request,
            stream,
            self.name,
            cap=self.max_tokens,
            cache=self.cache,
            sampling=self._takes_sampling(),
            effort=os.environ.get(EFFORT, ""),
            shaped=shaped,
        )

    def _takes_sampling(self) -> bool:
        headers = {name.lower(): value.reveal() for name, value in self.headers.items()}
        return self._address() != self.home or headers.get("anthropic-version", NO_SAMPLING) < NO_SAMPLING

    def _address(self) -> str:
        return super()._address().rstrip("/").removesuffix("/v1")
