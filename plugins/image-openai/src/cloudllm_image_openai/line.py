"""The connection: the provider's own, asked for images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from cloudllm_provider_http import Origin, gathered, parsed
from cloudllm_provider_openai import OpenAI
from cloudllm_provider_openai.wire import CALLED

T = TypeVar("T")

BODY = 256 * 1024 * 1024
"""Bytes one answer may have: ten large pictures in base64."""


class Line(OpenAI):
    """OpenAI's provider, which knows the address and the key, and keeps one line per event loop."""

    async def ask(self, fields: Mapping[str, Any], read: Callable[[Any, Origin], T]) -> T:
        """
        What *read* makes of the server's answer to *fields*; it is told, too, whose errors are to be raised.

        Raises:
            ProviderError: in its most fitting subclass.
        """
        model = str(fields["model"])
        door, origin = self._door(model), attrs.evolve(self._origin(model), api=CALLED["images"])
        content = self._content(fields, model)
        async with (
            self._in_time(origin),
            self._asked(door, "/images/generations", origin, content) as (response, heard),
        ):
            return read(parsed(await gathered(response, heard, BODY), heard), heard)
