"""The wire's answer to ours: what was said, why it ended, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from cloudllm_core import Completion, Message, Private, StopReason, Text, Thinking, ToolCall, Usage
from cloudllm_provider_http import Malformed, checked, parse_arguments, plain, sound, written

Said: TypeAlias = Text | Thinking | Private | ToolCall

_STOPS: dict[str, StopReason] = {
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "stop_sequence": "stop_sequence",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
}
_ENDS = frozenset({"", "end_turn", "stop"})
_CUT = frozenset({"max_tokens", "model_context_window_exceeded"})


@attrs.define(eq=False)
class Block:
    """One content block, as far as it has come."""

    body: dict[str, Any]
    """As it began, and with what its pieces added to its fields."""

    said: list[str] = attrs.Factory(list)
    """Text or thoughts."""

    json: list[str] = attrs.Factory(list)
    """Pieces of a call's arguments."""

    @property
    def kind(self) -> str:
        return str(self.body.get("type") or "")

    @property
    def caller(self) -> str | None:
        """The server-side code that makes this call; once that has ended, the call is answered and over."""
        caller = self.body.get("caller")
        return str(caller.get("tool_id")) if self.kind == "tool_use" and isinstance(caller, Mapping) else None

    @property
    def text(self) -> str:
        return sound("".join(self.said))


@attrs.define(eq=False)
class Draft:
    """An answer, as far as it has come."""

    blocks: list[Block] = attrs.Factory(list)
    stop: str = ""
    details: Any = None
    """What the server says of a refusal."""

    usage: dict[str, Any] = attrs.Factory(dict)
    model: str = ""

    def completion(self, provider: str, model: str, request_id: str) -> Completion:
        """The finished answer to a request for *model*."""
        answered = {
            block.body.get("tool_use_id") for block in self.blocks if isinstance(block.body.get("tool_use_id"), str)
        }
        blocks = [block for block in self.blocks if block.caller not in answered]
        asking = [block for block in blocks if block.kind == "tool_use"]
        calls = dict(zip(map(id, asking), tool_calls(asking, self._cut()), strict=True))
        parts: list[Said] = []
        for run in _runs(blocks):
            parts += [calls[id(run[0])]] if id(run[0]) in calls else _said(run, provider, model)
        if isinstance(self.details, Mapping):
            parts.append(Private(provider, model, {"stop_details": plain(self.details)}))
        return Completion(
            message=Message("assistant", parts or [Text("")]),  # a message without parts fits into no history
            stop=stop_reason(self.stop, bool(calls)),
            usage=usage(self.usage),
            model=sound(self.model),
            request_id=request_id,
        )

    def _cut(self) -> Block | None:
        return self.blocks[-1] if self.blocks and self.stop in _CUT else None


def _runs(blocks: Sequence[Block]) -> list[list[Block]]:
    """*blocks*, with neighbours of text together: citations split a sentence into many."""
    runs: list[list[Block]] = []
    for block in blocks:
        if block.kind == "text" and runs and runs[-1][0].kind == "text":
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs


def _said(run: Sequence[Block], provider: str, model: str) -> list[Said]:
    """The parts of one run of blocks that asks for no tool."""
    block = run[0]
    if block.kind == "text":
        text = "".join(each.text for each in run)
        return [Text(text), *_citations(run, provider, model)] if text else []
    if block.kind == "thinking":
        signature = block.body.get("signature")
        private = {"signature": sound(signature)} if isinstance(signature, str) and signature else None
        return [Thinking(block.text, provider, model, private)] if block.text or private else []
    if block.kind == "redacted_thinking":
        return [Thinking("", provider, model, {"redacted": plain(block.body.get("data"))})]
    return [Private(provider, model, {"block": _trace(block)})]


def _citations(run: Sequence[Block], provider: str, model: str) -> list[Private]:
    """Which stretches of the text before it have sources: pairs of a length and a list, or nothing."""
    if not any(block.body.get("citations") for block in run):
        return []
    stretches = [[len(block.text), plain(block.body.get("citations")) or []] for block in run]
    return [Private(provider, model, {"citations": stretches})]


def _trace(block: Block) -> dict[str, Any]:
    """A block of a server-side tool, or of a kind not known yet, as it goes back."""
    trace: dict[str, Any] = plain(block.body)
    if block.json:
        try:
            trace["input"] = parse_arguments("".join(block.json))
        except Malformed:
            trace["input"] = {}
    return trace


def tool_calls(blocks: Sequence[Block], cut: Block | None = None) -> list[ToolCall]:
    """
    The calls in *blocks*, each with an id of its own; one whose arguments are no good carries the problem.

    *cut* is the last block of an answer that ran out of tokens: what is missing from it cannot be seen
    where its arguments came in one piece, or did not come at all.
    """
    taken = {block.body["id"] for block in blocks if isinstance(block.body.get("id"), str)}
    seen: set[str] = set()
    calls = []
    for number, block in enumerate(blocks, 1):
        ident = block.body.get("id")
        ident = sound(ident) if isinstance(ident, str) else ""
        if not ident or ident in seen:
            ident = _free(number, taken)
        seen.add(ident)
        taken.add(ident)
        name = block.body.get("name")
        calls.append(_call(ident, sound(name) if isinstance(name, str) else "", block, block is cut))
    return calls


def _call(ident: str, name: str, block: Block, cut: bool) -> ToolCall:
    raw: Any = "".join(block.json) if block.json else block.body.get("input")
    text = raw if isinstance(raw, str) else written(raw) if raw else ""
    try:
        if cut and not "".join(block.json).strip():
            raise Malformed("the arguments were cut off by the limit of output tokens")
        return ToolCall(ident, name, parse_arguments(text) if isinstance(raw, str) or raw is None else checked(raw))
    except Malformed as problem:
        return ToolCall(ident, name, {}, str(problem), sound(text))


def _free(number: int, taken: set[str]) -> str:
    name = f"call_{number}"
    while name in taken:
        name += "_"
    return name


def stop_reason(reason: str, has_calls: bool) -> StopReason:
    """Why the model stopped. Calls beat a plain end; a cut, a pause or a refusal beats calls."""
    if reason in _ENDS or reason == "tool_use":
        if has_calls:
            return "tool_use"
        return "malformed_tool_call" if reason == "tool_use" else "end"
    return _STOPS.get(reason, "other")


def usage(body: Any) -> Usage | None:
    """The tokens in *body*; None unless it says both the prompt's and the answer's. The API's meanings are ours."""
    if not isinstance(body, Mapping):
        return None
    prompt, output = count(body.get("input_tokens")), count(body.get("output_tokens"))
    if prompt is None or output is None:
        return None
    details = body.get("output_tokens_details")
    thinking = count(details.get("thinking_tokens")) if isinstance(details, Mapping) else None
    return Usage(
        prompt,
        output,
        count(body.get("cache_read_input_tokens")) or 0,
        count(body.get("cache_creation_input_tokens")) or 0,
        min(thinking or 0, output),
    )


def count(value: Any) -> int | None:
    """*value*, if it is a number of tokens."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None
