"""OpenRouter's API: Chat Completions with fields of its own."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs

from cloudllm_core import Request
from cloudllm_core.errors import SettingsError
from cloudllm_provider_http import Door
from cloudllm_provider_openai import OpenAI
from cloudllm_provider_openai.provider import Api
from cloudllm_provider_openai.wire.options import need


def _sendable(instance: Any, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None and not (value.isascii() and value.isprintable()):
        raise SettingsError(attribute.name, repr(value), "printable ASCII text, for it is sent as a header")


@attrs.define(eq=False, kw_only=True)
class OpenRouter(OpenAI):
    """
    Models of many makers, each by its maker's name and its own: ``openrouter:anthropic/claude-opus-5``.

    What a call cost comes as a `Private` part ``{"cost": ...}``, in US dollars.
    """

    name: ClassVar[str] = "openrouter"
    home: ClassVar[str] = "https://openrouter.ai/api/v1"
    home_api: ClassVar[Api] = "chat"
    key_variables: ClassVar[tuple[str, ...]] = ("OPENROUTER_API_KEY",)
    base_url_variable: ClassVar[str | None] = None
    output_cap: ClassVar[str] = "max_tokens"
    enforces: ClassVar[Literal["always", "without tools", "never"]] = "without tools"
    thinkers: ClassVar[str] = ".*"  # OpenRouter leaves the effort out where it means nothing
    sealers: ClassVar[str | None] = OpenAI.thinkers

    app_url: str | None = attrs.field(default=None, validator=_sendable)
    """The address of your application, for OpenRouter's rankings."""

    app_title: str | None = attrs.field(default=None, validator=_sendable)
    """Its name, for the same."""

    def body(self, request: Request, api: Api, stream: bool, enforce: bool) -> dict[str, Any]:
        """
        The body of one call: effort goes into the field ``reasoning``, and the price is asked for.

        Raises:
            BadRequest: an option cannot be sent.
        """
        body = super().body(request, api, stream, enforce)
        if api == "responses":
            return body
        need(request, self.name, "reasoning", dict)
        if effort := body.pop("reasoning_effort", None):
            body["reasoning"] = {"effort": effort, **body.get("reasoning", {})}
        if "usage" not in request.options:
            body["usage"] = {"include": True}
        return body

    def _door(self, model: str) -> Door:
        door = super()._door(model)
        about = (("HTTP-Referer", self.app_url), ("X-Title", self.app_title))
        return attrs.evolve(door, headers=(*((name, text) for name, text in about if text), *door.headers))
