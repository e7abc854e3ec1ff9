"""What servers say on each wire, in words of our own: whole answers, streams, errors; and who listens to them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, ClassVar

import attrs

from cloudllm_core import Provider, Request
from cloudllm_provider_anthropic import Anthropic
from cloudllm_provider_anthropic import wire as messages_wire
from cloudllm_provider_compatible import Compatible
from cloudllm_provider_gemini import Gemini
from cloudllm_provider_gemini import wire as gemini_wire
from cloudllm_provider_grok import Grok
from cloudllm_provider_openai import OpenAI
from cloudllm_provider_openai import wire as openai_wire
from cloudllm_provider_openrouter import OpenRouter

KEY = "sk-canary-0123456789abcdef"
USAGE = object()
"""Stands for a usage as the wire writes it."""


@attrs.frozen
class Asked:
    """A call: its id, its tool and its arguments as the model wrote them, JSON or not."""

    id: str | None
    name: str
    arguments: str = "{}"


@attrs.frozen(kw_only=True)
class Said:
    """What a model says, for any wire."""

    text: str = ""
    thought: str = ""
    seal: str = ""
    """What the server wants to see again of the thought."""

    calls: tuple[Asked, ...] = ()
    stop: str = "end"
    """``end``, ``length``, ``refusal``, ``filtered``; calls make it ``calls``."""

    usage: Any = USAGE


class Speech:
    """One wire's way to talk."""

    counts: ClassVar[tuple[str, str]]
    """The fields of a usage: the prompt's tokens, the answer's."""

    stops: ClassVar[dict[str, str]]

    def whole(self, said: Said) -> str:
        raise NotImplementedError

    def stream(self, said: Said) -> tuple[list[str], list[str]]:
        """The events up to the end, and those that are the end."""
        raise NotImplementedError

    def trouble(self, status: int, message: str) -> Any:
        """The body of an error."""
        return {"error": {"message": message, "type": _WORDS.get(status, "server_error"), "code": None}}

    def outcry(self, status: int, message: str) -> str:
        """An error inside a stream."""
        return event(self.trouble(status, message))

    def usage(self, said: Said) -> dict[str, Any]:
        """The usage, under its name, or nothing."""
        body = dict.fromkeys(self.counts, 7) if said.usage is USAGE else said.usage
        return {} if body is None else {"usage": body}

    def stop(self, said: Said) -> str:
        return self.stops["calls" if said.calls and said.stop == "end" else said.stop]


_WORDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def event(data: Any, name: str = "") -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "") + "".join(f"data: {line}\n" for line in text.split("\n")) + "\n"


def embedded(body: Any, calls: tuple[Asked, ...]) -> str:
    """*body* as JSON, with the arguments as they were written in the places that `place` marks."""
    return re.sub(r'"@@(\d+)@@"', lambda found: calls[int(found[1])].arguments, json.dumps(body))


def place(number: int) -> str:
    return f"@@{number}@@"


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


class Chat(Speech):
    counts: ClassVar[tuple[str, str]] = ("prompt_tokens", "completion_tokens")
    stops: ClassVar[dict[str, str]] = {
        "end": "stop",
        "calls": "tool_calls",
        "length": "length",
        "refusal": "stop",
        "filtered": "content_filter",
    }

    def _calls(self, said: Said) -> list[dict[str, Any]]:
        functions = [{"name": call.name, "arguments": call.arguments} for call in said.calls]
        return [
            present(id=call.id) | {"type": "function", "function": function}
            for call, function in zip(said.calls, functions, strict=True)
        ]

    def whole(self, said: Said) -> str:
        words = {"refusal": said.text} if said.stop == "refusal" else {"content": said.text or None}
        message = {"role": "assistant", **words, **present(reasoning_content=said.thought + said.seal)}
        choice = {
            "index": 0,
            "message": message | present(tool_calls=self._calls(said)),
            "finish_reason": self.stop(said),
        }
        return json.dumps({"model": "m-1", "choices": [choice], **self.usage(said)})

    def stream(self, said: Said) -> tuple[list[str], list[str]]:
        field = "refusal" if said.stop == "refusal" else "content"
        deltas: list[dict[str, Any]] = [{"role": "assistant"}]
        deltas += [{"reasoning_content": piece} for piece in halves(said.thought + said.seal) if piece]
        deltas += [{field: piece} for piece in halves(said.text) if piece]
        for number, call in enumerate(self._calls(said)):
            first, second = halves(call["function"]["arguments"])
            opening = call | {"index": number, "function": {"name": call["function"]["name"], "arguments": first}}
            deltas += [
                {"tool_calls": [opening]},
                {"tool_calls": [{"index": number, "function": {"arguments": second}}]},
            ]
        end = [
            self._chunk({}, self.stop(said)),
            event({"model": "m-1", "choices": [], **self.usage(said)}),
            event("[DONE]"),
        ]
        return [self._chunk(delta) for delta in deltas], end

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> str:
        return event({"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


class Responses(Speech):
    counts: ClassVar[tuple[str, str]] = ("input_tokens", "output_tokens")
    stops: ClassVar[dict[str, str]] = {
        "end": "",
        "calls": "",
        "length": "max_output_tokens",
        "refusal": "",
        "filtered": "content_filter",
    }

    def _items(self, said: Said) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        if said.thought or said.seal:
            summary = [{"type": "summary_text", "text": said.thought}]
            items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": said.seal})
        if said.text:
            part = ("refusal", "refusal") if said.stop == "refusal" else ("output_text", "text")
            content = [{"type": part[0], part[1]: said.text}]
            items.append({"type": "message", "id": "msg_1", "role": "assistant", "content": content})
        items += [
            present(call_id=call.id) | {"type": "function_call", "name": call.name, "arguments": call.arguments}
            for call in said.calls
        ]
        return items

    def _response(self, said: Said) -> dict[str, Any]:
        reason = self.stop(said)
        ending = (
            {"status": "incomplete", "incomplete_details": {"reason": reason}} if reason else {"status": "completed"}
        )
        return {"object": "response", "model": "m-1", "output": self._items(said), **ending, **self.usage(said)}

    def whole(self, said: Said) -> str:
        return json.dumps(self._response(said))

    def stream(self, said: Said) -> tuple[list[str], list[str]]:
        told: list[dict[str, Any]] = []
        for number, item in enumerate(self._items(said)):
            where = {"output_index": number}
            told.append({"type": "response.output_item.added", "item": item | present(arguments=""), **where})
            if item["type"] == "message":
                kind = item["content"][0]["type"].removeprefix("output_")
                deltas = [
                    {"type": f"response.output_{kind}.delta", "content_index": 0, "delta": d} for d in halves(said.text)
                ]
                told += [delta | where for delta in deltas if kind == "text"]
            told.append({"type": "response.output_item.done", "item": item, **where})
        response = self._response(said)
        last = {"type": f"response.{response['status']}", "response": response}
        return [event(each, each["type"]) for each in told], [event(last, last["type"])]

    def outcry(self, status: int, message: str) -> str:
        return event({"type": "error", "code": _WORDS.get(status, "server_error"), "message": message}, "error")


class Messages(Speech):
    counts: ClassVar[tuple[str, str]] = ("input_tokens", "output_tokens")
    stops: ClassVar[dict[str, str]] = {
        "end": "end_turn", "calls": "tool_use", "length": "max_tokens", "refusal": "refusal", "filtered": "refusal",
    }  # fmt: skip

    def _blocks(self, said: Said) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        if said.thought or said.seal:
            blocks.append({"type": "thinking", "thinking": said.thought, "signature": said.seal})
        if said.text:
            blocks.append({"type": "text", "text": said.text})
        for number, call in enumerate(said.calls):
            blocks.append(present(id=call.id) | {"type": "tool_use", "name": call.name, "input": place(number)})
        return blocks

    def whole(self, said: Said) -> str:
        head = {"type": "message", "role": "assistant", "model": "m-1", "stop_reason": self.stop(said)}
        return embedded(head | {"content": self._blocks(said), **self.usage(said)}, said.calls)

    def stream(self, said: Said) -> tuple[list[str], list[str]]:
        start = {"type": "message", "role": "assistant", "model": "m-1", "content": [], **self.usage(said)}
        told: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
        raw = iter([call.arguments for call in said.calls])
        for number, block in enumerate(self._blocks(said)):
            if block["type"] == "tool_use":
                opening = block | {"input": {}}
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in halves(next(raw))]
            else:
                kind = block["type"]
                opening = {"type": kind, kind: ""}
                deltas = [{"type": f"{kind}_delta", kind: piece} for piece in halves(block[kind])]
                deltas += [{"type": "signature_delta", "signature": said.seal}] if kind == "thinking" else []
            told.append({"type": "content_block_start", "index": number, "content_block": opening})
            told += [{"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas]
            told.append({"type": "content_block_stop", "index": number})
        last = {"type": "message_delta", "delta": {"stop_reason": self.stop(said)}, **self.usage(said)}
        ends: list[dict[str, Any]] = [last, {"type": "message_stop"}]
        return [event(each, each["type"]) for each in told], [event(each, each["type"]) for each in ends]

    def trouble(self, status: int, message: str) -> Any:
        return {"type": "error", "error": {"type": _WORDS.get(status, "api_error"), "message": message}}

    def outcry(self, status: int, message: str) -> str:
        return event(self.trouble(status, message), "error")


class Generate(Speech):
    counts: ClassVar[tuple[str, str]] = ("promptTokenCount", "candidatesTokenCount")
    stops: ClassVar[dict[str, str]] = {
        "end": "STOP",
        "calls": "STOP",
        "length": "MAX_TOKENS",
        "refusal": "SAFETY",
        "filtered": "SAFETY",
    }

    def _parts(self, said: Said) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        if said.thought or (said.seal and not said.calls):
            parts.append(
                {"text": said.thought, "thought": True} | ({} if said.calls else {"thoughtSignature": said.seal})
            )
        if said.text:
            parts.append({"text": said.text})
        for number, call in enumerate(said.calls):
            asked = {"functionCall": present(id=call.id) | {"name": call.name, "args": place(number)}}
            parts.append(asked | ({"thoughtSignature": said.seal} if said.seal and not number else {}))
        return parts

    def _chunk(self, parts: list[dict[str, Any]], said: Said, **ending: Any) -> str:
        candidate = {"index": 0, "content": {"role": "model", "parts": parts}}
        used = {"usageMetadata": body} if (body := self.usage(said).get("usage")) is not None else {}
        return embedded({"modelVersion": "m-1", "candidates": [candidate | ending], **used}, said.calls)

    def whole(self, said: Said) -> str:
        return self._chunk(self._parts(said), said, finishReason=self.stop(said))

    def stream(self, said: Said) -> tuple[list[str], list[str]]:
        pieces: list[dict[str, Any]] = []
        for part in self._parts(said):
            if part.get("text") == said.text and not part.get("thought"):
                pieces += [{"text": piece} for piece in halves(said.text) if piece]
            else:
                pieces.append(part)
        return [event(self._chunk([part], said)) for part in pieces], [
            event(self._chunk([], said, finishReason=self.stop(said)))
        ]

    def trouble(self, status: int, message: str) -> Any:
        words = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}
        return {"error": {"code": status, "message": message, "status": words.get(status, "UNAVAILABLE")}}


@attrs.frozen
class Wire:
    """A wire and the plugin that speaks it."""

    name: str
    rules: str
    """By which rules its requests are judged."""

    model: str
    speech: Speech
    make: Callable[[str, float], Provider]
    """A provider for a server's address, which may take so many seconds."""

    pure: Callable[[Request], bytes]
    """The body of a request, without a network."""


def _of_openai(name: str, rules: str, model: str, kind: Any, path: str = "/v1", **settings: Any) -> Wire:
    def make(url: str, timeout: float) -> Provider:
        made: Provider = kind(base_url=url + path, api_key=KEY, timeout=timeout, **settings)
        return made

    offline = kind(base_url="http://127.0.0.1:1/v1", api_key=KEY, **settings)
    api = settings.get("api", "chat")
    speech = Chat() if api == "chat" else Responses()
    return Wire(
        name, rules, model, speech, make, lambda request: openai_wire.encode(offline.body(request, api, True, True))
    )


def _make_anthropic(url: str, timeout: float) -> Provider:
    return Anthropic(base_url=url, api_key=KEY, timeout=timeout)


def _make_gemini(url: str, timeout: float) -> Provider:
    return Gemini(base_url=url, api_key=KEY, timeout=timeout)


WIRES = {
    wire.name: wire
    for wire in (
        _of_openai("openai-chat", "chat", "gpt-5", OpenAI, api="chat"),
        _of_openai("openai-responses", "responses", "gpt-5", OpenAI, api="responses"),
        Wire(
            "anthropic", "messages", "claude-opus-5", Messages(), _make_anthropic,
            lambda request: messages_wire.encode(messages_wire.request_body(request, True)),
        ),
        Wire(
            "gemini", "generate", "gemini-3-pro", Generate(), _make_gemini,
            lambda request: gemini_wire.encode(gemini_wire.request_body(request)),
        ),
        _of_openai("grok", "responses", "grok-4", Grok, api="responses"),
        _of_openai("openrouter", "chat", "openai/gpt-5", OpenRouter),
        _of_openai("compatible", "chat", "qwen3", Compatible),
    )
}  # fmt: skip
