"""The provider keeps what every provider promises, against a server on loopback that repeats what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cloudllm_core import Provider
from cloudllm_core.testing.conformance import ProviderContract
from cloudllm_provider_anthropic import Anthropic
from cloudllm_provider_anthropic.provider import EFFORT


class Echo(BaseHTTPRequestHandler):
    """Answers with the last user message; below ``/broken`` and ``/cut``, as servers do that are."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = "".join(block.get("text", "") for block in body["messages"][-1]["content"])
        usage = {"input_tokens": 3, "output_tokens": 2}
        try:
            if self.path.startswith("/broken"):
                error = {"type": "api_error", "message": "out of order"}
                self.answer(500, "application/json", {"type": "error", "error": error})
            elif self.path.startswith("/cut"):
                self.answer(200, "text/event-stream" if body.get("stream") else "application/json", "{")
            elif body.get("stream"):
                start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
                pieces = [{"type": "text_delta", "text": piece} for piece in (text[:5], text[5:])]
                events: list[dict[str, Any]] = [
                    {"type": "message_start", "message": {"model": "m-1", "content": [], "usage": usage}},
                    start,
                    *({"type": "content_block_delta", "index": 0, "delta": piece} for piece in pieces),
                    {"type": "content_block_stop", "index": 0},
                    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
                    {"type": "message_stop"},
                ]
                lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
                self.answer(200, "text/event-stream", "".join(lines))
            else:
                content = [{"type": "text", "text": text}]
                said = {"model": "m-1", "content": content, "stop_reason": "end_turn", "usage": usage}
                self.answer(200, "application/json", said)
        except ConnectionError:  # the other side was cancelled
            self.close_connection = True

    def answer(self, status: int, kind: str, body: Any) -> None:
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the server listens."""
    for name in (*Anthropic.key_variables, "ANTHROPIC_BASE_URL", EFFORT):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


class TestAnthropic(ProviderContract):
    """Through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return Anthropic(base_url=address)

    @pytest.fixture
    def failing(self, address: str) -> Sequence[Provider]:
        paths = ("broken", "cut")
        return [*(Anthropic(base_url=f"{address}/{path}") for path in paths), Anthropic(base_url="http://127.0.0.1:1")]
