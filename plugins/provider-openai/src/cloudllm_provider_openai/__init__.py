"""OpenAI's Responses and Chat Completions, and any server that speaks the same wire."""

from cloudllm_core import hookimpl

from .provider import OpenAI

__all__ = ["OpenAI"]


@hookimpl
def cloudllm_register_provider() -> type[OpenAI]:
    return OpenAI
