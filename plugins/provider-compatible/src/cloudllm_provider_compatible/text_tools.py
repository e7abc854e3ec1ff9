"""
Tools as text: described in the instructions, asked for as ``{"tool_call": {"name": ..., "parameters": ...}}``.

The envelope is the original's. It counts only where the model makes it its own: at the beginning of its reply
(alone in a fence of code, too), or on a line of its own at the end, unless somebody else said the same before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import attrs

from cloudllm_core import Completion, Message, Request, Text, ToolCall, ToolDefinition
from cloudllm_provider_openai.wire import Emit, Malformed, parse_arguments

CATALOGUE = """\
You can use tools. To use one, answer with nothing but JSON of this form:
{{"tool_call": {{"name": "the tool's name", "parameters": {{"the parameter's name": "its value"}}}}}}
Then wait: the result is in the next message. If you need no tool, answer in plain words.

{tools}"""

_ENVELOPE = re.compile(r'\{\s*"tool_call"\s*:')
_OWN_LINE = re.compile(r'^[ \t]*(?=\{\s*"tool_call"\s*:)', re.MULTILINE)
_FENCED = re.compile(r"```[a-z_]*[ \t]*\n((?:(?!```).)*)\n?```", re.DOTALL)
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]{1,64})"')
_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()

NO_CALL = 'a tool call is {"tool_call": {"name": ..., "parameters": {...}}}, with a name and a table of parameters'


# -- what goes out ------------------------------------------------------------


def as_text(request: Request) -> Request:
    """*request* for a server without tools: they stand in the instructions, calls and results in the conversation."""
    offered = bool(request.tools) and request.tool_choice != "none"
    told = [request.instructions, _catalogue(request.tools)] if offered else [request.instructions]
    return attrs.evolve(
        request,
        instructions="\n\n".join(filter(None, told)),
        messages=tuple(_told(request.messages)),
        tools=(),
        output=None if offered else request.output,  # made to fit a schema, no answer could be a call
    )


def _catalogue(tools: Sequence[ToolDefinition]) -> str:
    lines = [
        f"- {tool.name}: {tool.description}\n  Parameters, as JSON Schema: {json.dumps(dict(tool.parameters))}"
        for tool in tools
    ]
    return CATALOGUE.format(tools="\n".join(lines))


def _told(messages: Iterable[Message]) -> Iterator[Message]:
    """*messages* without calls and results; neighbours of one role are one message."""
    waiting: Message | None = None
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "assistant":
            names = {call.id: call.name for call in message.tool_calls}
            told = _assistant(message)
        else:
            told = _results(message, names) if message.role == "tool" else message
        if waiting is not None and waiting.role == told.role:
            waiting = attrs.evolve(waiting, parts=(*waiting.parts, *told.parts))
            continue
        if waiting is not None:
            yield waiting
        waiting = told
    if waiting is not None:
        yield waiting


def _assistant(message: Message) -> Message:
    parts = [Text(_envelope(part)) if isinstance(part, ToolCall) else part for part in message.parts]
    return attrs.evolve(message, parts=parts)


def _envelope(call: ToolCall) -> str:
    if call.problem is not None and call.raw:
        return call.raw
    return json.dumps({"tool_call": {"name": call.name, "parameters": dict(call.arguments)}}, ensure_ascii=False)


def _results(message: Message, names: dict[str, str]) -> Message:
    return Message.user(
        *(
            f"{'Error' if result.is_error else 'Result'} of {names.get(result.call_id, 'the call')}:\n{result.content}"
            for result in message.tool_results
        )
    )


# -- what comes back ----------------------------------------------------------


def from_text(completion: Completion, request: Request) -> Completion:
    """*completion* with the calls that its text makes, if *request* offered tools."""
    message = completion.message
    if not request.tools or request.tool_choice == "none" or message.tool_calls:
        return completion
    text, calls = calls_in(message.text, [each.text for each in _told(request.messages) if each.role == "user"])
    if not calls:
        return completion
    rest = [part for part in message.parts if not isinstance(part, Text)]
    parts = [*rest, *([Text(text)] if text else []), *calls]
    stop = "tool_use" if completion.stop == "end" else completion.stop
    return attrs.evolve(completion, message=attrs.evolve(message, parts=parts), stop=stop)


def calls_in(reply: str, heard: Sequence[str] = ()) -> tuple[str, list[ToolCall]]:
    """
    The words in *reply* before its calls, and the calls; *heard* is what others said.

    A reply that begins with an envelope is a call, whatever follows it; a broken one is a call with a problem.
    Below other words, envelopes count if nothing follows them, they stand in no fence, and nobody else said them.
    """
    text = reply.strip()
    fenced = _FENCED.fullmatch(text)
    text = fenced[1].strip() if fenced else text
    if _ENVELOPE.match(text):
        found, _ = _envelopes(text, 0)
        return "", _calls(found or [text])
    for line in _OWN_LINE.finditer(reply):
        found, end = _envelopes(reply, line.end())
        if found and not reply[end:].strip() and not _in_fence(reply[: line.start()]):
            quoted = {_canonical(raw) for raw in found} & {_canonical(raw) for each in heard for raw in _quoted(each)}
            return (reply, []) if quoted else (reply[: line.start()].rstrip(), _calls(found))
    return reply, []


def _envelopes(text: str, start: int) -> tuple[list[str], int]:
    """The envelopes that follow each other in *text* from *start*, and where they end."""
    found: list[str] = []
    end = start
    while _ENVELOPE.match(text, end):
        try:
            _, after = _DECODER.raw_decode(text, end)
        except (ValueError, RecursionError):
            break
        found.append(text[end:after])
        end = _SPACE.match(text, after).end()  # type: ignore[union-attr]
    return found, end


def _quoted(text: str) -> Iterator[str]:
    for match in _ENVELOPE.finditer(text):
        yield from _envelopes(text, match.start())[0][:1]


def _in_fence(before: str) -> bool:
    return sum(line.lstrip(" >\t").startswith("```") for line in before.split("\n")) % 2 == 1


def _canonical(raw: str) -> str:
    """*raw* without what does not matter: spaces, and the order of keys."""
    try:
        return json.dumps(json.loads(raw), sort_keys=True)
    except RecursionError:
        return raw


def _calls(envelopes: Sequence[str]) -> list[ToolCall]:
    return [_call(raw, f"call_{number}") for number, raw in enumerate(envelopes, 1)]


def _call(raw: str, ident: str) -> ToolCall:
    try:
        envelope = parse_arguments(raw)
    except Malformed as problem:
        return ToolCall(ident, _name_in(raw), {}, str(problem), raw)
    call: Any = envelope["tool_call"]
    name, parameters = (call.get("name"), call.get("parameters", {})) if isinstance(call, dict) else (None, None)
    if len(envelope) > 1 or not (isinstance(name, str) and name and isinstance(parameters, dict)):
        return ToolCall(ident, _name_in(raw), {}, NO_CALL, raw)
    return ToolCall(ident, name, parameters)


def _name_in(raw: str) -> str:
    found = _NAME.search(raw)
    return found[1] if found else "unknown"


# -- streams ------------------------------------------------------------------


class Gate:
    """Hands an answer's pieces on as long as they cannot be a call; what it holds back goes with `finish`."""

    _first = re.compile(r"(?:\A|\n)[ \t]*[{`]")
    _later = re.compile(r"\n[ \t]*[{`]")

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._sent = 0
        self._held = ""
        self._shut = False

    def __call__(self, sort: Literal["content", "reasoning"], piece: str) -> None:
        if sort != "content":
            self._emit(sort, piece)
            return
        self._held += piece
        if self._shut:
            return
        found = (self._later if self._sent else self._first).search(self._held)
        self._shut = found is not None
        ready = (self._held[: found.start()] if found else self._held).rstrip()
        self._hand_on(ready)
        self._held = self._held[len(ready) :]

    def finish(self, text: str) -> None:
        """Hand on what *text*, the answer's own, says beyond what went before."""
        self._hand_on(text[self._sent :])

    def _hand_on(self, text: str) -> None:
        if text:
            self._sent += len(text)
            self._emit("content", text)
