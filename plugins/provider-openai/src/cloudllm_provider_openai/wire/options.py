"""What an agent asks for beyond the conversation, checked against what the request itself fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudllm_core import Request
from cloudllm_core.errors import BadRequest

SERVER_TOOLS = "server_tools"
"""The option for tools that the server runs by itself, such as ``[{"type": "web_search"}]``."""


def refuse(request: Request, provider: str, fields: Mapping[str, str]) -> None:
    """
    Refuse the options that *fields* names, each with why it is none.

    Raises:
        BadRequest: with the first of them.
    """
    for name in request.options:
        if name in fields:
            raise BadRequest(
                problem=f"the option {name!r} is not an option: {fields[name]}",
                provider=provider,
                model=request.model,
                hint="Remove it from the agent's options.",
            )


def need(request: Request, provider: str, name: str, kind: type[list[Any]] | type[dict[str, Any]]) -> None:
    """
    See that the option *name* is a list or a table, if it is given at all.

    Raises:
        BadRequest: it is something else.
    """
    value = request.options.get(name)
    if value is not None and not isinstance(value, (list, tuple) if kind is list else Mapping):
        raise BadRequest(
            problem=f"the option {name!r} is {type(value).__name__}, and {kind.__name__} is needed",
            provider=provider,
            model=request.model,
            hint="Correct it in the agent's options.",
        )


def server_tools(request: Request, provider: str) -> list[Any]:
    """
    The server's own tools that were asked for.

    Raises:
        BadRequest: they are no list.
    """
    need(request, provider, SERVER_TOOLS, list)
    return list(request.options.get(SERVER_TOOLS) or ())
