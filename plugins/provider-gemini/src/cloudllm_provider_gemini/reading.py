"""An HTTP answer read to its end: whole or streamed, whatever it calls itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from cloudllm_core import Completion, Emit, Message
from cloudllm_core.errors import BadResponse, ConnectionFailed, ProviderError, StreamTruncated

from .wire import Assembly, Events, Origin, bad_response, completion, failure, parse_json
from .wire.sse import BARE

if TYPE_CHECKING:
    import httpx2

BODY = 64 * 1024 * 1024
"""Bytes one answer may have."""

_BEGINS_A_STREAM = (b"data:", b"event:", b": ")


async def read(
    response: httpx2.Response, origin: Origin, emit: Emit | None, history: tuple[Message, ...]
) -> Completion:
    """
    The answer in *response*, to a request with *history*.

    Raises:
        ProviderError: in its most fitting subclass.
    """
    async with aclosing(_capped(response, origin)) as body:
        if response.status_code != 200:
            raise await _refused(response, body, origin)
        if "event-stream" in response.headers.get("content-type", "").lower():
            return await _read_stream(body, origin, emit, history)
        return await _read_whole(body, origin, emit, history, bool(response.headers.get("content-encoding")))


async def _refused(response: httpx2.Response, body: AsyncIterator[bytes], origin: Origin) -> ProviderError:
    import httpx2

    content = bytearray()
    with suppress(httpx2.NetworkError, httpx2.ProtocolError, httpx2.DecodingError):  # the status says enough
        async for piece in body:
            content += piece
    text = content.decode("utf-8", "replace")
    if response.status_code < 400:
        problem = f"the server answered {response.status_code}, which is no answer"
        return BadResponse(**origin.facts(), problem=problem)
    said: Any = text.strip() or f"the server said nothing but {response.status_code} {response.reason_phrase}"
    with suppress(ValueError, RecursionError):  # a page of HTML says something too
        said = parse_json(text)
    return failure(said, origin, response.headers)


async def _read_whole(
    body: AsyncIterator[bytes], origin: Origin, emit: Emit | None, history: tuple[Message, ...], packed: bool
) -> Completion:
    import httpx2

    try:
        content = b"".join([piece async for piece in body])
    except (httpx2.NetworkError, httpx2.ProtocolError, httpx2.DecodingError) as problem:
        said = f"the connection broke before the whole answer had come: {problem}"
        raise ConnectionFailed(**origin.facts(), problem=said) from None
    if packed and not content:  # a cut gzip body reads as an empty one
        raise ConnectionFailed(**origin.facts(), problem="the connection broke before any of the answer had come")
    if content.lstrip(b"\xef\xbb\xbf \r\n").startswith(_BEGINS_A_STREAM):
        events, assembly = Events(), Assembly(origin, emit, history)
        for event in (*events.feed(content), *events.finish()):
            _add(assembly, event)
        return assembly.completion()
    return _parsed(content, origin, emit, history)


def _parsed(content: bytes, origin: Origin, emit: Emit | None, history: tuple[Message, ...]) -> Completion:
    if not content.strip():
        raise bad_response("is empty", "", origin)
    try:
        body = parse_json(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise bad_response("is not JSON", content[:4000].decode("utf-8", "replace"), origin) from None
    return completion(body, origin, emit, history)


async def _read_stream(
    body: AsyncIterator[bytes], origin: Origin, emit: Emit | None, history: tuple[Message, ...]
) -> Completion:
    """The wire has no last event, and an error may follow a finishReason: only the body's own end is the end."""
    import httpx2

    events, assembly = Events(), Assembly(origin, emit, history)
    try:
        async for piece in body:
            for event in events.feed(piece):
                _add(assembly, event)
        for event in events.finish():
            _add(assembly, event, last=True)
    except (httpx2.NetworkError, httpx2.ProtocolError, httpx2.DecodingError) as problem:
        raise StreamTruncated(**origin.facts(), problem=f"the stream broke off: {problem}") from None
    return assembly.completion()


def _add(assembly: Assembly, event: tuple[str, str], last: bool = False) -> None:
    name, data = event
    if data.strip() in ("[DONE]", ""):  # what other wires say at their end, some servers say on this one
        return
    try:
        chunk = parse_json(data)
    except (ValueError, RecursionError):
        if last and not data.lstrip().startswith("<"):
            problem = "the stream stopped in the middle of a chunk"
            raise StreamTruncated(**assembly.origin.facts(), problem=problem) from None
        raise bad_response("has a chunk that is not JSON", data, assembly.origin) from None
    if name == "error":
        raise failure(chunk, assembly.origin)
    if name == BARE and isinstance(chunk, list) and chunk:
        chunk = chunk[0]
    assembly.add(chunk)


async def _capped(response: httpx2.Response, origin: Origin) -> AsyncGenerator[bytes, None]:
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > BODY:
            raise bad_response(f"is longer than {BODY} bytes", "", origin)
        yield piece
