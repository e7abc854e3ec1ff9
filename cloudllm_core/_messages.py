"""
What is said: parts, messages, and what a model answers with.

Pure values, equal by content, each with one JSON form (`to_json` / `from_json`, exact both ways).
Who said something where and when is the journal's business, not theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

Json: TypeAlias = Any
"""None, bool, int, float, str, list of Json, dict of str to Json."""

JsonObject: TypeAlias = Mapping[str, Any]

Role: TypeAlias = Literal["user", "assistant", "tool"]

StopReason: TypeAlias = Literal[
    "end",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "refusal",
    "content_filtered",
    "pause",
    "error",
    "malformed_tool_call",
    "other",
]
"""Why a model stopped, in one vocabulary for all providers."""


@attrs.frozen
class Text:
    """Plain words."""

    text: str

    def to_json(self) -> dict[str, Json]:
        return {"type": "text", "text": self.text}


@attrs.frozen
class Thinking:
    """A model's reasoning, as far as its provider shows it."""

    text: str
    provider: str = ""
    """Who may see *private* again; parts made by others are dropped on the way to a provider."""

    model: str = ""
    private: Json = None
    """What the provider wants back unchanged: a signature, an encrypted blob."""

    def to_json(self) -> dict[str, Json]:
        return {"type": "thinking", "text": self.text, "provider": self.provider, "model": self.model} | (
            {} if self.private is None else {"private": self.private}
        )


@attrs.frozen
class Private:
    """A part only its own provider understands (a server-side tool's trace, a compaction blob)."""

    provider: str
    model: str
    data: Json

    def to_json(self) -> dict[str, Json]:
        return {"type": "private", "provider": self.provider, "model": self.model, "data": self.data}


@attrs.frozen
class Image:
    """A picture: either its *data* in base64 or its *url*."""

    mime: str
    data: str | None = None
    url: str | None = None

    def to_json(self) -> dict[str, Json]:
        return {"type": "image", "mime": self.mime, "data": self.data, "url": self.url}


@attrs.frozen
class ToolCall:
    """A model asks for a tool."""

    id: str
    name: str
    arguments: JsonObject = attrs.Factory(dict)
    problem: str | None = None
    """Why *arguments* cannot be trusted (cut, broken, not an object); such a call is answered, never run."""

    raw: str | None = None
    """What the model wrote instead of arguments, when *problem* is set."""

    def to_json(self) -> dict[str, Json]:
        body: dict[str, Json] = {
            "type": "tool_call",
            "id": self.id,
            "name": self.name,
            "arguments": dict(self.arguments),
        }
        return body if self.problem is None else body | {"problem": self.problem, "raw": self.raw}


@attrs.frozen
class ToolResult:
    """What came of a call; every call gets exactly one."""

    call_id: str
    content: str
    is_error: bool = False

    def to_json(self) -> dict[str, Json]:
        return {"type": "tool_result", "call_id": self.call_id, "content": self.content, "is_error": self.is_error}


Part: TypeAlias = Text | Thinking | Private | Image | ToolCall | ToolResult

_PARTS: Mapping[str, type[Any]] = {
    "text": Text,
    "thinking": Thinking,
    "private": Private,
    "image": Image,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
}


def part_from_json(body: JsonObject) -> Part:
    """The part that `to_json` wrote."""
    fields = dict(body)
    part: Part = _PARTS[fields.pop("type")](**fields)
    return part


def _as_parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(parts)


@attrs.frozen
class Message:
    """
    One message of a session.

    Roles: ``user`` (people and other agents), ``assistant`` (the model itself), ``tool``
    (the results of the assistant message before it, in call order, all in one message).
    Instructions are no message: a `Request` carries them beside the history.
    """

    role: Role
    parts: tuple[Part, ...] = attrs.field(converter=_as_parts)

    @classmethod
    def user(cls, *texts: str) -> Message:
        """A user message of one text part each."""
        return cls("user", tuple(Text(text) for text in texts))

    @classmethod
    def assistant(cls, text: str, *calls: ToolCall) -> Message:
        """An assistant message: *text*, then *calls*."""
        return cls("assistant", (*((Text(text),) if text else ()), *calls))

    @classmethod
    def tool(cls, results: Iterable[ToolResult]) -> Message:
        """The message that answers an assistant's calls."""
        return cls("tool", tuple(results))

    @property
    def text(self) -> str:
        """All text parts, one line break between them."""
        return "\n".join([part.text for part in self.parts if type(part) is Text])

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple([part for part in self.parts if type(part) is ToolCall])

    @property
    def tool_results(self) -> tuple[ToolResult, ...]:
        return tuple([part for part in self.parts if type(part) is ToolResult])

    def to_json(self) -> dict[str, Json]:
        return {"role": self.role, "parts": [part.to_json() for part in self.parts]}

    @classmethod
    def from_json(cls, body: JsonObject) -> Message:
        return cls(body["role"], tuple([part_from_json(part) for part in body["parts"]]))


@attrs.frozen
class Usage:
    """
    Tokens, in one meaning for all providers.

    The prompt is *input* + *cache_read* + *cache_write* (disjoint); *output* includes *reasoning*.
    """

    input: int = 0
    """Prompt tokens neither read from nor written to a cache."""

    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    """The share of *output* spent on thinking."""

    @property
    def total(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "input": self.input,
            "output": self.output,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
            "reasoning": self.reasoning,
        }


NO_USAGE = Usage()
"""Nothing was used."""


@attrs.frozen
class Completion:
    """What a provider brings back from one model call."""

    message: Message
    """Of role ``assistant``."""

    stop: StopReason = "end"
    usage: Usage | None = None
    """None when the provider did not say: unknown is not zero."""

    model: str = ""
    """The model that answered, by the provider's own word; empty if it did not say."""

    request_id: str = ""
    provider: str = ""
    """Who answered, where it was another than the one asked: a fallback."""

    waited: float = 0.0
    """Seconds for which the call was held back before it was sent, so as not to ask for too much at once."""

    def to_json(self) -> dict[str, Json]:
        body = {
            "message": self.message.to_json(),
            "stop": self.stop,
            "usage": None if self.usage is None else self.usage.to_json(),
            "model": self.model,
            "request_id": self.request_id,
        }
        rare = {"provider": self.provider, "waited": self.waited}
        return body | {name: value for name, value in rare.items() if value}

    @classmethod
    def from_json(cls, body: JsonObject) -> Completion:
        usage = body["usage"]
        return cls(
            Message.from_json(body["message"]),
            body["stop"],
            None if usage is None else Usage(**usage),
            body["model"],
            body["request_id"],
            body.get("provider", ""),
            body.get("waited", 0.0),
        )


@attrs.frozen
class Reply:
    """What an agent said aloud in one turn."""

    agent: str
    text: str
    usage: Usage = NO_USAGE
    """All model calls of the turn together."""

    tool_calls: int = 0
    """How many calls the turn made."""

    output: Any = None
    """The answer as an instance of the agent's ``output`` type, where it has one."""

    def to_json(self) -> dict[str, Json]:
        return {"agent": self.agent, "text": self.text, "usage": self.usage.to_json(), "tool_calls": self.tool_calls}


def texts_of(messages: Sequence[Message]) -> list[str]:
    """What was said in *messages*, without calls, results and thoughts; for logs and tests."""
    return [message.text for message in messages if message.text]
