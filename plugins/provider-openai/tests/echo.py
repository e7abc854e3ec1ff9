"""A server on loopback that repeats what it is told, for the tests of all providers on this wire."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Echo(BaseHTTPRequestHandler):
    """Answers with the last user message; below ``/broken`` and ``/cut``, as servers do that are."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        heard = body["messages"] if "messages" in body else body["input"]
        content = heard[-1]["content"]
        text = content if isinstance(content, str) else "".join(part["text"] for part in content)
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        try:
            if self.path.startswith("/broken"):
                self.answer(500, "application/json", {"error": {"message": "out of order"}})
            elif self.path.startswith("/cut"):
                self.answer(200, "text/event-stream" if body.get("stream") else "application/json", "{")
            elif "input" in body:
                self.respond(text, bool(body.get("stream")))
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

    def respond(self, text: str, stream: bool) -> None:
        """Answer as the Responses API does."""
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        usage = {"input_tokens": 3, "output_tokens": 2}
        whole = {"object": "response", "model": "m-1", "status": "completed", "output": [message], "usage": usage}
        if not stream:
            self.answer(200, "application/json", whole)
            return
        place = {"output_index": 0, "content_index": 0}
        events: list[dict[str, Any]] = [{"type": "response.output_item.added", "output_index": 0, "item": message}]
        events += [{"type": "response.output_text.delta", **place, "delta": each} for each in (text[:5], text[5:])]
        events += [{"type": "response.output_item.done", "output_index": 0, "item": message}]
        events += [{"type": "response.completed", "response": whole}]
        lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
        self.answer(200, "text/event-stream", "".join(lines))

    def answer(self, status: int, kind: str, body: Any) -> None:
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def echoing() -> Iterator[str]:
    """Where the server listens: below ``/v1`` it answers, below ``/broken/v1`` and ``/cut/v1`` it does not."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)
