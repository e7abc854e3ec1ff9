"""Any server that speaks Chat Completions, and presets for the well-known ones."""

from cloudllm_core import hookimpl

from .provider import Compatible

__all__ = ["Compatible"]


@hookimpl
def cloudllm_register_provider() -> type[Compatible]:
    return Compatible
