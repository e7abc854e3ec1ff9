"""Models of many makers through OpenRouter."""

from cloudllm_core import hookimpl

from .provider import OpenRouter

__all__ = ["OpenRouter"]


@hookimpl
def cloudllm_register_provider() -> type[OpenRouter]:
    return OpenRouter
