"""The kernel's `Prefixed`, for team files: ``{ name = "prefixed", prefix = "old_", inner = "memory" }``."""

from cloudllm_core import Prefixed, hookimpl


@hookimpl
def cloudllm_register_tool_protocol() -> type[Prefixed]:
    return Prefixed
