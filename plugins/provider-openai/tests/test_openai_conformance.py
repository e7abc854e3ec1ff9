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
from cloudllm_provider_openai import OpenAI


class Echo(BaseHTTPRequestHandler):
    """Answers with the last user message; below ``/broken`` and ``/cut``, as servers do that are."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else "".join(part["text"] for part in content)
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        try:
            if self.path.startswith("/broken"):
                self.answer(500, "application/json", {"error": {"message": "out of order"}})
            elif self.path.startswith("/cut"):
                self.answer(200, "text/event-stream" if body.get("stream") else "application/json", "{")
            elif body.get("stream"):
                pieces = [text[:5], text[5:]]
                chunks: list[Any] = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
                chunks[-1]["choices"][0]["finish_reason"] = "stop"
                lines = [json.dumps({"model": "m-1", **chunk}) for chunk in [*chunks, {"choices": [], "usage": usage}]]
                self.answer(200, "text/event-stream", "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]))
            else:
                said = {"role": "assistant", "content": f"{text}"}
                choices = [{"index": 0, "message": said, "finish_reason": "stop"}]
                self.answer(200, "application/json", {"model": "m-1", "choices": choices, "usage": usage})
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
    for name in ("OPENAI_API_KEY", "OPEN_AI_SECRET", "OPENAI_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


class TestOpenAI(ProviderContract):
    """Through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return OpenAI(base_url=f"{address}/v1")

    @pytest.fixture
    def failing(self, address: str) -> Sequence[Provider]:
        paths = ("broken/v1", "cut/v1")
        return [*(OpenAI(base_url=f"{address}/{path}") for path in paths), OpenAI(base_url="http://127.0.0.1:1/v1")]
