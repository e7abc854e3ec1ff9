"""Grok, xAI's models."""

from cloudllm_core import hookimpl

from .provider import Grok

__all__ = ["Grok"]


@hookimpl
def cloudllm_register_provider() -> type[Grok]:
    return Grok
