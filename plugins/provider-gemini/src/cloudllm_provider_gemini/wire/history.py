"""
A session's messages as the wire's contents.

Signatures of thoughts travel in `Thinking.private`: ``{"signature": s}`` beside the thought's own
text, or, in a part without text, right behind the part that is signed: ``{"signature": s, "call": id}``
after a call, ``{"signature": s, "image": true}`` after a picture, and ``{"signature": s, "characters": n}``
after a text whose last *n* characters came signed (0 is a signed part with no text at all).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloudllm_core import Image, Message, Private, Request, Text, Thinking, ToolCall, ToolResult

from .models import LEVELS, generation

UNSIGNED = "skip_thought_signature_validator"
"""What Google's guide to thought signatures says to send for a call that another model made."""

_NAME = re.compile(r"[^A-Za-z0-9_.:-]")
_DATA_URL = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)


def contents(request: Request, provider: str) -> list[dict[str, Any]]:
    """
    The history of *request*; what neither *provider* nor the request's model made privately is dropped.

    Neighbours of one role are merged, except that results stand alone: the wire counts them against
    the calls before.
    """
    found: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    previous = ""
    for message in request.messages:
        if message.role == "assistant":
            names |= {call.id: call.name for call in message.tool_calls}
            role, parts = "model", _model_parts(message, provider, request.model)
        elif message.role == "tool":
            role, parts = "user", [_result(result, names) for result in message.tool_results]
        else:
            role, parts = "user", [*_user_parts(message)]
        if not parts:
            continue
        if found and previous == message.role:
            found[-1]["parts"] += parts
        else:
            found.append({"role": role, "parts": parts})
        previous = message.role
    return found


def _user_parts(message: Message) -> Iterator[dict[str, Any]]:
    for part in message.parts:
        if isinstance(part, Text) and part.text.strip():
            yield {"text": part.text}
        elif isinstance(part, Image):
            yield _image(part)


def _model_parts(message: Message, provider: str, model: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text):
            parts += [{"text": part.text}] if part.text.strip() else []
        elif isinstance(part, ToolCall):
            parts.append({"functionCall": {"id": part.id, "name": _name(part.name), "args": dict(part.arguments)}})
        elif isinstance(part, Image):
            parts.append(_image(part))
        elif isinstance(part, (Thinking, Private)) and (part.provider, part.model) == (provider, model):
            _put_back(parts, part)
    calls = [part for part in parts if "functionCall" in part]
    if calls and generation(model) >= LEVELS:  # of several calls in one answer, the first is signed
        calls[0].setdefault("thoughtSignature", UNSIGNED)
    return parts


def _put_back(parts: list[dict[str, Any]], part: Thinking | Private) -> None:
    if isinstance(part, Private):
        if isinstance(part.data, Mapping) and isinstance(part.data.get("part"), Mapping):
            parts.append(dict(part.data["part"]))
    elif isinstance(part.private, Mapping) and isinstance(signature := part.private.get("signature"), str):
        if part.text:
            parts.append({"text": part.text, "thought": True, "thoughtSignature": signature})
        else:
            _sign(parts, signature, part.private)


def _sign(parts: list[dict[str, Any]], signature: str, private: Mapping[str, Any]) -> None:
    """Give the last of *parts* its signature back; where it is no longer what was signed, the signature is dropped."""
    last = parts[-1] if parts else {}
    characters = private.get("characters")
    if characters == 0:
        parts.append({"text": "", "thoughtSignature": signature})
    elif isinstance(characters, int):
        text = last.get("text", "")
        if len(text) == characters:
            last["thoughtSignature"] = signature
        elif len(text) > characters:
            parts[-1:] = [{"text": text[:-characters]}, {"text": text[-characters:], "thoughtSignature": signature}]
    elif "call" in private:
        if last.get("functionCall", {}).get("id") == private["call"]:
            last["thoughtSignature"] = signature
    elif "inlineData" in last or "fileData" in last:
        last["thoughtSignature"] = signature


def _image(image: Image) -> dict[str, Any]:
    if found := _DATA_URL.fullmatch(image.url or ""):
        return {"inlineData": {"mimeType": found[1] or image.mime, "data": found[2]}}
    if image.url:
        return {"fileData": {"mimeType": image.mime, "fileUri": image.url}}
    return {"inlineData": {"mimeType": image.mime, "data": image.data or ""}}


def _result(result: ToolResult, names: Mapping[str, str]) -> dict[str, Any]:
    response = {"error" if result.is_error else "output": result.content}
    name = _name(names.get(result.call_id, ""))
    return {"functionResponse": {"id": result.call_id, "name": name, "response": response}}


def _name(name: str) -> str:
    """*name* as the wire allows it: one that it refuses would spoil the whole session."""
    return _NAME.sub("_", name)[:64] or "unknown"
