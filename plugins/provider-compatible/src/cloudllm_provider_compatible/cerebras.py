"""Cerebras' own API."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class Cerebras(Compatible):
    """Open models on Cerebras' machines."""

    name: ClassVar[str] = "cerebras"
    home: ClassVar[str] = "https://api.cerebras.ai/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("CEREBRAS_API_KEY",)
    needs_key: ClassVar[bool] = True
    thinkers: ClassVar[str] = r"gpt-oss"
    takes_thoughts: ClassVar[bool] = False  # fields it does not know are refused


@hookimpl
def cloudllm_register_provider() -> type[Cerebras]:
    return Cerebras
