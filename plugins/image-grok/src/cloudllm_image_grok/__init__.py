"""Images by xAI's Grok Imagine."""

from cloudllm_core import hookimpl

from .images import GrokImages

__all__ = ["GrokImages"]


@hookimpl
def cloudllm_register_image_generator() -> type[GrokImages]:
    return GrokImages
