"""The JSON Lines journal: a run as a file, one record a line, safe against crashes and full disks."""

from cloudllm_core import hookimpl

from .journal import Jsonl

__all__ = ["Jsonl"]


@hookimpl
def cloudllm_register_journal() -> type[Jsonl]:
    return Jsonl
