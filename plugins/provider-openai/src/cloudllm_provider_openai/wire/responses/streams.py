"""A response put together from its events; a whole one is a single event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import attrs

from cloudllm_core import Completion
from cloudllm_core.errors import BadResponse, StreamTruncated
from cloudllm_provider_http import Origin, bad_response, sound

from ..failures import HERE, failure
from ..streams import CALLS, Emit
from .answers import completion_of, texts

_DELTAS = {
    "response.output_text.delta": ("content", "content_index"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index"),
    "response.reasoning_text.delta": ("text", "content_index"),
}
Spot: TypeAlias = tuple[int, tuple[str, int]]
"""A text: its item's place, its sort, and its place in the item."""

_ENDS = ("response.completed", "response.incomplete")


@attrs.define(eq=False)
class Assembly:
    """Takes the events of a stream, hands their text on through *emit*, and makes a `Completion` at the end."""

    path: ClassVar[str] = "/responses"

    origin: Origin = HERE
    emit: Emit | None = None
    whole: bool = attrs.field(default=False, kw_only=True)
    """Whether the answer comes in one piece, so that nothing can be missing."""

    _response: Mapping[str, Any] | None = attrs.field(default=None, init=False)
    _items: dict[int, Any] = attrs.field(factory=dict, init=False)
    _open: set[int] = attrs.field(factory=set, init=False)
    """Items that have begun and not ended."""

    _said: dict[Spot, str] = attrs.field(factory=dict, init=False)
    """What has been handed on, by item, sort and place."""

    _speaking: Spot | None = attrs.field(default=None, init=False)

    @property
    def ended(self) -> bool:
        """Whether the event came that ends every response."""
        return self._response is not None

    def done(self) -> None:
        """Some servers write ``[DONE]``; here it ends nothing."""

    def add(self, event: Any) -> None:
        """
        Take one event, parsed, or the whole response.

        Raises:
            ProviderError: it is an error. BadResponse: it is nothing this API knows.
        """
        if not isinstance(event, Mapping):
            raise bad_response("is not a JSON object", json.dumps(event), self.origin)
        kind = event.get("type")
        if event.get("error") or kind in ("error", "response.error"):
            raise failure(event, self.origin)
        if self.whole:
            self._end(event)
        elif not isinstance(kind, str):
            raise bad_response("has an event without a type", json.dumps(event), self.origin)
        elif kind in _DELTAS:
            sort, place = _DELTAS[kind]
            self._say((_place(event), (sort, _place(event, place))), event.get("delta"))
        elif kind == "response.output_item.added":
            self._open.add(_place(event))
        elif kind == "response.output_item.done":
            self._item(_place(event), event.get("item"))
        elif kind in _ENDS or kind == "response.failed":
            self._end(event.get("response"))

    def completion(self) -> Completion:
        """
        The answer, now that no more events will come.

        Raises:
            StreamTruncated: the stream stopped before its end. BadResponse: it is no finished answer.
        """
        if self._response is None:
            raise StreamTruncated(
                **self.origin.facts(), problem="the stream stopped before its end: no response.completed came"
            )
        items = self._response.get("output") or [self._items[place] for place in sorted(self._items)]
        if not isinstance(items, list):
            raise bad_response("has an output that is no list", json.dumps(items), self.origin)
        if sum(isinstance(item, Mapping) and item.get("type") == "function_call" for item in items) > CALLS:
            raise BadResponse(
                **self.origin.facts(), problem=f"the answer asks for more than {CALLS} tool calls at once"
            )
        return completion_of(self._response, items, self.origin)

    def _item(self, place: int, item: Any) -> None:
        self._open.discard(place)
        if isinstance(item, Mapping):
            self._items[place] = item
            self._catch_up(place, item)

    def _end(self, response: Any) -> None:
        if not isinstance(response, Mapping):
            raise bad_response("ends without a response", json.dumps(response), self.origin)
        status = response.get("status", "completed")
        if response.get("error") or status == "failed":
            raise failure(response.get("error") or "the response failed, without saying why", self.origin)
        if status not in ("completed", "incomplete"):
            raise bad_response(f"is not finished: its status is {status!r}", "", self.origin)
        output = response.get("output")
        if self.whole and not isinstance(output, list):
            raise bad_response("has no output", json.dumps(response), self.origin)
        if not output and self._open:
            raise StreamTruncated(**self.origin.facts(), problem="the stream ended before one of its items did")
        self._response = response
        for place, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, Mapping):
                self._catch_up(place, item)

    def _catch_up(self, place: int, item: Mapping[str, Any]) -> None:
        """Hand on what the finished *item* says and its deltas, if there were any, did not."""
        for spot, text in texts(item):
            said = self._said.get((place, spot), "")
            if text.startswith(said):
                self._say((place, spot), text[len(said) :])

    def _say(self, spot: Spot, text: Any) -> None:
        if not isinstance(text, str) or not text:
            return
        self._said[spot] = self._said.get(spot, "") + text
        if self.emit is None:
            return
        if spot[1][0] != "content":
            self.emit("reasoning", sound(text))
            return
        if self._speaking not in (None, spot):
            self.emit("content", "\n")  # as `Message.text` joins its texts
        self._speaking = spot
        self.emit("content", sound(text))


def _place(event: Mapping[str, Any], name: str = "output_index") -> int:
    """Where something stands; nothing or nonsense is the first place."""
    place = event.get(name)
    return place if isinstance(place, int) else 0
