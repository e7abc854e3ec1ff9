"""OpenAI's Images API as a generator."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import attrs

from cloudllm_core import GeneratedImage, ImageGenerator, Secret
from cloudllm_core.errors import SettingsError

from .answers import images_in
from .asking import Format, checked, size_of, trait_of
from .line import Line

OURS = ("aspect_ratio", "model", "n", "partial_images", "prompt", "response_format", "size", "stream")
"""Fields that options may not set: a call's own arguments fill them, or they change the form of the answer."""


def _secret(value: Secret | str | None) -> Secret | None:
    return Secret(value, "api_key") if isinstance(value, str) else value


def _free(instance: Any, attribute: Any, value: Mapping[str, Any]) -> None:
    for name in OURS:
        if name in value:
            said = "Say it in the call: generate(prompt, aspect_ratio=, n=, format=); the model is a setting."
            raise SettingsError(f"options.{name}", "a field of the call itself", "other fields of the API", said)


@attrs.define(eq=False)
class OpenAIImages(ImageGenerator):
    """
    Images by models of OpenAI, or of any server with an Images API (``POST /images/generations``).

    A generator of another name on the same wire extends this class, and changes the class variables and `request`.
    """

    name: ClassVar[str] = "openai"
    line: ClassVar[type[Line]] = Line
    """The provider whose address, key and connection are used."""

    model: str = "gpt-image-2"
    api_key: Secret | None = attrs.field(default=None, converter=_secret, kw_only=True)
    """The key itself; better leave it in the environment."""

    api_key_env: str | None = attrs.field(default=None, kw_only=True)
    """The environment variable that holds the key, instead of the usual ones."""

    base_url: str | None = attrs.field(default=None, kw_only=True)
    """The server's address, with the ``/v1`` that most have at its end."""

    timeout: float = attrs.field(default=300.0, kw_only=True)
    """Seconds one call may take, from the first byte sent to the last one read."""

    connect_timeout: float = attrs.field(default=30.0, kw_only=True)
    """Seconds a connection may take."""

    headers: dict[str, str] | None = attrs.field(default=None, kw_only=True, repr=False)
    """Sent along with each call."""

    options: dict[str, Any] = attrs.field(factory=dict, kw_only=True, validator=_free)
    """Other fields of the API, sent as they are: ``quality``, ``background``, ``output_format`` ..."""

    _line: Line = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._line = self.line(
            api_key=self.api_key,
            api_key_env=self.api_key_env,
            base_url=self.base_url,
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            headers=self.headers,
        )

    async def generate(
        self, prompt: str, *, aspect_ratio: str = "1:1", n: int = 1, format: Format = "bytes"
    ) -> tuple[GeneratedImage, ...]:
        """
        Make *n* images: that many, or an error.

        Raises:
            SettingsError: the model cannot do this; nothing was asked of it.
            ProviderError: in its most fitting subclass.
        """
        body = self.request(prompt, aspect_ratio, n, format)
        return await self._line.ask({**self.options, **body}, partial(images_in, format=format, n=n))

    def request(self, prompt: str, aspect_ratio: str, n: int, format: Format) -> dict[str, Any]:
        """
        The body of one call, less `options`. Raises: SettingsError: the model cannot do this.

        ``gpt-image-*`` give bytes and know no ``response_format``; they refuse a call that has one.
        """
        traits = trait_of(self.model)
        checked(prompt, n, format, traits.most)
        body = {"model": self.model, "prompt": prompt, "n": n, "size": size_of(self.model, aspect_ratio)}
        if not traits.bytes_only:
            return body | {"response_format": "url" if format == "url" else "b64_json"}
        if format == "url":
            hint = "Ask for format='bytes' and save the image, or use another model."
            raise SettingsError("format", "'url'", f"'bytes', as {self.model} gives no addresses", hint)
        return body

    def secrets(self) -> list[Secret]:
        """What nobody may read: the key, and the headers' values."""
        own = [] if self.api_key is None else [self.api_key]
        return [*own, *self._line.headers.values(), *self._line.secrets()]

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
        await self._line.aclose()
