"""OpenAI's Chat Completions as a provider."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from cloudllm_core import Completion, Provider, Request
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    ProviderError,
    SettingsError,
    StreamTruncated,
)

from .connection import Connections, Door, Hidden, posted, request_id, translated
from .wire import Assembly, Events, Origin, bad_response, completion, encode, failure, request_body
from .wire.streams import Emit

if TYPE_CHECKING:
    import httpx2

NO_KEY = "no-key-needed"
"""Sent to servers that want no key; the SDK insists on one."""

BODY = 64 * 1024 * 1024
"""Bytes one answer may have."""


def _hide(value: str | None) -> Hidden[str] | None:
    return None if value is None else Hidden(value)


def _hide_headers(value: dict[str, str] | None) -> Hidden[dict[str, str]]:
    for name, text in (value or {}).items():
        if not (_sendable(name) and _sendable(text)):
            raise SettingsError(f"headers.{name!a}", "characters that no header can carry", "printable ASCII text")
    return Hidden(dict(value or {}))


def _sendable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _url(instance: Any, attribute: Any, value: str | None) -> None:
    if value is not None and not value.startswith(("http://", "https://")):
        raise SettingsError("base_url", repr(value), "an address that begins with http:// or https://")


def _positive(instance: Any, attribute: Any, value: float) -> None:
    if not value > 0:
        raise SettingsError("timeout", repr(value), "a number of seconds above 0")


@attrs.define(eq=False, kw_only=True)
class OpenAI(Provider):
    """
    Models of OpenAI, or of any server with a Chat Completions API.

    A provider of another name on the same wire extends this class and changes the class variables.
    """

    name: ClassVar[str] = "openai"
    home: ClassVar[str] = "https://api.openai.com/v1"
    """Where calls go without a ``base_url``."""

    key_variables: ClassVar[tuple[str, ...]] = ("OPENAI_API_KEY", "OPEN_AI_SECRET", "OPENAI_KEY")
    """Where the key is looked for, in order."""

    base_url_variable: ClassVar[str | None] = "OPENAI_BASE_URL"
    output_cap: ClassVar[str] = "max_completion_tokens"
    """What `home` calls the option ``max_tokens``; other servers get it by its old name."""

    api_key: Hidden[str] | None = attrs.field(default=None, converter=_hide)
    """The key itself; better leave it in the environment."""

    api_key_env: str | None = None
    """The environment variable that holds the key, instead of `key_variables`."""

    base_url: str | None = attrs.field(default=None, validator=_url)
    """The server's address, with the ``/v1`` that most have at its end."""

    timeout: float = attrs.field(default=600.0, validator=_positive)
    """Seconds one call may take, from the first byte sent to the last one read."""

    headers: Hidden[dict[str, str]] = attrs.field(default=None, converter=_hide_headers)
    """Sent along with each call."""

    _connections: Connections = attrs.field(factory=Connections, init=False, repr=False)

    async def complete(self, request: Request) -> Completion:
        """
        Make one model call.

        Raises:
            ProviderError: in its most fitting subclass.
        """
        return await self._call(request, None)

    async def stream(self, request: Request, emit: Emit) -> Completion:
        """
        Make one model call, handing out the answer's pieces through *emit* as they come.

        Raises:
            StreamTruncated: the stream broke off. ProviderError: in its most fitting subclass.
        """
        return await self._call(request, emit)

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
        await self._connections.aclose()

    async def _call(self, request: Request, emit: Emit | None) -> Completion:
        door = self._door(request.model)
        origin = Origin(provider=self.name, model=request.model, key_hint=f"Check the key in {self._key_names()}.")
        content = self._content(request, emit is not None)
        with translated(origin, door):
            async with asyncio.timeout(self.timeout):
                client = await self._connections.client(door)
                async with posted(client, "/chat/completions", content) as response:
                    origin = attrs.evolve(origin, status=response.status_code, request_id=request_id(response.headers))
                    return await _read(response, origin, emit)

    def _content(self, request: Request, stream: bool) -> bytes:
        body = request_body(request, stream, self.name)
        if "max_tokens" in body and self._address() == self.home:
            body.setdefault(self.output_cap, body.pop("max_tokens"))
        try:
            return encode(body)
        except (TypeError, ValueError, RecursionError) as problem:
            raise BadRequest(
                problem=f"the request cannot be written as JSON: {problem}",
                provider=self.name,
                model=request.model,
                hint="Options and tool schemas hold only text, numbers, true, false, null, lists and tables.",
            ) from None

    def _door(self, model: str) -> Door:
        return Door(
            base_url=self._address(),
            key=self._key(model),
            headers=tuple(self.headers.reveal().items()),
            timeout=self.timeout,
        )

    def _address(self) -> str:
        if self.base_url is not None:
            return self.base_url
        return (self.base_url_variable and os.environ.get(self.base_url_variable)) or self.home

    def _key(self, model: str) -> str:
        names = (self.api_key_env,) if self.api_key_env else self.key_variables
        key = self.api_key.reveal() if self.api_key else next(filter(None, map(os.environ.get, names)), "")
        key = key.strip()
        if not key and (self.api_key_env or self._address() == self.home):
            raise AuthenticationFailed(
                problem=f"there is no API key: {' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set",
                provider=self.name,
                model=model,
                hint=f"Set {names[0]}, or pass api_key; a local server needs only base_url.",
            )
        if not _sendable(key):
            raise AuthenticationFailed(
                problem="the API key has characters that no header can carry",
                provider=self.name,
                model=model,
                hint=f"Copy it again into {self._key_names()}.",
            )
        return key or NO_KEY

    def _key_names(self) -> str:
        return "api_key" if self.api_key else self.api_key_env or self.key_variables[0]


async def _read(response: httpx2.Response, origin: Origin, emit: Emit | None) -> Completion:
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
        body = json.loads(content)
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
    if data.strip() == "[DONE]":
        assembly.ended = True
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
