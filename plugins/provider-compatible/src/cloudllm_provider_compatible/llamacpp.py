"""llama.cpp's server on this machine."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class LlamaCpp(Compatible):
    """The model that a local ``llama-server`` has loaded; it takes any name for it. Tools need its ``--jinja``."""

    name: ClassVar[str] = "llamacpp"
    home: ClassVar[str] = "http://localhost:8080/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("LLAMA_API_KEY",)


@hookimpl
def cloudllm_register_provider() -> type[LlamaCpp]:
    return LlamaCpp
