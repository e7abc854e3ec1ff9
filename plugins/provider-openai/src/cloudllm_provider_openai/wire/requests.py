"""Our request to the wire's."""

from __future__ import annotations

import json
import re
from typing import Any

from cloudllm_core import Image, Message, Private, Request, Text, Thinking, ToolCall, ToolDefinition, ToolResult
from cloudllm_core.errors import BadRequest

from .arguments import sound

OURS = ("model", "messages", "stream", "tools", "functions")
"""Fields that options may not set: they would contradict the request they travel with."""

_NAME = re.compile(r"[^A-Za-z0-9_-]")


def request_body(request: Request, stream: bool, provider: str = "openai") -> dict[str, Any]:
    """
    The body of one call.

    Options are merged in as they are; an option of None leaves its field out, ours included.
    Thoughts and private parts that *provider* and the request's model did not make are dropped.

    Raises:
        BadRequest: an option names a field that the request itself fills.
    """
    for name in request.options:
        if name in OURS:
            raise BadRequest(
                problem=f"the option {name!r} is not an option: the request itself fills that field",
                provider=provider,
                model=request.model,
                hint="Remove it from the agent's options.",
            )
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request, provider)}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    body |= request.options
    if request.tools and request.tool_choice == "none":
        body["tool_choice"] = "none"
    return {name: value for name, value in body.items() if value is not None}


def encode(body: dict[str, Any]) -> bytes:
    """
    *body* as bytes; lone surrogates, which no encoding knows, are replaced.

    Raises:
        ValueError, TypeError: an option holds what JSON does not have.
    """
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return sound(text).encode()


def _messages(request: Request, provider: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if request.instructions:
        found.append({"role": "system", "content": request.instructions})
    for message in request.messages:
        if message.role == "tool":
            found += [_result(part) for part in message.parts if isinstance(part, ToolResult)]
        elif message.role == "user":
            found.append({"role": "user", "content": _user_content(message)})
        else:
            found.append(_assistant(message, provider, request.model))
    return found


def _user_content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image) for part in message.parts):
        return message.text  # many compatible servers know text only as a string
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            url = part.url or f"data:{part.mime};base64,{part.data or ''}"
            content.append({"type": "image_url", "image_url": {"url": url}})
    return content


def _assistant(message: Message, provider: str, model: str) -> dict[str, Any]:
    calls = message.tool_calls
    body: dict[str, Any] = {"role": "assistant", "content": message.text or (None if calls else "")}
    for part in message.parts:
        if isinstance(part, (Thinking, Private)) and (part.provider, part.model) == (provider, model):
            body |= _back(part, bool(calls))
    if calls:
        body["tool_calls"] = [_call(call) for call in calls]
    if body.get("refusal") and not body["content"]:
        body["content"] = None
    return body


def _back(part: Thinking | Private, with_calls: bool) -> dict[str, Any]:
    """What a server wants to see again: a refusal always, thoughts only between a call and its result."""
    if isinstance(part, Private):
        return {"refusal": part.data["refusal"]} if isinstance(part.data, dict) and "refusal" in part.data else {}
    if not with_calls or not isinstance(part.private, dict) or "field" not in part.private:
        return {}
    return {part.private["field"]: part.private.get("details", part.text)}


def _call(call: ToolCall) -> dict[str, Any]:
    name = _NAME.sub("_", call.name)[:64] or "unknown"  # a name the server refuses would spoil the whole session
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": _arguments(call)}}


def _arguments(call: ToolCall) -> str:
    if call.problem is None:
        return json.dumps(dict(call.arguments), ensure_ascii=False)
    try:
        value = json.loads(call.raw or "")
    except (ValueError, RecursionError):
        return "{}"
    return call.raw if call.raw and isinstance(value, dict) else "{}"


def _result(result: ToolResult) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": result.call_id, "content": result.content}


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
    }
