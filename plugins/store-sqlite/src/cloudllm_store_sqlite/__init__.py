"""The SQLite store: what agents share, in one file, safe among the processes of one machine."""

from cloudllm_core import hookimpl

from .store import SqliteStore

__all__ = ["SqliteStore"]


@hookimpl
def cloudllm_register_store() -> type[SqliteStore]:
    return SqliteStore
