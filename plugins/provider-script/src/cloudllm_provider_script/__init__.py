"""A provider that plays a script from a TOML file, so that demos and tests need no key and no network."""

from cloudllm_core import hookimpl

from .provider import Script
from .script import Line, read_script

__all__ = ["Line", "Script", "read_script"]


@hookimpl
def cloudllm_register_provider() -> type[Script]:
    return Script
