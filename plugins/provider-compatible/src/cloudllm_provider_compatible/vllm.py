"""vLLM on this machine."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class VLLM(Compatible):
    """The model that a local vLLM serves. Tools need its ``--enable-auto-tool-choice``."""

    name: ClassVar[str] = "vllm"
    home: ClassVar[str] = "http://localhost:8000/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("VLLM_API_KEY",)


@hookimpl
def cloudllm_register_provider() -> type[VLLM]:
    return VLLM
