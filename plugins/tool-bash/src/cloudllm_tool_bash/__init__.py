"""A shell for agents, in a sandbox that fails closed: bubblewrap, namespaces, seccomp, limits."""

from cloudllm_core import hookimpl

from .bash import Bash
from .errors import CommandRefusedError, SandboxError
from .process import Result
from .sandbox import Sandbox

__all__ = ["Bash", "CommandRefusedError", "Result", "Sandbox", "SandboxError"]


@hookimpl
def cloudllm_register_tool_protocol() -> type[Bash]:
    return Bash
