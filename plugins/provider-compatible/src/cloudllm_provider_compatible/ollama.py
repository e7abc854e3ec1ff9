"""Ollama on this machine."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class Ollama(Compatible):
    """Models that a local Ollama serves; set ``base_url`` for one elsewhere."""

    name: ClassVar[str] = "ollama"
    home: ClassVar[str] = "http://localhost:11434/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("OLLAMA_API_KEY",)
    thinkers: ClassVar[str] = r"gpt-oss"


@hookimpl
def cloudllm_register_provider() -> type[Ollama]:
    return Ollama
