"""A history as the API wants it: blocks in two roles, unique ids, legal names, nothing blank."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cloudllm_core import Image, Message, Private, Text, Thinking, ToolCall, ToolResult

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_DATA_URL = re.compile(r"data:([^;,]+);base64,", re.IGNORECASE)

Blocks = list[dict[str, Any]]


def messages_of(messages: Sequence[Message], provider: str, model: str) -> list[dict[str, Any]]:
    """
    The messages of the wire. Neighbours of one role are joined, results are the user's.

    Thoughts and private parts that *provider* and *model* did not make are dropped.
    """
    calls = CallIds()
    found: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "assistant":
            role, blocks = "assistant", _assistant(message, calls, lambda part: _own(part, provider, model))
        else:
            role, blocks = "user", _user(message, calls)
        if not blocks:
            blocks = [{"type": "text", "text": "(nothing)"}]
        if found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        else:
            found.append({"role": role, "content": blocks})
    _pair(found)
    return found


class CallIds:
    """
    Ids for calls as the API takes them: of letters, digits, _ and -, and each once in a history.

    Other providers number their calls anew in each answer. The ids depend on what came before only,
    so a growing history keeps its beginning, and the cache its use.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._open: dict[str, list[str]] = {}

    def begin(self) -> None:
        """Another answer begins, whose results will be its own."""
        self._open.clear()

    def asked(self, ident: str) -> str:
        """The id for a call that *ident* names."""
        name = wanted = _ILLEGAL.sub("_", ident) or "call"
        number = 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        self._open.setdefault(ident, []).append(name)
        return name

    def answered(self, ident: str) -> str:
        """The id of the call that *ident* names; of several, each in turn."""
        names = self._open.get(ident)
        return names.pop(0) if names else _ILLEGAL.sub("_", ident) or "call"


def _user(message: Message, calls: CallIds) -> Blocks:
    return [block for part in message.parts for block in _heard(part, calls)]


def _heard(part: Any, calls: CallIds) -> Iterator[dict[str, Any]]:
    if isinstance(part, Text) and part.text.strip():
        yield {"type": "text", "text": part.text}
    elif isinstance(part, Image):
        yield {"type": "image", "source": _source(part)}
    elif isinstance(part, ToolResult):
        content = part.content or ("(no message)" if part.is_error else "")  # an empty error is refused
        error = {"is_error": True} if part.is_error else {}
        yield {"type": "tool_result", "tool_use_id": calls.answered(part.call_id), "content": content, **error}


def _source(image: Image) -> dict[str, Any]:
    if image.url and (inline := _DATA_URL.match(image.url)):
        return {"type": "base64", "media_type": inline[1], "data": image.url[inline.end() :]}
    if image.url:
        return {"type": "url", "url": image.url}
    return {"type": "base64", "media_type": image.mime, "data": image.data or ""}


def _assistant(message: Message, calls: CallIds, own: Callable[[Any], Any]) -> Blocks:
    blocks: Blocks = []
    spoken = 0
    calls.begin()
    for part in message.parts:
        if isinstance(part, Text):
            spoken = len(blocks)
            blocks += [{"type": "text", "text": part.text}] if part.text.strip() else []
        elif isinstance(part, Image):
            blocks.append({"type": "text", "text": "(a picture)"})  # the API takes pictures from users only
        elif isinstance(part, ToolCall):
            blocks.append(_call(part, calls))
        elif (said := own(part)) is not None:
            if "citations" in said:
                blocks[spoken:] = _cited(blocks[spoken:], said["citations"])
            elif "block" in said:
                blocks.append(said["block"])
    return blocks


def _own(part: Thinking | Private, provider: str, model: str) -> dict[str, Any] | None:
    """What goes back of *part* if it was made here: a block, or citations for the text before it."""
    if (part.provider, part.model) != (provider, model):
        return None
    if isinstance(part, Private):
        return part.data if isinstance(part.data, dict) else None
    private = part.private if isinstance(part.private, dict) else {}
    if "redacted" in private:
        return {"block": {"type": "redacted_thinking", "data": private["redacted"]}}
    if "signature" in private:
        return {"block": {"type": "thinking", "thinking": part.text, "signature": private["signature"]}}
    return None


def _cited(blocks: Blocks, stretches: Any) -> Blocks:
    """The text in *blocks*, split as it came with its sources; as it is where the two no longer fit."""
    if len(blocks) != 1 or blocks[0]["type"] != "text":
        return blocks
    text, found, at = blocks[0]["text"], Blocks(), 0
    for length, citations in stretches:
        piece, at = text[at : at + length], at + length
        if piece.strip() and citations:
            found.append({"type": "text", "text": piece, "citations": citations})
        elif piece and found and "citations" not in found[-1]:
            found[-1]["text"] += piece
        elif piece.strip():
            found.append({"type": "text", "text": piece})
    return found if at == len(text) else blocks


def _call(call: ToolCall, calls: CallIds) -> dict[str, Any]:
    name = _ILLEGAL.sub("_", call.name)[:128] or "unknown"  # a name the server refuses would spoil the whole session
    given = dict(call.arguments) if call.problem is None else {"INVALID_JSON": call.raw or ""}
    return {"type": "tool_use", "id": calls.asked(call.id), "name": name, "input": given}


def _pair(messages: list[dict[str, Any]]) -> None:
    """Drop what is left of server-side tools whose call or result is gone; the last answer may still be open."""
    blocks = [block for message in messages for block in message["content"] if message["role"] == "assistant"]
    asked = {block["id"] for block in blocks if _server_call(block)}
    told = {block["tool_use_id"] for block in blocks if isinstance(block.get("tool_use_id"), str)}
    if not asked and not told:
        return
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    for message in messages:
        if message["role"] == "assistant":
            kept = [
                block
                for block in message["content"]
                if not (_server_call(block) and message is not last and block["id"] not in told)
                and not ("tool_use_id" in block and block["tool_use_id"] not in asked)
            ]
            message["content"] = kept or [{"type": "text", "text": "(nothing)"}]


def _server_call(block: Mapping[str, Any]) -> bool:
    kind = str(block.get("type"))
    return kind.endswith("tool_use") and kind != "tool_use" and isinstance(block.get("id"), str)
