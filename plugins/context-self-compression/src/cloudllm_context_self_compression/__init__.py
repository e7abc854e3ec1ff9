"""SelfCompression: before a session gets too long, its model writes a save of it and goes on from that."""

from __future__ import annotations

from cloudllm_core import hookimpl

from .save import parse_refs
from .strategy import SelfCompression

__all__ = ["SelfCompression", "parse_refs"]


@hookimpl
def cloudllm_register_context_strategy() -> type[SelfCompression]:
    return SelfCompression
