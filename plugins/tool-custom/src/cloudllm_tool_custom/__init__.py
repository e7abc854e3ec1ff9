"""Tools that a program registers and removes while it runs, and their definitions for others to read."""

from cloudllm_core import hookimpl

from ._export import openai_functions
from .custom import CustomTools

__all__ = ["CustomTools", "openai_functions"]


@hookimpl
def cloudllm_register_tool_protocol() -> type[CustomTools]:
    return CustomTools
