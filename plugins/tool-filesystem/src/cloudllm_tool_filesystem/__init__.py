"""Files below one root: agents read, write, edit, list and search them, and never leave it."""

from cloudllm_core import hookimpl

from ._names import FileError
from .filesystem import FileSystem

__all__ = ["FileError", "FileSystem"]


@hookimpl
def cloudllm_register_tool_protocol() -> type[FileSystem]:
    return FileSystem
