"""The wire's answer to ours: what was said, why it ended, what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from cloudllm_core import Completion, Image, Message, Private, StopReason, Text, Thinking, ToolCall, Usage
from cloudllm_provider_http import Malformed, sound

from .arguments import checked, written

_FILTERED = (
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
)
_STOPS: dict[str, StopReason] = {
    "MAX_TOKENS": "max_tokens",
    **dict.fromkeys(_FILTERED, "content_filtered"),
    "MALFORMED_FUNCTION_CALL": "malformed_tool_call",
    "UNEXPECTED_TOOL_CALL": "malformed_tool_call",
    "TOO_MANY_TOOL_CALLS": "malformed_tool_call",
    "MALFORMED_RESPONSE": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "CONTINUATION": "pause",
}


@attrs.define(eq=False)
class Words:
    """Text or thoughts, as far as they have come."""

    sort: Literal["content", "reasoning"]
    pieces: list[str] = attrs.Factory(list)
    signature: str | None = None
    """A thought's own."""

    def add(self, text: str) -> None:
        self.pieces.append(text)


@attrs.frozen
class Mark:
    """A signature of the part before it; `private` as `history` wants it back."""

    private: dict[str, Any]


@attrs.frozen
class Call:
    """A tool call as it came."""

    id: str
    name: str
    arguments: Any
    partial: bool
    """Whether *arguments* is a list of pieces (JSON paths and values), which is an option of other APIs."""

    signature: str | None


@attrs.define(eq=False)
class Draft:
    """An answer, as far as it has come; its pieces in their order."""

    pieces: list[Words | Mark | Call | Image | Private] = attrs.Factory(list)
    metadata: dict[str, list[Any]] = attrs.Factory(dict)
    """What the wire says about the answer (sources, ratings of a block ...), each as often as it said it."""

    finish: str = ""
    blocked: bool = False
    """Whether the prompt was refused, so that there is no answer to come."""

    usage: dict[str, Any] = attrs.Factory(dict)
    model: str = ""
    id: str = ""

    def completion(self, provider: str, model: str, taken: Iterable[str], request_id: str) -> Completion:
        """The finished answer to a request for *model*, with call ids that are not among those *taken*."""
        parts = self._parts(provider, model, taken)
        if self.metadata:
            parts.append(Private(provider, model, {"metadata": self.metadata}))
        if not parts:
            parts.append(Text(""))  # a message without parts fits into no history
        message = Message("assistant", parts)
        return Completion(
            message=message,
            stop="content_filtered" if self.blocked else stop_reason(self.finish, bool(message.tool_calls)),
            usage=usage(self.usage),
            model=self.model,
            request_id=self.id or request_id,
        )

    def _parts(self, provider: str, model: str, taken: Iterable[str]) -> list[Any]:
        calls = [piece for piece in self.pieces if isinstance(piece, Call)]
        ids = iter(call_ids([call.id for call in calls], taken))
        parts: list[Text | Thinking | ToolCall | Image | Private] = []
        for piece in self.pieces:
            if isinstance(piece, Words):
                text = sound("".join(piece.pieces))
                private = {"signature": piece.signature} if piece.signature else None
                parts.append(Text(text) if piece.sort == "content" else Thinking(text, provider, model, private))
            elif isinstance(piece, Mark):
                parts.append(Thinking("", provider, model, piece.private))
            elif isinstance(piece, Call):
                call = tool_call(next(ids), piece)
                parts.append(call)
                if piece.signature:
                    parts.append(Thinking("", provider, model, {"signature": piece.signature, "call": call.id}))
            else:
                parts.append(piece)
        return parts


def call_ids(ids: list[str], taken: Iterable[str]) -> list[str]:
    """
    *ids* with one for each call that has none, or one that another has.

    Most models send none, so a made one differs from all in the history too: results find their call by it.
    """
    found: list[str] = []
    seen: set[str] | None = None
    for ident in ids:
        if not ident or ident in found:
            seen = {*taken, *filter(None, ids)} if seen is None else seen
            number = len(seen) + 1
            while (ident := f"call_{number}") in seen:
                number += 1
            seen.add(ident)
        found.append(ident)
    return found


def tool_call(ident: str, call: Call) -> ToolCall:
    """*call* for the kernel; one whose arguments are no good carries the problem."""
    try:
        if call.partial:
            raise Malformed("the arguments came in pieces, which nobody asked for")
        return ToolCall(ident, call.name, checked(call.arguments))
    except Malformed as problem:
        return ToolCall(ident, call.name, {}, str(problem), written(call.arguments))


def stop_reason(finish: str, has_calls: bool) -> StopReason:
    """Why the model stopped. Calls beat a plain end; a cut or a filter beats calls."""
    if finish == "STOP":
        return "tool_use" if has_calls else "end"
    return _STOPS.get(finish, "other")


def usage(body: Mapping[str, Any]) -> Usage | None:
    """
    The tokens in *body*, in our meaning; None unless it says the prompt's.

    Prompt tokens of this wire include the cached ones; what server-side tools read comes on top, and
    so do thoughts. A count of zero is left out, as proto3's JSON does.
    """
    if body.get("promptTokenCount") is None:
        return None
    names = ("prompt", "toolUsePrompt", "candidates", "thoughts", "cachedContent")
    counts = [_count(body.get(f"{name}TokenCount")) for name in names]
    prompt, tools, output, thoughts, cached = [count or 0 for count in counts]
    if None in counts:
        return None
    read = min(cached, prompt)
    return Usage(prompt - read + tools, output + thoughts, read, 0, thoughts)


def _count(value: Any) -> int | None:
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None
