"""LM Studio on this machine."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class LMStudio(Compatible):
    """Models that a local LM Studio serves."""

    name: ClassVar[str] = "lmstudio"
    home: ClassVar[str] = "http://localhost:1234/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("LM_API_TOKEN",)


@hookimpl
def cloudllm_register_provider() -> type[LMStudio]:
    return LMStudio
