"""Hugging Face's router."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class HuggingFace(Compatible):
    """Open models at many hosts, through Hugging Face."""

    name: ClassVar[str] = "huggingface"
    home: ClassVar[str] = "https://router.huggingface.co/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("HF_TOKEN", "HUGGINGFACE_API_KEY")
    needs_key: ClassVar[bool] = True


@hookimpl
def cloudllm_register_provider() -> type[HuggingFace]:
    return HuggingFace
