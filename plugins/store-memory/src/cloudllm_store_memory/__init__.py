"""The memory store: what agents share, in the memory of one process."""

from cloudllm_core import hookimpl

from .store import MemoryStore

__all__ = ["MemoryStore"]


@hookimpl
def cloudllm_register_store() -> type[MemoryStore]:
    return MemoryStore
