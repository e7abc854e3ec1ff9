"""An answer put together from its events; a whole answer is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from cloudllm_core import Completion, Emit
from cloudllm_core.errors import BadResponse, StreamTruncated
from cloudllm_provider_http import Odd, Origin, bad_response, plain, sound, written

from .answers import Block, Draft, count
from .failures import HERE, failure

CALLS = 128
"""Tool calls one answer may have."""


def completion(body: Any, origin: Origin | None = None, emit: Emit | None = None) -> Completion:
    """
    The completion in *body*, a whole answer of the wire as `read_json` gave it.

    Raises:
        BadResponse: it is no answer. ProviderError: it is an error in an answer's clothes.
    """
    origin = origin or HERE
    if isinstance(body, Mapping) and body.get("error"):
        raise failure(body, origin)
    if not isinstance(body, Mapping):
        raise bad_response("is not a JSON object", _shown(body), origin)
    if not isinstance(content := body.get("content"), list):
        raise bad_response("has no content", _shown(body), origin)
    assembly = Assembly(origin, emit)
    assembly.add({"type": "message_start", "message": body})
    for index, block in enumerate(content):
        assembly.add({"type": "content_block_start", "index": index, "content_block": block})
    assembly.add({"type": "message_delta", "delta": body})
    assembly.add({"type": "message_stop"})
    return assembly.completion()


@attrs.define(eq=False)
class Assembly:
    """Takes the events of a stream, hands their text on through *emit*, and makes a `Completion` at the end."""

    origin: Origin = HERE
    emit: Emit | None = None
    ended: bool = attrs.field(default=False, init=False)
    """Whether the server said that the message is over."""

    _draft: Draft = attrs.field(factory=Draft, init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _by_index: dict[Any, Block] = attrs.field(factory=dict, init=False)
    _calls: int = attrs.field(default=0, init=False)

    def add(self, event: Any, name: str = "") -> None:
        """
        Take one event, parsed; *name* is what the stream called it. Kinds that are not known are skipped.

        Raises:
            ProviderError: the event is an error. BadResponse: it is nothing this wire knows.
        """
        if not isinstance(event, Mapping):
            raise bad_response("has an event that is not a JSON object", _shown(event), self.origin)
        kind = event.get("type") or name
        if kind == "error" or event.get("error"):
            raise failure(event, self.origin)
        if kind == "message_start":
            self._begin(event.get("message"))
        elif kind == "content_block_start":
            self._open(event.get("index"), event.get("content_block"))
        elif kind == "content_block_delta":
            self._grow(event.get("index"), event.get("delta"))
        elif kind == "message_delta":
            self._close(event)
        elif kind == "message_stop":
            self.ended = True

    def completion(self) -> Completion:
        """
        The answer, now that no more events will come.

        Raises:
            StreamTruncated: the stream stopped before its end. BadResponse: it ended without an answer.
        """
        if not self.ended:
            raise StreamTruncated(
                **self.origin.facts(), problem="the stream stopped before its end: no message_stop came"
            )
        if not self._begun:
            raise bad_response("has no message", "", self.origin)
        return self._draft.completion(self.origin.provider, self.origin.model, self.origin.request_id)

    def _begin(self, message: Any) -> None:
        self._begun = True
        if isinstance(message, Mapping):
            if isinstance(message.get("model"), str):
                self._draft.model = message["model"]
            self._note_usage(message.get("usage"))

    def _open(self, index: Any, start: Any) -> None:
        if not isinstance(start, Mapping):
            raise bad_response("has a content block that is no object", _shown(start), self.origin)
        block = Block(dict(start))
        if block.kind == "tool_use":
            self._calls += 1
            if self._calls > CALLS:
                raise BadResponse(
                    **self.origin.facts(), problem=f"the answer asks for more than {CALLS} tool calls at once"
                )
        self._draft.blocks.append(block)
        self._by_index[_hashable(index)] = block
        if block.kind in ("text", "thinking") and isinstance(text := block.body.get(block.kind), str):
            self._say(block, text)

    def _grow(self, index: Any, delta: Any) -> None:
        block = self._by_index.get(_hashable(index))
        if block is None or not isinstance(delta, Mapping):
            raise bad_response("has a piece of a content block that never began", _shown(delta), self.origin)
        for field, value in delta.items():
            if field == "partial_json" and isinstance(value, str):
                block.json.append(value)
            elif field == "citation":
                block.body["citations"] = [*(block.body.get("citations") or []), plain(value)]
            elif field == block.kind and field in ("text", "thinking") and isinstance(value, str):
                self._say(block, value)
            elif field != "type":
                known = block.body.get(field)
                block.body[field] = known + value if isinstance(known, str) and isinstance(value, str) else value

    def _say(self, block: Block, text: str) -> None:
        if text:
            block.said.append(text)
            if self.emit is not None:
                sort: Literal["content", "reasoning"] = "content" if block.kind == "text" else "reasoning"
                self.emit(sort, sound(text))

    def _close(self, event: Mapping[str, Any]) -> None:
        self._note_usage(event.get("usage"))
        delta = event.get("delta")
        if isinstance(delta, Mapping):
            if isinstance(stop := delta.get("stop_reason"), str):
                self._draft.stop = stop
            self._draft.details = delta.get("stop_details") or self._draft.details

    def _note_usage(self, usage: Any) -> None:
        """The latest counts are the true ones; but some servers send a zero where they mean nothing new."""
        for name, value in usage.items() if isinstance(usage, Mapping) else ():
            if value is not None and not (count(value) == 0 and count(self._draft.usage.get(name))):
                self._draft.usage[name] = value


def _hashable(index: Any) -> Any:
    return None if isinstance(index, (dict, list)) else index


def _shown(value: Any) -> str:
    return value.why if isinstance(value, Odd) else written(value)
