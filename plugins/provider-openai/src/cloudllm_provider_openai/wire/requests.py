"""Our request as a Chat Completions one."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from cloudllm_core import Image, Message, Private, Request, Text, Thinking, ToolCall, ToolDefinition, ToolResult

from .formats import output_format
from .options import SERVER_TOOLS, refuse, server_tools

OURS = dict.fromkeys(("model", "messages", "stream", "tools", "functions"), "the request itself fills that field")
"""Fields that options may not set: they would contradict the request they travel with."""

ID = 40
"""Characters that the id of a call may have."""

_NAME = re.compile(r"[^A-Za-z0-9_-]")


def request_body(
    request: Request, stream: bool, provider: str = "openai", *, thoughts: bool = True, enforce: bool = True
) -> dict[str, Any]:
    """
    The body of one call.

    Options are merged in as they are; an option of None leaves its field out, ours included.
    Thoughts and private parts that *provider* and the request's model did not make are dropped, and all
    thoughts where the server takes none back. An output schema is sent if the server is to *enforce* it.

    Raises:
        BadRequest: an option names a field that the request itself fills.
    """
    refuse(request, provider, OURS)
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request, provider, thoughts)}
    if tools := [*map(_tool, request.tools), *server_tools(request, provider)]:
        body["tools"] = tools
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if enforce and request.output is not None and (form := output_format(request.output)):
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    body |= {name: value for name, value in request.options.items() if name != SERVER_TOOLS}
    if request.tools and request.tool_choice == "none":
        body["tool_choice"] = "none"
    return {name: value for name, value in body.items() if value is not None}


def _messages(request: Request, provider: str, thoughts: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if request.instructions:
        found.append({"role": "system", "content": request.instructions})
    for message in request.messages:
        if message.role == "tool":
            found += [_result(part) for part in message.parts if isinstance(part, ToolResult)]
        elif message.role == "user":
            found.append({"role": "user", "content": _user_content(message)})
        else:
            found.append(_assistant(message, provider, request.model, thoughts))
    return found


def _user_content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image) for part in message.parts):
        return message.text  # many compatible servers know text only as a string
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            content.append({"type": "image_url", "image_url": {"url": image_url(part)}})
    return content


def image_url(image: Image) -> str:
    """The picture's address, or the picture itself as one."""
    return image.url or f"data:{image.mime};base64,{image.data or ''}"


def _assistant(message: Message, provider: str, model: str, thoughts: bool) -> dict[str, Any]:
    calls = message.tool_calls
    body: dict[str, Any] = {"role": "assistant", "content": message.text or (None if calls else "")}
    for part in message.parts:
        if isinstance(part, (Thinking, Private)) and (part.provider, part.model) == (provider, model):
            body |= _back(part, bool(calls) and thoughts)
    if calls:
        body["tool_calls"] = [_call(call) for call in calls]
    if body.get("refusal") and not body["content"]:
        body["content"] = None
    return body


def _back(part: Thinking | Private, with_thoughts: bool) -> dict[str, Any]:
    """What a server wants to see again: a refusal always, thoughts only between a call and its result."""
    if isinstance(part, Private):
        return {"refusal": part.data["refusal"]} if isinstance(part.data, dict) and "refusal" in part.data else {}
    if not with_thoughts or not isinstance(part.private, dict) or "field" not in part.private:
        return {}
    return {part.private["field"]: part.private.get("details", part.text)}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call_name(call.name), "arguments": call_arguments(call)}
    return {"id": call_id(call.id), "type": "function", "function": function}


def call_id(ident: str) -> str:
    """*ident* as servers take it: another provider's may be too long, and then one of its own stands for it."""
    return ident if len(ident) <= ID else f"call_{hashlib.sha256(ident.encode('utf-8', 'replace')).hexdigest()[:32]}"


def call_name(name: str) -> str:
    """*name* as servers take it: one that they refuse would spoil the whole session."""
    return _NAME.sub("_", name)[:64] or "unknown"


def call_arguments(call: ToolCall) -> str:
    """What the model wrote, or nothing where a server could not read it."""
    if call.problem is None:
        return json.dumps(dict(call.arguments), ensure_ascii=False)
    try:
        value = json.loads(call.raw or "")
    except (ValueError, RecursionError):
        return "{}"
    return call.raw if call.raw and isinstance(value, dict) else "{}"


def _result(result: ToolResult) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id(result.call_id), "content": result.content}


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
    }
