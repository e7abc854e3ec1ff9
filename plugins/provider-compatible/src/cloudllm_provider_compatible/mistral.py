"""Mistral's own API."""

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar

from cloudllm_core import Request, hookimpl
from cloudllm_provider_openai.provider import Api

from .provider import Compatible

_ID = re.compile(r"[A-Za-z0-9]{9}")


class Mistral(Compatible):
    """Models of Mistral."""

    name: ClassVar[str] = "mistral"
    home: ClassVar[str] = "https://api.mistral.ai/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("MISTRAL_API_KEY",)
    needs_key: ClassVar[bool] = True
    thinkers: ClassVar[str] = r"mistral-small-latest"
    takes_thoughts: ClassVar[bool] = False  # fields it does not know are refused

    def body(self, request: Request, api: Api, stream: bool, enforce: bool) -> dict[str, Any]:
        """
        The body of one call, with call ids of nine letters and digits: Mistral refuses a conversation with others.

        Raises:
            BadRequest: an option cannot be sent.
        """
        body = super().body(request, api, stream, enforce)
        for message in body.get("messages", ()):
            for call in message.get("tool_calls", ()):
                call["id"] = _nine(call["id"])
            if "tool_call_id" in message:
                message["tool_call_id"] = _nine(message["tool_call_id"])
        return body


def _nine(ident: str) -> str:
    return ident if _ID.fullmatch(ident) else hashlib.sha256(ident.encode("utf-8", "replace")).hexdigest()[:9]


@hookimpl
def cloudllm_register_provider() -> type[Mistral]:
    return Mistral
