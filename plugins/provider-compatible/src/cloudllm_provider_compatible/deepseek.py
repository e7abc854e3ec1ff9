"""DeepSeek's own API."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible, Enforces


class DeepSeek(Compatible):
    """Models of DeepSeek."""

    name: ClassVar[str] = "deepseek"
    home: ClassVar[str] = "https://api.deepseek.com"
    key_variables: ClassVar[tuple[str, ...]] = ("DEEPSEEK_API_KEY",)
    needs_key: ClassVar[bool] = True
    thinkers: ClassVar[str] = r"deepseek-v[4-9]"
    enforces: ClassVar[Enforces] = "never"  # it knows JSON, but no schemas


@hookimpl
def cloudllm_register_provider() -> type[DeepSeek]:
    return DeepSeek
