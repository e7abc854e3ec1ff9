"""Retries, fallback models and one shared gate around any provider."""

from cloudllm_core import hookimpl

from .gate import Gate
from .patience import Patience
from .provider import Resilient

__all__ = ["Gate", "Patience", "Resilient"]


@hookimpl
def cloudllm_register_provider() -> type[Resilient]:
    return Resilient
