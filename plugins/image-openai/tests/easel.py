"""A server on loopback that paints, for the tests of all image generators and of the tool."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 60
JPEG = b"\xff\xd8\xff\xe0" + b"0" * 60
HANG = "hang"
"""A reply that never comes."""


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@attrs.frozen
class Reply:
    """What the server says: *body* as JSON, or as it is; with *cut*, only its first half before it hangs up."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = attrs.Factory(dict)
    cut: bool = False

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@attrs.frozen
class Asked:
    path: str
    headers: dict[str, str]
    body: Any


def painted(asked: Asked) -> Any:
    """What an Images API, or generateContent, answers."""
    if "generateContent" in asked.path:
        return gemini({"inlineData": {"mimeType": "image/png", "data": coded(PNG)}})
    if asked.body.get("response_format") == "url":
        return {"data": [{"url": f"https://images.example/{number}.png"} for number in range(asked.body["n"])]}
    return {"created": 1, "data": [{"b64_json": coded(PNG + bytes([number]))} for number in range(asked.body["n"])]}


def gemini(*parts: Any, **more: Any) -> Any:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", **more}]}


@attrs.define(eq=False)
class Easel:
    """Where it listens, what it was asked, and what it says next; it paints when nothing else is to be said."""

    address: str
    asked: list[Asked] = attrs.Factory(list)
    replies: list[Reply | str] = attrs.Factory(list)
    always: Reply | str | Callable[[Asked], Any] = painted
    over: threading.Event = attrs.Factory(threading.Event)

    def reply(self, asked: Asked) -> Reply | str:
        self.asked.append(asked)
        said = self.replies.pop(0) if self.replies else self.always
        return Reply(body=said(asked)) if callable(said) else said


@contextmanager
def painting() -> Iterator[Easel]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = easel.reply(Asked(self.path, headers, body))
            if isinstance(reply, str):
                easel.over.wait(30)
                self.close_connection = True
                return
            content = reply.content()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if reply.cut else content)
            self.close_connection = reply.cut

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client that hangs up is part of the tests
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    easel = Easel(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield easel
    finally:
        easel.over.set()
        server.shutdown()
        thread.join()
        server.socket.close()
