"""
A server that plays three providers on loopback, in a process of its own: ``python -m benchmarks.model_server``.

It prints its port, and stops when its input ends. The first folder of an address is how long it waits before it
answers, in milliseconds: ``http://127.0.0.1:PORT/50/v1/chat/completions``. A request with tools and no result of one
is answered with a call; every stream has `CHUNKS` pieces of text. All answers are written beforehand, so that the
server costs the other core little.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHUNKS = 400
SAID = "A short answer of one sentence."
ARGUMENTS = {"what": "the weather"}
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')


def _whole(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def _stream(events: list[tuple[str, Any]]) -> bytes:
    """*events* (name or nothing, data), each in a chunk of its own."""
    pieces = [b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"]
    for name, data in events:
        text = data if isinstance(data, str) else json.dumps(data)
        event = (f"event: {name}\n" if name else "") + f"data: {text}\n\n"
        pieces.append(f"{len(event.encode()):x}\r\n{event}\r\n".encode())
    return b"".join([*pieces, b"0\r\n\r\n"])


def _chat(message: dict[str, Any], finish: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": finish}
    whole = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**whole, "choices": [choice], "usage": usage}


def _chat_events() -> list[tuple[str, Any]]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> tuple[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return "", {"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    text = [chunk({"content": "word "}) for _ in range(CHUNKS)]
    return [chunk({"role": "assistant", "content": ""}), *text, chunk({}, "stop"), ("", "[DONE]")]


def _message(content: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
    usage = {"input_tokens": 20, "output_tokens": 20}
    about = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    return {**about, "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def _message_events() -> list[tuple[str, Any]]:
    def event(name: str, **data: Any) -> tuple[str, Any]:
        return name, {"type": name, **data}

    word = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word "})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        event("message_start", message=_message([], None)),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *[word] * CHUNKS,
        event("content_block_stop", index=0),
        event("message_delta", delta=end, usage={"output_tokens": 20}),
        event("message_stop"),
    ]


def _content(part: dict[str, Any], finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 20, "candidatesTokenCount": 20, "totalTokenCount": 40}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}


def _content_events() -> list[tuple[str, Any]]:
    return [*[("", _content({"text": "word "}, None))] * (CHUNKS - 1), ("", _content({"text": "word "}))]


_FUNCTION = {"name": "look_up", "arguments": json.dumps(ARGUMENTS)}
_CALLS = {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": _FUNCTION}]}
_USE = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": ARGUMENTS}
_ANSWERS = {
    "chat": (
        _whole(_chat({"content": SAID}, "stop")),
        _whole(_chat(_CALLS, "tool_calls")),
        _stream(_chat_events()),
    ),
    "messages": (
        _whole(_message([{"type": "text", "text": SAID}], "end_turn")),
        _whole(_message([_USE], "tool_use")),
        _stream(_message_events()),
    ),
    "content": (
        _whole(_content({"text": SAID})),
        _whole(_content({"functionCall": {"name": "look_up", "args": ARGUMENTS}})),
        _stream(_content_events()),
    ),
}
_RESULTS = (b'"tool_call_id"', b'"tool_result"', b'"functionResponse"')


def answer(path: bytes, body: bytes) -> bytes:
    """What the provider that *path* belongs to says to *body*."""
    wire = "chat" if b"/chat/" in path else "messages" if path.endswith(b"/messages") else "content"
    whole, call, stream = _ANSWERS[wire]
    if b":streamGenerateContent" in path or _STREAM.search(body):
        return stream
    wants = b'"tools"' in body and not any(result in body for result in _RESULTS)
    return call if wants else whole


class Connection(asyncio.Protocol):
    """One client's connection: request after request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.received = transport, b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, rest = self.received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(rest) < size:
            return
        self.received = rest[size:]
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        delay = int(path.split(b"/", 2)[1]) / 1000
        said = answer(path, rest[:size])
        if delay:
            asyncio.get_running_loop().call_later(delay, self.transport.write, said)
        else:
            self.transport.write(said)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@contextmanager
def running() -> Iterator[str]:
    """The server's address, as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.model_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(main())
