"""The wire's answer to ours: what was said, why it ended, what it cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from cloudllm_core import Completion, Message, Private, StopReason, Text, Thinking, ToolCall, Usage
from cloudllm_provider_http import Malformed, Origin, parse_arguments, plain, sound

REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "thought")
"""Where servers put a model's thoughts, the most common place first."""

_STOPS: dict[str, StopReason] = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "max_tokens",
    "content_filter": "content_filtered",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "error": "error",
    "malformed_function_call": "malformed_tool_call",
}
_ENDS = frozenset({"", "stop", "eos", "end_turn"})
_CALLS = frozenset({"tool_calls", "tool_use", "function_call"})


@attrs.define(eq=False)
class CallDraft:
    """A tool call, as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: list[str] = attrs.Factory(list)


@attrs.define(eq=False)
class Draft:
    """An answer, as far as it has come."""

    text: list[str] = attrs.Factory(list)
    thinking: list[str] = attrs.Factory(list)
    thinking_field: str = ""
    """Where the thoughts came from, so that they can go back there."""

    details: list[dict[str, Any]] = attrs.Factory(list)
    refusal: list[str] = attrs.Factory(list)
    calls: list[CallDraft] = attrs.Factory(list)
    finish: str = ""
    usage: Any = None
    model: str = ""

    def completion(self, origin: Origin) -> Completion:
        """The finished answer."""
        provider, model = origin.provider, origin.model
        calls = tool_calls(self.calls)
        refusal = sound("".join(self.refusal))
        parts: list[Any] = [
            *self._thoughts(provider, model),
            *([Text(sound("".join(self.text)))] if any(self.text) else []),
            *([Private(provider, model, {"refusal": refusal})] if refusal else []),
            *calls,
        ]
        return Completion(
            # A message without parts fits into no history.
            message=Message("assistant", [*(parts or [Text("")]), *cost(self.usage, origin)]),
            stop=stop_reason(self.finish, bool(calls), bool(refusal)),
            usage=usage(self.usage),
            model=sound(self.model),
            request_id=origin.request_id,
        )

    def _thoughts(self, provider: str, model: str) -> list[Thinking]:
        text = sound("".join(self.thinking))
        if self.details:
            return [Thinking(text, provider, model, {"field": "reasoning_details", "details": plain(self.details)})]
        if not text:
            return []
        return [Thinking(text, provider, model, {"field": self.thinking_field} if self.thinking_field else None)]


def tool_calls(drafts: Sequence[CallDraft]) -> list[ToolCall]:
    """The calls, each with an id of its own; one whose arguments are no good carries the problem."""
    taken = {draft.id for draft in drafts if draft.id}
    seen: set[str] = set()
    calls = []
    for number, draft in enumerate(drafts, 1):
        if not draft.id or draft.id in seen:
            draft.id = _free(number, taken)
        seen.add(draft.id)
        taken.add(draft.id)
        raw = "".join(draft.arguments)
        try:
            calls.append(ToolCall(draft.id, sound(draft.name), parse_arguments(raw)))
        except Malformed as problem:
            calls.append(ToolCall(draft.id, sound(draft.name), {}, str(problem), sound(raw)))
    return calls


def _free(number: int, taken: set[str]) -> str:
    name = f"call_{number}"
    while name in taken:
        name += "_"
    return name


def stop_reason(finish: str, has_calls: bool, refused: bool) -> StopReason:
    """Why the model stopped. Calls beat a plain "stop"; a cut or a filter beats calls."""
    if finish in _ENDS or finish in _CALLS:
        if has_calls:
            return "tool_use"
        if refused:
            return "refusal"
        return "malformed_tool_call" if finish in _CALLS else "end"
    return _STOPS.get(finish, "other")


def usage(body: Any) -> Usage | None:
    """
    The tokens in *body*, in our meaning; None unless it says both the prompt's and the answer's.

    Prompt tokens of this wire include those read from and written to a cache. Some servers leave
    reasoning out of the answer's tokens: their total gives them away, or more reasoning than answer.
    """
    if not isinstance(body, Mapping):
        return None
    prompt, output = _count(body, "prompt_tokens", "input_tokens"), _count(body, "completion_tokens", "output_tokens")
    if prompt is None or output is None:
        return None
    details = body.get("prompt_tokens_details") or body.get("input_tokens_details")
    cached = _count(details, "cached_tokens")
    if cached is None:
        cached = _count(body, "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
    written = _count(details, "cache_write_tokens")
    if written is None:
        written = _count(body, "cache_creation_input_tokens")
    thought = body.get("completion_tokens_details") or body.get("output_tokens_details")
    reasoning = _count(thought, "reasoning_tokens")
    if reasoning is None:
        reasoning = _count(body, "reasoning_tokens") or 0
    if reasoning > output or (reasoning and _count(body, "total_tokens") == prompt + output + reasoning):
        output += reasoning
    read = min(cached or 0, prompt)
    write = min(written or 0, prompt - read)
    return Usage(prompt - read - write, output, read, write, reasoning)


def cost(body: Any, origin: Origin) -> list[Private]:
    """What the answer cost in US dollars, as a part, where the server is one that says so in its usage *body*."""
    if not isinstance(body, Mapping):
        return []
    for name, per_dollar in (("cost", 1), ("cost_in_usd_ticks", 10**10)):
        value = body.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf:
            return [Private(origin.provider, origin.model, {"cost": value / per_dollar})]
    return []


def _count(body: Any, *names: str) -> int | None:
    if not isinstance(body, Mapping):
        return None
    for name in names:
        value = body.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is int and value >= 0:
            return value
    return None


def said(content: Any) -> tuple[str, str]:
    """The text and the thoughts in *content*: a string, a list of parts, or (some servers) any JSON value."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False), ""
    texts, thoughts = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            inner = part.get("thinking")
            thoughts.append(said(inner)[0] if inner is not None else "")
            texts.append(part["text"] if isinstance(part.get("text"), str) else "")
    return "".join(texts), "".join(thoughts)


def thoughts_in(delta: Mapping[str, Any]) -> tuple[str, str]:
    """The field of *delta* that holds thoughts, and what they say; both empty if there are none."""
    for field in REASONING:
        if isinstance(text := delta.get(field), str) and text:
            return field, text
    details = delta.get("reasoning_details")
    texts = (
        [_detail_text(detail) for detail in details if isinstance(detail, Mapping)] if isinstance(details, list) else []
    )
    return ("reasoning_details", "".join(texts)) if any(texts) else ("", "")


def _detail_text(detail: Mapping[str, Any]) -> str:
    return next((detail[name] for name in ("text", "summary", "content") if isinstance(detail.get(name), str)), "")


def merge_details(details: list[dict[str, Any]], new: Any) -> None:
    """Add the pieces in *new* to *details*: strings of one entry grow, its other fields are replaced."""
    for piece in new if isinstance(new, list) else []:
        if not isinstance(piece, Mapping):
            continue
        same = ("index", "type")
        last = details[-1] if details else None
        if last is None or piece.get("index") is None or any(last.get(name) != piece.get(name) for name in same):
            details.append(dict(piece))
            continue
        for name, value in piece.items():
            grows = name in ("text", "summary", "content", "data", "signature") and isinstance(value, str)
            last[name] = (last.get(name) or "") + value if grows else (last.get(name) if value is None else value)
