"""Images by OpenAI, and by any server that speaks its Images API."""

from cloudllm_core import hookimpl

from .images import OpenAIImages

__all__ = ["OpenAIImages"]


@hookimpl
def cloudllm_register_image_generator() -> type[OpenAIImages]:
    return OpenAIImages
