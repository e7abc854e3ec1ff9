"""Gemini's image models as a generator: the provider is asked for a message that is a picture."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

import attrs

from cloudllm_core import GeneratedImage, ImageGenerator, Message, Request, Secret
from cloudllm_core.errors import ProviderError
from cloudllm_provider_gemini import Gemini

from .answers import image_in
from .asking import checked, options_of

AT_ONCE = 4
"""Calls of one `generate` that are under way together."""


def _secret(value: Secret | str | None) -> Secret | None:
    return Secret(value, "api_key") if isinstance(value, str) else value


@attrs.define(eq=False)
class GeminiImages(ImageGenerator):
    """Images by Gemini models. The API makes one at a time, so *n* of them are *n* calls, made together."""

    name: ClassVar[str] = "gemini"

    model: str = "gemini-2.5-flash-image"
    api_key: Secret | None = attrs.field(default=None, converter=_secret, kw_only=True)
    """The key itself; better leave it in the environment."""

    api_key_env: str | None = attrs.field(default=None, kw_only=True)
    """The environment variable that holds the key, instead of the usual ones."""

    base_url: str | None = attrs.field(default=None, kw_only=True)
    """The server's address, without the version at its end."""

    api_version: str | None = attrs.field(default=None, kw_only=True)
    """``v1beta`` knows more models; without it the SDK's own choice is taken, which is ``v1``."""

    timeout: float = attrs.field(default=300.0, kw_only=True)
    """Seconds one call may take, from the first byte sent to the last one read."""

    connect_timeout: float = attrs.field(default=30.0, kw_only=True)
    """Seconds a connection may take."""

    headers: dict[str, str] | None = attrs.field(default=None, kw_only=True, repr=False)
    """Sent along with each call."""

    options: dict[str, Any] = attrs.field(factory=dict, kw_only=True)
    """The provider's options: ``safetySettings``, ``seed``, ``imageConfig = {imageSize = "2K"}`` ..."""

    _provider: Gemini = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        headers: Any = self.headers
        self._provider = Gemini(
            api_key=self.api_key,
            api_key_env=self.api_key_env,
            base_url=self.base_url,
            api_version=self.api_version,
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            headers=headers,
        )

    async def generate(
        self, prompt: str, *, aspect_ratio: str = "1:1", n: int = 1, format: Literal["bytes", "url"] = "bytes"
    ) -> tuple[GeneratedImage, ...]:
        """
        Make *n* images: that many, or an error. An error tells of the other calls that failed in its notes.

        Raises:
            SettingsError: the model cannot do this; nothing was asked of it.
            ProviderError: in its most fitting subclass.
        """
        checked(prompt, n, format)
        options = options_of(self.model, aspect_ratio, self.options)
        request = Request(model=self.model, instructions="", messages=(Message.user(prompt),), options=options)
        slots, problems = asyncio.Semaphore(AT_ONCE), list[ProviderError]()

        async def one() -> GeneratedImage | None:
            async with slots:
                if problems:
                    return None  # the images would be thrown away
                try:
                    return image_in(await self._provider.complete(request), self.name, self.model)
                except ProviderError as problem:
                    problems.append(problem)
                    return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(n)]
        if problems:
            first, *others = problems
            for other in others:
                first.add_note(f"Another of the {n} calls: {other}")
            raise first
        return tuple(image for task in tasks if (image := task.result()) is not None)

    def secrets(self) -> list[Secret]:
        """What nobody may read: the key, and the headers' values."""
        own = [] if self.api_key is None else [self.api_key]
        return [*own, *self._provider.headers.values(), *self._provider.secrets()]

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
        await self._provider.aclose()
