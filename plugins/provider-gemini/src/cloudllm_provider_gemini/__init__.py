"""Google's Gemini models, through generateContent of the Gemini API."""

from cloudllm_core import hookimpl

from .provider import Gemini

__all__ = ["Gemini"]


@hookimpl
def cloudllm_register_provider() -> type[Gemini]:
    return Gemini
