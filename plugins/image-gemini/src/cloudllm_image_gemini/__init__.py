"""Images by Google's Gemini models, through generateContent."""

from cloudllm_core import hookimpl

from .images import GeminiImages

__all__ = ["GeminiImages"]


@hookimpl
def cloudllm_register_image_generator() -> type[GeminiImages]:
    return GeminiImages
