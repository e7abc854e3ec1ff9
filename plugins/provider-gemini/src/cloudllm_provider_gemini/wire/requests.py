"""Our request to the wire's."""

from __future__ import annotations

from typing import Any

from cloudllm_core import Request, ToolDefinition

from .history import contents
from .models import LEVELS, generation
from .options import options_of


def request_body(request: Request, provider: str = "gemini", default_effort: str = "") -> dict[str, Any]:
    """
    The body of one call, whole or streaming.

    *default_effort* is how much to think where the options do not say and the model can.

    Raises:
        BadRequest: an option names a field that the request itself fills, or an effort that there is not.
    """
    config, beside = options_of(request, provider, default_effort)
    if (most := request.max_output) is not None:
        said = config.get("maxOutputTokens")
        config["maxOutputTokens"] = min(said, most) if type(said) is int else most
    tools = _tools(request, beside.pop("serverTools", None))
    if request.output is not None and (not tools or generation(request.model) >= LEVELS):
        # Older models refuse JSON answers and tools in one request; there the instructions alone must do.
        config.setdefault("responseMimeType", "application/json")
        if config.get("responseSchema") is None:
            config.setdefault("responseJsonSchema", dict(request.output))
    body: dict[str, Any] = {"contents": contents(request, provider)}
    if request.instructions:
        body["systemInstruction"] = {"parts": [{"text": request.instructions}]}
    if tools:
        body["tools"] = tools
    if config := {name: value for name, value in config.items() if value is not None}:
        body["generationConfig"] = config
    body |= {name: value for name, value in beside.items() if value is not None}
    if request.tools and request.tool_choice == "none":
        body["toolConfig"] = {**body.get("toolConfig", {}), "functionCallingConfig": {"mode": "NONE"}}
    return body


def _tools(request: Request, server_tools: Any) -> list[Any]:
    ours = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}] if request.tools else []
    return [*ours, *(server_tools or ())]


def _declaration(tool: ToolDefinition) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": dict(tool.parameters)}
