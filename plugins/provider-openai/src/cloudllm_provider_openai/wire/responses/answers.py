"""The items of a response as our parts: what was said, why it ended, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from cloudllm_core import Completion, Image, Message, Private, StopReason, Text, Thinking, ToolCall
from cloudllm_provider_http import Origin, plain, sound

from ..answers import CallDraft, cost, tool_calls, usage

CUT = "the call was cut off before its end"

_INCOMPLETE: dict[str, StopReason] = {"max_output_tokens": "max_tokens", "content_filter": "content_filtered"}


def completion_of(response: Mapping[str, Any], items: Sequence[Any], origin: Origin) -> Completion:
    """The finished answer: *response* says how it ended, *items* what was said."""
    reading = _Reading(origin)
    for item in items:
        if isinstance(item, Mapping):
            reading.read(plain(item))
    calls = reading.calls()
    parts = [next(calls) if part is _CALL else part for part in reading.parts]
    return Completion(
        message=Message("assistant", [*(parts or [Text("")]), *cost(response.get("usage"), origin)]),
        stop=_stop(response, bool(reading.drafts), reading.refused),
        usage=usage(response.get("usage")),
        model=sound(response["model"]) if isinstance(response.get("model"), str) else "",
        request_id=origin.request_id,
    )


def texts(item: Mapping[str, Any]) -> Iterator[tuple[tuple[str, int], str]]:
    """The texts in *item*, each with its sort (``content``, ``summary`` or ``text``, of thoughts) and place."""
    if item.get("type") == "reasoning":
        for field, sort in (("summary", "summary"), ("content", "text")):
            yield from (((sort, place), part["text"]) for place, part in _pieces(item, field, "text"))
    elif item.get("type") == "message":
        yield from ((("content", place), part["text"]) for place, part in _pieces(item, "content", "text"))


def _pieces(item: Mapping[str, Any], field: str, holds: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    pieces = item.get(field)
    for place, part in enumerate(pieces if isinstance(pieces, list) else ()):
        if isinstance(part, Mapping) and isinstance(part.get(holds), str):
            yield place, part


_CALL = object()
"""Where a call stands among the parts, until all calls are known and each has an id of its own."""


@attrs.define(eq=False)
class _Reading:
    origin: Origin
    parts: list[Any] = attrs.field(factory=list, init=False)
    drafts: list[CallDraft] = attrs.field(factory=list, init=False)
    cut: list[bool] = attrs.field(factory=list, init=False)
    refused: bool = attrs.field(default=False, init=False)

    def read(self, item: Mapping[str, Any]) -> None:
        kind = item.get("type")
        if kind == "message":
            self._message(item)
        elif kind == "reasoning":
            said = sound("".join(text for _, text in texts(item)))
            self.parts.append(Thinking(said, self.origin.provider, self.origin.model, {"item": dict(item)}))
        elif kind == "function_call":
            call = CallDraft(_text(item.get("call_id")), _text(item.get("name")), [_text(item.get("arguments"))])
            self.drafts.append(call)
            self.cut.append(item.get("status") == "incomplete")
            self.parts.append(_CALL)
        elif kind == "image_generation_call" and isinstance(item.get("result"), str):
            mime = f"image/{_text(item.get('output_format')) or 'png'}"
            self.parts.append(Image(mime, data=item["result"]))
            self._private({"item": {name: value for name, value in item.items() if name != "result"}})
        else:
            self._private({"item": dict(item)})

    def _message(self, item: Mapping[str, Any]) -> None:
        if isinstance(item.get("phase"), str):  # models that say it want to see it again
            self._private({"phase": item["phase"]})
        self.parts += [Text(sound(text)) for _, text in texts(item) if text]
        for _, part in _pieces(item, "content", "refusal"):
            self.refused = True
            self._private({"refusal": sound(part["refusal"])})

    def _private(self, data: dict[str, Any]) -> None:
        self.parts.append(Private(self.origin.provider, self.origin.model, data))

    def calls(self) -> Iterator[ToolCall]:
        for call, cut in zip(tool_calls(self.drafts), self.cut, strict=True):
            raw = None if call.problem else _raw(self.drafts, call)
            yield attrs.evolve(call, arguments={}, problem=CUT, raw=raw) if cut and not call.problem else call


def _raw(drafts: Sequence[CallDraft], call: ToolCall) -> str:
    return next(sound("".join(draft.arguments)) for draft in drafts if draft.id == call.id)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _stop(response: Mapping[str, Any], has_calls: bool, refused: bool) -> StopReason:
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        return _INCOMPLETE.get(_text(details.get("reason")) if isinstance(details, Mapping) else "", "other")
    return "tool_use" if has_calls else "refusal" if refused else "end"
