"""An answer put together from its pieces; a whole answer is one piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import attrs

from cloudllm_core import Completion
from cloudllm_core.errors import BadResponse, Overloaded, StreamTruncated
from cloudllm_provider_http import Origin, bad_response, sound

from .answers import CallDraft, Draft, merge_details, said, thoughts_in
from .failures import HERE, failure

Emit: TypeAlias = Callable[[Literal["content", "reasoning"], str], None]

CALLS = 128
"""Tool calls one answer may have."""


def completion(body: Any, origin: Origin | None = None, emit: Emit | None = None) -> Completion:
    """
    The completion in *body*, a parsed answer of the wire.

    Raises:
        BadResponse: it is no answer. ProviderError: it is an error in an answer's clothes.
    """
    assembly = Assembly(origin or HERE, emit, whole=True)
    assembly.add(body)
    return assembly.completion()


@attrs.define(eq=False)
class Assembly:
    """Takes the chunks of a stream, hands their text on through *emit*, and makes a `Completion` at the end."""

    path: ClassVar[str] = "/chat/completions"

    origin: Origin = HERE
    emit: Emit | None = None
    whole: bool = attrs.field(default=False, kw_only=True)
    """Whether the answer comes in one piece, so that nothing can be missing."""

    ended: bool = attrs.field(default=False, init=False)
    """Whether the server said that the stream is over."""

    _draft: Draft = attrs.field(factory=Draft, init=False)
    _choice: Any = attrs.field(default=None, init=False)
    _by_index: dict[Any, CallDraft] = attrs.field(factory=dict, init=False)

    def done(self) -> None:
        """The server wrote ``[DONE]``."""
        self.ended = True

    def add(self, chunk: Any) -> None:
        """
        Take one chunk, parsed.

        Raises:
            ProviderError: the chunk is an error. BadResponse: it is nothing this wire knows.
        """
        if not isinstance(chunk, Mapping):
            raise bad_response("is not a JSON object", json.dumps(chunk), self.origin)
        if str(chunk.get("type")).startswith("response.") or chunk.get("object") == "response":
            raise bad_response("is one of the Responses API", "", self.origin)
        choices = chunk.get("choices")
        if chunk.get("error") or (not choices and "error" in (chunk.get("object"), chunk.get("type"))):
            raise failure(chunk, self.origin)
        if isinstance(chunk.get("model"), str):
            self._draft.model = chunk["model"]
        self._note_usage(chunk)
        if self.whole and not choices:
            raise bad_response("has no choices", json.dumps(chunk), self.origin)
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping):
                self._hear(choice)

    def completion(self) -> Completion:
        """
        The answer, now that no more chunks will come.

        Raises:
            StreamTruncated: the stream stopped before its end. BadResponse: it ended without an answer.
        """
        if not (self.whole or self.ended or self._draft.finish):
            raise StreamTruncated(
                **self.origin.facts(), problem="the stream stopped before its end: no finish_reason and no [DONE] came"
            )
        if self._choice is None:
            raise bad_response("has no choices", "", self.origin)
        if self._draft.finish == "insufficient_system_resource":
            raise Overloaded(
                **self.origin.facts(), problem="the server ran out of resources in the middle of the answer"
            )
        return self._draft.completion(self.origin)

    def _note_usage(self, chunk: Mapping[str, Any]) -> None:
        groq = chunk.get("x_groq")
        found = chunk.get("usage") or (groq.get("usage") if isinstance(groq, Mapping) else None)
        if found:
            self._draft.usage = found

    def _hear(self, choice: Mapping[str, Any]) -> None:
        index = choice.get("index") or 0
        if self._choice is None:
            self._choice = index
        if index != self._choice:
            return  # alternatives (n > 1) are not asked for; the first is the answer
        if choice.get("error"):
            raise failure(choice, self.origin)
        here, else_here = ("message", "delta") if self.whole else ("delta", "message")
        delta = choice.get(here) or choice.get(else_here)  # some servers send both, one of them empty
        if isinstance(delta, Mapping):
            self._take(delta)
        if isinstance(finish := choice.get("finish_reason"), str) and finish:
            self._draft.finish = finish

    def _take(self, delta: Mapping[str, Any]) -> None:
        draft = self._draft
        field, thought = thoughts_in(delta)
        text, more = said(delta.get("content"))
        if field and not draft.thinking_field:
            draft.thinking_field = field
        self._say("reasoning", draft.thinking, thought + more)
        self._say("content", draft.text, text)
        merge_details(draft.details, delta.get("reasoning_details"))
        if isinstance(refusal := delta.get("refusal"), str):
            draft.refusal.append(refusal)
        calls = delta.get("tool_calls") or []
        if not isinstance(calls, list):
            raise bad_response("has tool calls that are no list", json.dumps(calls), self.origin)
        for call in calls:
            if isinstance(call, Mapping):
                self._call(call)
        if isinstance(legacy := delta.get("function_call"), Mapping) and any(legacy.values()):
            self._grow(self._by_index.get("legacy") or self._new("legacy"), legacy)

    def _say(self, sort: Literal["content", "reasoning"], pieces: list[str], text: str) -> None:
        if text:
            pieces.append(text)
            if self.emit is not None:
                self.emit(sort, sound(text))

    def _call(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function") or piece.get("custom")
        function = function if isinstance(function, Mapping) else {}
        ident = piece["id"] if isinstance(piece.get("id"), str) else ""
        draft = self._find(piece.get("index"), ident, bool(function.get("name")))
        draft.id = draft.id or ident
        self._grow(draft, function)

    def _find(self, index: Any, ident: str, named: bool) -> CallDraft:
        """The call a piece belongs to; servers leave out the index, the id, or give all calls index 0."""
        if self.whole:
            return self._new(None)
        if isinstance(index, int):
            known = self._by_index.get(index)
            other = known is not None and named and ident and known.id and known.id != ident
            return self._new(index) if known is None or other else known
        if ident:
            return next((call for call in self._draft.calls if call.id == ident), None) or self._new(None)
        calls = self._draft.calls
        return self._new(None) if named or not calls else calls[-1]

    def _new(self, index: Any) -> CallDraft:
        if len(self._draft.calls) >= CALLS:
            raise BadResponse(
                **self.origin.facts(), problem=f"the answer asks for more than {CALLS} tool calls at once"
            )
        draft = CallDraft()
        self._draft.calls.append(draft)
        if index is not None:
            self._by_index[index] = draft
        return draft

    def _grow(self, draft: CallDraft, function: Mapping[str, Any]) -> None:
        name = function.get("name")
        if isinstance(name, str) and name != draft.name:
            draft.name += name
        arguments = function.get("arguments", function.get("input"))
        if isinstance(arguments, str):
            draft.arguments.append(arguments)
        elif arguments is not None:  # some servers send the object itself
            draft.arguments = [json.dumps(arguments)]
