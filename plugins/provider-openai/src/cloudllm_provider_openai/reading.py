"""The answer's bytes as a completion, whole or streaming, for either API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Protocol

from cloudllm_core import Completion
from cloudllm_core.errors import ConnectionFailed, ProviderError, StreamTruncated

from .wire import Emit, Events, Origin, bad_response, failure

if TYPE_CHECKING:
    import httpx2

BODY = 64 * 1024 * 1024
"""Bytes one answer may have."""


class Assembly(Protocol):
    """Puts an answer together."""

    origin: Origin

    @property
    def ended(self) -> bool: ...
    def add(self, chunk: Any) -> None: ...
    def done(self) -> None: ...
    def completion(self) -> Completion: ...


class Assembler(Protocol):
    """Makes the `Assembly` of one API."""

    path: str
    """Where the API is, below the address of a server."""

    def __call__(self, origin: Origin, emit: Emit | None = None, *, whole: bool = False) -> Assembly: ...


async def read(response: httpx2.Response, assembler: Assembler, origin: Origin, emit: Emit | None) -> Completion:
    """
    The completion that *response* brings, its text handed out through *emit* as it comes.

    Raises:
        ProviderError: in its most fitting subclass.
    """
    async with aclosing(_capped(response, origin)) as body:
        if "event-stream" in response.headers.get("content-type", "").lower():
            return await _read_stream(body, assembler, origin, emit)
        packed = bool(response.headers.get("content-encoding"))
        return await _read_whole(body, assembler, origin, emit, packed)


async def _read_whole(
    body: AsyncIterator[bytes], assembler: Assembler, origin: Origin, emit: Emit | None, packed: bool
) -> Completion:
    import httpx2

    try:
        content = b"".join([piece async for piece in body])
    except (httpx2.NetworkError, httpx2.ProtocolError, httpx2.DecodingError) as problem:
        raise ConnectionFailed(
            **origin.facts(), problem=f"the connection broke before the whole answer had come: {problem}"
        ) from None
    if packed and not content:  # a cut gzip body reads as an empty one
        raise ConnectionFailed(**origin.facts(), problem="the connection broke before any of the answer had come")
    if content.lstrip(b"\xef\xbb\xbf \r\n").startswith((b"data:", b"event:", b": ")):
        return _assembled(content, assembler, origin, emit)
    return _parsed(content, assembler, origin, emit)


def _parsed(content: bytes, assembler: Assembler, origin: Origin, emit: Emit | None) -> Completion:
    if not content.strip():
        raise bad_response("is empty", "", origin)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise bad_response("is not JSON", content[:4000].decode("utf-8", "replace"), origin) from None
    assembly = assembler(origin, emit, whole=True)
    assembly.add(body)
    return assembly.completion()


def _assembled(content: bytes, assembler: Assembler, origin: Origin, emit: Emit | None) -> Completion:
    """A stream that does not call itself one."""
    events, assembly = Events(), assembler(origin, emit)
    for ending, found in ((False, _fed(events, content, origin)), (True, events.finish())):
        for event in found:
            if not assembly.ended:
                _add(assembly, event, last=ending)
    return assembly.completion()


async def _read_stream(
    body: AsyncIterator[bytes], assembler: Assembler, origin: Origin, emit: Emit | None
) -> Completion:
    import httpx2

    events, assembly = Events(), assembler(origin, emit)
    head = b""
    try:
        async for piece in body:
            head = head or piece[:4000]
            for event in _fed(events, piece, origin):
                _add(assembly, event)
                if assembly.ended:
                    await _drain(body)
                    return assembly.completion()
        for event in events.finish():
            _add(assembly, event, last=True)
    except (httpx2.NetworkError, httpx2.ProtocolError, httpx2.DecodingError) as problem:
        raise StreamTruncated(**origin.facts(), problem=f"the stream broke off: {problem}") from None
    if head.lstrip().startswith((b"{", b"<", b"[")):
        return _parsed(head, assembler, origin, emit)
    return assembly.completion()


def _fed(events: Events, piece: bytes, origin: Origin) -> list[tuple[str, str]]:
    try:
        return events.feed(piece)
    except ValueError as problem:
        raise bad_response(f"cannot be read: {problem}", "", origin) from None


def _add(assembly: Assembly, event: tuple[str, str], last: bool = False) -> None:
    name, data = event
    if data.strip() == "[DONE]":
        assembly.done()
        return
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        if last:
            raise StreamTruncated(
                **assembly.origin.facts(), problem="the stream stopped in the middle of a chunk"
            ) from None
        if name == "error":
            raise failure(data, assembly.origin) from None
        raise bad_response("has a chunk that is not JSON", data, assembly.origin) from None
    if name == "error":
        raise failure(chunk, assembly.origin)
    assembly.add(chunk)


async def _capped(response: httpx2.Response, origin: Origin) -> AsyncGenerator[bytes, None]:
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > BODY:
            raise bad_response(f"is longer than {BODY} bytes", "", origin)
        yield piece


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read what comes after the end, so that the connection can be used again; the answer is whole whatever happens."""
    import httpx2

    with suppress(TimeoutError, httpx2.HTTPError, ProviderError):
        async with asyncio.timeout(0.25):
            async for _ in body:
                pass
