"""Moonshot's own API."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class Moonshot(Compatible):
    """Kimi, Moonshot's models."""

    name: ClassVar[str] = "moonshot"
    home: ClassVar[str] = "https://api.moonshot.ai/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("MOONSHOT_API_KEY",)
    needs_key: ClassVar[bool] = True


@hookimpl
def cloudllm_register_provider() -> type[Moonshot]:
    return Moonshot
