"""OpenAI's wire at any address, with tools as text where a server has none."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import attrs

from cloudllm_core import Completion, Request
from cloudllm_core.errors import SettingsError
from cloudllm_provider_openai import OpenAI
from cloudllm_provider_openai.provider import Api
from cloudllm_provider_openai.wire import Emit

from .text_tools import Gate, as_text, from_text

Enforces: TypeAlias = Literal["always", "without tools", "never"]


@attrs.define(eq=False, kw_only=True)
class Compatible(OpenAI):
    """
    Any server with a Chat Completions API, by its ``base_url``.

    A preset extends this class: its class variables say where a well-known server is and what it is like. A key is
    sent only if it is given here, or found in a variable of the preset's own.
    """

    name: ClassVar[str] = "compatible"
    home: ClassVar[str] = ""
    home_api: ClassVar[Api] = "chat"
    key_variables: ClassVar[tuple[str, ...]] = ()
    needs_key: ClassVar[bool] = False
    base_url_variable: ClassVar[str | None] = None
    output_cap: ClassVar[str] = "max_tokens"
    thinkers: ClassVar[str] = ""
    enforces: ClassVar[Enforces] = "without tools"

    text_tools: bool = False
    """Whether tools are described in words and asked for in text: for servers and models that have no other way."""

    def __attrs_post_init__(self) -> None:
        if not self.base_url and not self.home:
            example = "Write it as in base_url = 'http://localhost:8000/v1'."
            raise SettingsError("base_url", "nothing", "the server's address", example)

    async def complete(self, request: Request) -> Completion:
        """
        Make one model call.

        Raises:
            ProviderError: in its most fitting subclass.
        """
        if not self.text_tools:
            return await super().complete(request)
        return from_text(await super().complete(as_text(request)), request)

    async def stream(self, request: Request, emit: Emit) -> Completion:
        """
        Make one model call, handing out the answer's pieces through *emit* as they come.

        Raises:
            StreamTruncated: the stream broke off. ProviderError: in its most fitting subclass.
        """
        if not self.text_tools:
            return await super().stream(request, emit)
        gate = Gate(emit)
        completion = from_text(await super().stream(as_text(request), gate), request)
        gate.finish(completion.message.text)
        return completion
