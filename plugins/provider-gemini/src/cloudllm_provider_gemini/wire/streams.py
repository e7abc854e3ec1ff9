"""An answer put together from its chunks; a whole answer is one chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs

from cloudllm_core import Completion, Emit, Image, Message, Private
from cloudllm_core.errors import BadResponse, StreamTruncated
from cloudllm_provider_http import Origin, bad_response, sound

from .answers import Call, Draft, Mark, Words
from .arguments import plain, written
from .failures import HERE, failure

CALLS = 128
"""Tool calls one answer may have."""

_METADATA = ("groundingMetadata", "urlContextMetadata", "citationMetadata", "finishMessage")


def completion(
    body: Any, origin: Origin | None = None, emit: Emit | None = None, history: tuple[Message, ...] = ()
) -> Completion:
    """
    The completion in *body*, a parsed answer of the wire, or a list of a stream's chunks.

    Raises:
        BadResponse: it is no answer. ProviderError: it is an error in an answer's clothes.
    """
    assembly = Assembly(origin or HERE, emit, history, whole=True)
    for chunk in body if isinstance(body, list) and body else (body,):
        assembly.add(chunk)
    return assembly.completion()


@attrs.define(eq=False)
class Assembly:
    """Takes the chunks of a stream, hands their text on through *emit*, and makes a `Completion` at the end."""

    ended: ClassVar[bool] = False
    """The wire has no last event, and an error may follow a finishReason: only the body's own end is the end."""

    origin: Origin = HERE
    emit: Emit | None = None
    history: tuple[Message, ...] = ()
    """What the answer goes to; a call without an id gets one that is not in it."""

    whole: bool = attrs.field(default=False, kw_only=True)
    """Whether the answer comes in one piece, so that nothing more can come."""

    _draft: Draft = attrs.field(factory=Draft, init=False)
    _candidate: Any = attrs.field(default=None, init=False)
    _calls: int = attrs.field(default=0, init=False)
    _open: Call | None = attrs.field(default=None, init=False)
    """A call whose arguments come in pieces."""

    def add(self, chunk: Any) -> None:
        """
        Take one chunk, parsed.

        Raises:
            ProviderError: the chunk is an error. BadResponse: it is nothing this wire knows.
        """
        if not isinstance(chunk, Mapping):
            raise bad_response("is not a JSON object", written(chunk), self.origin)
        if chunk.get("error"):
            raise failure(chunk, self.origin)
        draft = self._draft
        if isinstance(model := chunk.get("modelVersion"), str):
            draft.model = sound(model)
        if isinstance(ident := chunk.get("responseId"), str):
            draft.id = sound(ident)
        if isinstance(usage := chunk.get("usageMetadata"), Mapping):
            draft.usage |= usage
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, Mapping) and feedback.get("blockReason"):
            draft.blocked = True
            draft.metadata.setdefault("promptFeedback", []).append(plain(feedback))
        candidates = chunk.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, Mapping):
                self._hear(candidate)

    def completion(self) -> Completion:
        """
        The answer, now that no more chunks will come.

        Raises:
            StreamTruncated: the stream stopped before its end. BadResponse: there is no answer in it.
        """
        draft = self._draft
        if not (draft.finish or draft.blocked):
            if not self.whole:
                problem = "the stream stopped before its end: no finishReason came"
                raise StreamTruncated(**self.origin.facts(), problem=problem)
            what = "has no candidates" if self._candidate is None else "has no finishReason"
            raise bad_response(what, "", self.origin)
        taken = (call.id for message in self.history for call in message.tool_calls)
        return draft.completion(self.origin.provider, self.origin.model, taken, self.origin.request_id)

    def _hear(self, candidate: Mapping[str, Any]) -> None:
        index = candidate.get("index") or 0
        if self._candidate is None:
            self._candidate = index
        if index != self._candidate:
            return  # alternatives (candidateCount > 1) are not asked for; the first is the answer
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, Mapping) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping):
                self._take(part)
        for name in _METADATA:
            if candidate.get(name):
                self._draft.metadata.setdefault(name, []).append(plain(candidate[name]))
        if isinstance(finish := candidate.get("finishReason"), str) and finish:
            self._draft.finish = finish

    def _take(self, part: Mapping[str, Any]) -> None:
        given = part.get("thoughtSignature")
        signature = sound(given) if isinstance(given, str) and given else None
        text = part.get("text")
        if isinstance(text, str):
            if part.get("thought"):
                self._think(text, signature)
            else:
                self._say(text, signature)
        elif "functionCall" in part:
            self._call(part["functionCall"], signature)
        elif not part.get("thought") and (image := _image(part)):
            self._draft.pieces.append(image)
            if signature:
                self._draft.pieces.append(Mark({"signature": signature, "image": True}))
        elif part:
            self._draft.pieces.append(Private(self.origin.provider, self.origin.model, {"part": plain(part)}))

    def _think(self, text: str, signature: str | None) -> None:
        if text and signature:
            self._draft.pieces.append(Words("reasoning", [text], signature))
        elif text:
            self._words("reasoning").add(text)
        elif signature:
            self._draft.pieces.append(Mark({"signature": signature, "characters": 0}))
        self._emit("reasoning", text)

    def _say(self, text: str, signature: str | None) -> None:
        if text:
            self._words("content").add(text)
            self._emit("content", text)
        if signature:
            self._draft.pieces.append(Mark({"signature": signature, "characters": len(sound(text))}))

    def _words(self, sort: Literal["content", "reasoning"]) -> Words:
        """Where the next words of *sort* go: on to the last ones, unless something stands between."""
        pieces = self._draft.pieces
        last = pieces[-1] if pieces else None
        if isinstance(last, Words) and last.sort == sort and not last.signature:
            return last
        pieces.append(words := Words(sort))
        return words

    def _emit(self, sort: Literal["content", "reasoning"], text: str) -> None:
        if text and self.emit is not None:
            self.emit(sort, sound(text))

    def _call(self, call: Any, signature: str | None) -> None:
        fields = call if isinstance(call, Mapping) else {"args": call}
        more = bool(fields.get("partialArgs") or fields.get("willContinue"))
        if self._open is not None and not fields.get("name"):
            self._open.arguments.append(plain(fields.get("partialArgs")))
            self._open = self._open if fields.get("willContinue") else None
            return
        self._calls += 1
        if self._calls > CALLS:
            problem = f"the answer asks for more than {CALLS} tool calls at once"
            raise BadResponse(**self.origin.facts(), problem=problem)
        ident, name = (sound(value) if isinstance(value := fields.get(field), str) else "" for field in ("id", "name"))
        arguments = [plain(fields.get("partialArgs"))] if more else fields.get("args")
        found = Call(ident, name, arguments, more, signature)
        self._open = found if more else None
        self._draft.pieces.append(found)


def _image(part: Mapping[str, Any]) -> Image | None:
    for field, place in (("inlineData", "data"), ("fileData", "fileUri")):
        blob = part.get(field)
        if isinstance(blob, Mapping) and isinstance(blob.get(place), str):
            mime, value = blob.get("mimeType"), sound(blob[place])
            if isinstance(mime, str) and mime.startswith("image/"):
                return Image(sound(mime), data=value) if place == "data" else Image(sound(mime), url=value)
    return None
