"""The body of an answer: bytes with a cap, whole or as events, and what to make of one that is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from cloudllm_core import Completion, Emit
from cloudllm_core.errors import ConnectionFailed, ProviderError, StreamTruncated

from .wire import Assembly, Events, Origin, bad_response, completion, failure, read_json

if TYPE_CHECKING:
    import httpx2

BODY = 64 * 1024 * 1024
"""Bytes one answer may have."""


async def read(response: httpx2.Response, origin: Origin, emit: Emit | None) -> Completion:
    """
    The completion in *response*, its pieces handed out through *emit*.

    Raises:
        StreamTruncated: a stream broke off. ConnectionFailed: another answer did. ProviderError: as the answer says.
    """
    async with aclosing(_capped(response, origin)) as body:
        if "event-stream" in response.headers.get("content-type", "").lower():
            return await _read_stream(body, origin, emit)
        return await _read_whole(body, origin, emit, bool(response.headers.get("content-encoding")))


async def _read_whole(body: AsyncIterator[bytes], origin: Origin, emit: Emit | None, packed: bool) -> Completion:
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
        return _assembled(content, origin, emit)
    return _parsed(content, origin, emit)


def _parsed(content: bytes, origin: Origin, emit: Emit | None) -> Completion:
    if not content.strip():
        raise bad_response("is empty", "", origin)
    try:
        body = read_json(content)
    except (ValueError, RecursionError):
        raise bad_response("is not JSON", content[:4000].decode("utf-8", "replace"), origin) from None
    return completion(body, origin, emit)


def _assembled(content: bytes, origin: Origin, emit: Emit | None) -> Completion:
    """A stream that does not call itself one."""
    events, assembly = Events(), Assembly(origin, emit)
    for event in (*_fed(events, content, origin), *events.finish()):
        if not assembly.ended:
            _add(assembly, event)
    return assembly.completion()


async def _read_stream(body: AsyncIterator[bytes], origin: Origin, emit: Emit | None) -> Completion:
    import httpx2

    events, assembly = Events(), Assembly(origin, emit)
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
        return _parsed(head, origin, emit)
    return assembly.completion()


def _fed(events: Events, piece: bytes, origin: Origin) -> list[tuple[str, str]]:
    try:
        return events.feed(piece)
    except ValueError as problem:
        raise bad_response(f"cannot be read: {problem}", "", origin) from None


def _add(assembly: Assembly, event: tuple[str, str], last: bool = False) -> None:
    name, data = event
    if data.strip() == "[DONE]":  # a gateway's habit; the message has its own end
        return
    try:
        chunk = read_json(data)
    except (ValueError, RecursionError):
        if last:
            raise StreamTruncated(
                **assembly.origin.facts(), problem="the stream stopped in the middle of an event"
            ) from None
        if name == "error":
            raise failure(data, assembly.origin) from None
        raise bad_response("has an event that is not JSON", data, assembly.origin) from None
    assembly.add(chunk, name)


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
