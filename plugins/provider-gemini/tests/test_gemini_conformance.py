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
from cloudllm_provider_gemini import Gemini


class Echo(BaseHTTPRequestHandler):
    """Answers with the last user message; below ``/broken`` and ``/cut``, as servers do that are."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = "".join(part.get("text", "") for part in body["contents"][-1]["parts"])
        streams = ":streamGenerateContent" in self.path
        try:
            if self.path.startswith("/broken"):
                self.answer(500, "application/json", json.dumps({"error": {"message": "out of order", "code": 500}}))
            elif self.path.startswith("/cut"):
                self.answer(200, "text/event-stream" if streams else "application/json", "{")
            elif streams:
                chunks = [said(text[:5]), said(text[5:], "STOP")]
                self.answer(200, "text/event-stream", "".join(f"data: {json.dumps(each)}\r\n\r\n" for each in chunks))
            else:
                self.answer(200, "application/json", json.dumps(said(text, "STOP")))
        except ConnectionError:  # the other side was cancelled
            self.close_connection = True

    def answer(self, status: int, kind: str, body: str) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def said(text: str, finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": usage,
        "modelVersion": "m-1",
    }


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the server listens."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GEMINI_KEY", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


class TestGemini(ProviderContract):
    """Through the real SDK."""

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return Gemini(base_url=address)

    @pytest.fixture
    def failing(self, address: str) -> Sequence[Provider]:
        paths = ("broken", "cut")
        return [*(Gemini(base_url=f"{address}/{path}") for path in paths), Gemini(base_url="http://127.0.0.1:1")]
