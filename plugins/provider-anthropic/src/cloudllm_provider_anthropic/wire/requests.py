"""Our request to the wire's."""

from __future__ import annotations

from typing import Any

from cloudllm_core import Request, ToolDefinition
from cloudllm_core.errors import BadRequest

from .history import messages_of
from .options import Refused, capped, translated, version_of
from .schemas import schema_for

MARK = {"cache_control": {"type": "ephemeral"}}
"""Says that what lies before it may be cached."""


def request_body(
    request: Request,
    stream: bool,
    provider: str = "anthropic",
    *,
    cap: int = 16_384,
    cache: bool = True,
    sampling: bool = False,
    effort: str = "",
    shaped: bool = True,
) -> dict[str, Any]:
    """
    The body of one call; an option of None leaves its field out, ours included.

    Args:
        cap: ``max_tokens`` where the options have none.
        cache: whether to mark what stays the same from call to call.
        sampling: whether the server takes ``temperature`` and the like.
        effort: how hard to think where the options do not say it.
        shaped: whether to have the server enforce ``request.output``.

    Raises:
        BadRequest: an option that the API does not take.
    """
    try:
        options = translated(request.options, request.model, cap, sampling, effort)
        capped(options, request.max_output)
    except Refused as problem:
        raise BadRequest(problem=str(problem), provider=provider, model=request.model, hint=problem.hint) from None
    messages = messages_of(request.messages, provider, request.model)
    tools = [*map(_tool, request.tools), *(options.pop("server_tools", None) or ())]
    body: dict[str, Any] = {"model": request.model, "messages": messages}
    if request.instructions.strip():
        body["system"] = [{"type": "text", "text": request.instructions}]
    if tools:
        body["tools"] = tools
    elif names := _used(messages):  # calls in the history are refused where no tools are told
        body["tools"] = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    if stream:
        body["stream"] = True
    body |= options
    if shaped and (schema := _schema(request)):
        enforced = {"format": {"type": "json_schema", "schema": schema}}
        body["output_config"] = enforced | dict(body.get("output_config") or {})
    if "tools" in body and (request.tool_choice == "none" or not tools):
        body["tool_choice"] = {"type": "none"}
    if cache:
        _mark(body)
    return {name: value for name, value in body.items() if value is not None}


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}


def _used(messages: list[dict[str, Any]]) -> list[str]:
    blocks = [block for message in messages for block in message["content"]]
    return list(dict.fromkeys(block["name"] for block in blocks if block["type"] == "tool_use"))


def _schema(request: Request) -> dict[str, Any] | None:
    """The schema of the answer, if it can be enforced and the model is not known to be older than that."""
    if request.output is None:
        return None
    version = version_of(request.model)
    old = version is not None and version < (4, 5) and "opus-4-1" not in request.model
    return None if old else schema_for(request.output)


def _mark(body: dict[str, Any]) -> None:
    """
    Mark the end of what stays: tools and instructions, and the last two things that were heard.

    The last may be followed next time by other words than now; then the one before still counts.
    """
    if "system" in body:
        body["system"][-1] |= MARK
    elif body.get("tools"):
        body["tools"][-1] = body["tools"][-1] | MARK
    heard = [message["content"] for message in body["messages"] if message["role"] == "user"]
    for content in heard[-2:]:
        content[-1] = content[-1] | MARK
