"""Anthropic's Messages API, from Anthropic or any server that speaks the same wire."""

from cloudllm_core import hookimpl

from .provider import Anthropic

__all__ = ["Anthropic"]


@hookimpl
def cloudllm_register_provider() -> type[Anthropic]:
    return Anthropic
