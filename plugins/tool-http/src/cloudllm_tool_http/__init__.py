"""HTTP for agents: public addresses only, checked where the connection is made, on every redirect too."""

from cloudllm_core import hookimpl

from .errors import HttpError, Refused
from .http import Http

__all__ = ["Http", "HttpError", "Refused"]


@hookimpl
def cloudllm_register_tool_protocol() -> type[Http]:
    return Http
