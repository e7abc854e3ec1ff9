"""
Memory that agents share, over any store: by the original's text commands, and by typed tools.

The package also brings the command ``cloudllm memory``.
"""

from cloudllm_core import hookimpl

from ._faults import MemoryFault
from .memory import Memory

__all__ = ["Memory", "MemoryFault"]


@hookimpl
def cloudllm_register_tool_protocol() -> type[Memory]:
    return Memory
