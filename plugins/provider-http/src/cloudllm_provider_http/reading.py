"""The body of an answer: bytes with a cap, whole or as events, and what to make of one that is cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from cloudllm_core import Completion
from cloudllm_core.errors import BadResponse, ConnectionFailed, ProviderError, StreamTruncated

from .events import Events
from .failures import Origin, bad_response

if TYPE_CHECKING:
    import httpx2

BODY = 64 * 1024 * 1024
"""Bytes one answer may have."""

REFUSAL = 1024 * 1024
"""Bytes that are read of one that refuses."""

_BEGINS_A_STREAM = (b"data:", b"event:", b": ")


class Assembly(Protocol):
    """Puts an answer together."""

    @property
    def ended(self) -> bool:
        """Whether the answer is whole though the body goes on."""

    def completion(self) -> Completion:
        """The answer, now that no more will come."""


@attrs.define(eq=False, kw_only=True)
class Reading:
    """How one wire reads one answer."""

    assembly: Assembly
    add: Callable[[str, str, bool], None]
    """Gives the assembly an event: its name, its data, and whether the body ended with it."""

    whole: Callable[[bytes], Completion]
    """Makes a completion of content that is no stream."""

    events: Events = attrs.field(factory=Events)


async def read(response: httpx2.Response, origin: Origin, reading: Reading) -> Completion:
    """
    The completion that *response* brings.

    Raises:
        StreamTruncated: a stream broke off. ConnectionFailed: another answer did. ProviderError: as the answer says.
    """
    if "event-stream" in response.headers.get("content-type", "").lower():
        return await _streamed(response, origin, reading)
    content = await gathered(response, origin)
    if not content.lstrip(b"\xef\xbb\xbf \r\n").startswith(_BEGINS_A_STREAM):
        return reading.whole(content)
    _take(reading, _fed(reading.events, content, origin))  # a stream that does not call itself one
    _take(reading, reading.events.finish(), last=True)
    return reading.assembly.completion()


async def gathered(response: httpx2.Response, origin: Origin, most: int | None = None) -> bytes:
    """
    The whole body, which may have *most* bytes (None: `BODY`).

    Raises:
        BadResponse: it has more. ConnectionFailed: it is cut.
    """
    import httpx2

    try:
        async with aclosing(_capped(response, origin, BODY if most is None else most)) as body:
            content = b"".join([piece async for piece in body])
    except (httpx2.NetworkError, httpx2.ProtocolError, httpx2.DecodingError) as problem:
        said = f"the connection broke before the whole answer had come: {problem}"
        raise ConnectionFailed(**origin.facts(), problem=said) from None
    if not content and response.headers.get("content-encoding"):  # a cut gzip body reads as an empty one
        raise ConnectionFailed(**origin.facts(), problem="the connection broke before any of the answer had come")
    return content


def parsed(content: bytes, origin: Origin, parse: Callable[[bytes], Any] = json.loads) -> Any:
    """
    The value in *content*.

    Raises:
        BadResponse: there is none.
    """
    if not content.strip():
        raise bad_response("is empty", "", origin)
    try:
        return parse(content)
    except (ValueError, RecursionError):
        raise bad_response("is not JSON", content[:4000].decode("utf-8", "replace"), origin) from None


async def refused(
    response: httpx2.Response, origin: Origin, failure: Callable[[Any, Origin, Mapping[str, str]], ProviderError]
) -> ProviderError:
    """The error that *response* is, by its status and, as far as it comes, by what it says."""
    import httpx2

    if response.status_code < 400:
        problem = f"the server answered {response.status_code}, which is no answer"
        return BadResponse(**origin.facts(), problem=problem)
    content = bytearray()
    with suppress(httpx2.NetworkError, httpx2.ProtocolError, httpx2.DecodingError):  # the status says enough
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > REFUSAL:
                break
    body: Any = content.decode(response.encoding or "utf-8", "replace").strip()
    with suppress(ValueError, RecursionError):  # a page of HTML says something too
        body = json.loads(content)
    body = body or f"the server said nothing but {response.status_code} {response.reason_phrase}"
    return failure(body, origin, response.headers)


async def _streamed(response: httpx2.Response, origin: Origin, reading: Reading) -> Completion:
    import httpx2

    head, assembly = b"", reading.assembly
    try:
        async with aclosing(_capped(response, origin, BODY)) as body:
            async for piece in body:
                head = head or piece[:4000]
                _take(reading, _fed(reading.events, piece, origin))
                if assembly.ended:
                    await _drain(body)
                    return assembly.completion()
        _take(reading, reading.events.finish(), last=True)
    except (httpx2.NetworkError, httpx2.ProtocolError, httpx2.DecodingError) as problem:
        raise StreamTruncated(**origin.facts(), problem=f"the stream broke off: {problem}") from None
    if head.lstrip().startswith((b"{", b"<", b"[")) and not reading.events.bare:
        return reading.whole(head)
    return assembly.completion()


def _take(reading: Reading, events: list[tuple[str, str]], last: bool = False) -> None:
    for name, data in events:
        if reading.assembly.ended:
            return
        reading.add(name, data, last)


def _fed(events: Events, piece: bytes, origin: Origin) -> list[tuple[str, str]]:
    try:
        return events.feed(piece)
    except ValueError as problem:
        raise bad_response(f"cannot be read: {problem}", "", origin) from None


async def _capped(response: httpx2.Response, origin: Origin, most: int) -> AsyncGenerator[bytes, None]:
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > most:
            raise bad_response(f"is longer than {most} bytes", "", origin)
        yield piece


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read what comes after the end, so that the connection can be used again; the answer is whole whatever happens."""
    import httpx2

    with suppress(TimeoutError, httpx2.HTTPError, ProviderError):
        async with asyncio.timeout(0.25):
            async for _ in body:
                pass
