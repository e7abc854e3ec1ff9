"""Groq's own API."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class Groq(Compatible):
    """Open models on Groq's machines."""

    name: ClassVar[str] = "groq"
    home: ClassVar[str] = "https://api.groq.com/openai/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("GROQ_API_KEY",)
    needs_key: ClassVar[bool] = True
    thinkers: ClassVar[str] = r"openai/gpt-oss"
    takes_thoughts: ClassVar[bool] = False  # most models there refuse the field


@hookimpl
def cloudllm_register_provider() -> type[Groq]:
    return Groq
