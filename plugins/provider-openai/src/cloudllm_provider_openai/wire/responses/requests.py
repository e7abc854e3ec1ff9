"""Our request as one of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudllm_core import Image, Message, Private, Request, Text, Thinking, ToolCall, ToolDefinition, ToolResult
from cloudllm_core.errors import BadRequest

from ..formats import output_format
from ..options import SERVER_TOOLS, need, refuse, server_tools
from ..requests import call_arguments, call_id, call_name, image_url

_FILLED = "the request itself fills that field"
OURS = {
    **dict.fromkeys(("model", "input", "messages", "instructions", "stream", "tools", "functions"), _FILLED),
    **dict.fromkeys(("previous_response_id", "conversation"), "each request carries the whole conversation"),
    "background": "the answer is awaited",
}
"""Fields that options may not set, and why."""

CHAT_ONLY = ("frequency_penalty", "logit_bias", "logprobs", "n", "presence_penalty", "seed", "stop")
"""Options of Chat Completions that this API does not have."""

KEPT = ("compaction",)
"""Items that go back for good; the others only as long as the turn they came in."""


def request_body(
    request: Request, stream: bool, provider: str = "openai", *, encrypted: bool = False, enforce: bool = True
) -> dict[str, Any]:
    """
    The body of one call. Nothing is stored at the server; *encrypted* asks for thoughts that can be sent back.

    Options known from Chat Completions (``max_tokens``, ``reasoning_effort``, ``response_format``) take their
    names here, the others are merged in as they are; an option of None leaves its field out, ours included.

    Raises:
        BadRequest: an option names a field that the request itself fills, or that this API does not have.
    """
    refuse(request, provider, OURS)
    _refuse_chat_only(request, provider)
    need(request, provider, "reasoning", dict)
    need(request, provider, "text", dict)
    body: dict[str, Any] = {"model": request.model, "input": _items(request, provider), "store": False}
    if request.instructions:
        body["instructions"] = request.instructions
    if tools := [*map(_tool, request.tools), *server_tools(request, provider)]:
        body["tools"] = tools
    if encrypted:
        body["include"] = ["reasoning.encrypted_content"]
    if stream:
        body["stream"] = True
    _add_options(body, request, enforce)
    if request.tools and request.tool_choice == "none":
        body["tool_choice"] = "none"
    return {name: value for name, value in body.items() if value is not None}


def _refuse_chat_only(request: Request, provider: str) -> None:
    for name in CHAT_ONLY:
        if request.options.get(name) is not None:
            raise BadRequest(
                problem=f"the Responses API does not take the option {name!r}",
                provider=provider,
                model=request.model,
                hint="Remove it, or use Chat Completions with the setting api='chat'.",
            )


def _add_options(body: dict[str, Any], request: Request, enforce: bool) -> None:
    options = {name: value for name, value in request.options.items() if name not in (SERVER_TOOLS, *CHAT_ONLY)}
    for name in ("max_tokens", "max_completion_tokens"):
        if (cap := options.pop(name, None)) is not None:
            options.setdefault("max_output_tokens", cap)
    form = output_format(request.output) if enforce and request.output is not None else None
    chat_form = options.pop("response_format", form and {"type": "json_schema", "json_schema": form})
    inner = {
        "reasoning": {"effort": options.pop("reasoning_effort", None)},
        "text": {"format": _flat(chat_form), "verbosity": options.pop("verbosity", None)},
    }
    body |= options
    for name, fields in inner.items():
        said = {key: value for key, value in fields.items() if value is not None}
        if said and body.get(name, {}) is not None:  # an option of None leaves the field out
            body[name] = said | dict(body.get(name, {}))


def _flat(form: Any) -> Any:
    """A ``response_format`` of Chat Completions, as this API writes it."""
    if isinstance(form, Mapping) and isinstance(form.get("json_schema"), Mapping):
        return {"type": "json_schema"} | dict(form["json_schema"])
    return form


def _items(request: Request, provider: str) -> list[dict[str, Any]]:
    """The conversation; thoughts and traces of tools only since the user last spoke."""
    spoke = max((number for number, each in enumerate(request.messages) if each.role == "user"), default=-1)
    found: list[dict[str, Any]] = []
    for number, message in enumerate(request.messages):
        if message.role == "tool":
            found += [_result(part) for part in message.parts if isinstance(part, ToolResult)]
        elif message.role == "user":
            found.append({"role": "user", "content": _user_content(message)})
        else:
            found += _assistant(message.parts, (provider, request.model), number > spoke)
    return found


def _user_content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image) for part in message.parts):
        return message.text
    return [
        {"type": "input_image", "image_url": image_url(part)}
        if isinstance(part, Image)
        else {"type": "input_text", "text": part.text}
        for part in message.parts
        if isinstance(part, (Image, Text))
    ]


def _assistant(parts: Sequence[Any], own: tuple[str, str], in_turn: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    whole = in_turn and all(_sendable(part, own) for part in thoughts)  # a trace without its thought is refused
    phase: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, Text) and part.text:
            found.append({"role": "assistant", "content": part.text} | phase)
        elif isinstance(part, ToolCall):
            found.append(_call(part))
        elif isinstance(part, Thinking) and in_turn and _sendable(part, own):
            found.append(part.private["item"])
        elif isinstance(part, Private) and (part.provider, part.model) == own and isinstance(part.data, Mapping):
            phase = {"phase": part.data["phase"]} if "phase" in part.data else phase
            found += _private(part.data, whole)
    return found


def _sendable(part: Thinking, own: tuple[str, str]) -> bool:
    """Whether the server can read the thought again: it kept none, so the item must hold it."""
    if (part.provider, part.model) != own or not isinstance(part.private, Mapping):
        return False
    item = part.private.get("item")
    return isinstance(item, Mapping) and bool(item.get("encrypted_content") or item.get("content"))


def _private(data: Mapping[str, Any], whole: bool) -> list[dict[str, Any]]:
    if "refusal" in data:
        return [{"role": "assistant", "content": data["refusal"]}]
    item = data.get("item")
    if not isinstance(item, Mapping) or not (whole or item.get("type") in KEPT):
        return []
    return [] if item.get("type") == "image_generation_call" else [dict(item)]  # its picture was taken out


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": call_id(call.id),
        "name": call_name(call.name),
        "arguments": call_arguments(call),
    }


def _result(result: ToolResult) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id(result.call_id), "output": result.content}


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    """Not strict: this API would otherwise make every parameter required."""
    about = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", **about, "strict": False}
