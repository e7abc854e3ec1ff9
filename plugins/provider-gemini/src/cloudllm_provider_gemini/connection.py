"""The SDK behind one door: it is imported, opened, closed and translated here, and nowhere else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import attrs

from cloudllm_core import Secret
from cloudllm_core.errors import BadRequest, ConnectionFailed, ProviderError, ProviderTimeout

from .deadlines import Watch
from .wire import Origin

if TYPE_CHECKING:
    import httpx2
    from google.genai import Client


@attrs.frozen(kw_only=True)
class Door:
    """Where to knock, and with which key."""

    base_url: str
    key: Secret
    api_version: str | None = None
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    timeout: float = 600.0
    connect_timeout: float = 30.0


@attrs.frozen(eq=False)
class Line:
    """An open SDK client and the HTTP client it is given."""

    sdk: Client
    http: httpx2.AsyncClient

    async def aclose(self) -> None:
        """Close both; the SDK leaves alone what it was given."""
        try:
            await self.http.aclose()
        finally:
            await self.sdk.aio.aclose()
            self.sdk.close()


class Connections:
    """One open client per event loop: a client belongs to the loop that opened it."""

    def __init__(self) -> None:
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Door, Line]] = WeakKeyDictionary()

    async def line(self, door: Door) -> Line:
        """The running loop's line to *door*; another door (a changed key) closes the line before."""
        loop = asyncio.get_running_loop()
        known = self._open.get(loop)
        if known is not None and known[0] == door:
            return known[1]
        line = _connect(door)
        self._open[loop] = (door, line)
        if known is not None:
            await known[1].aclose()
        return line

    async def aclose(self) -> None:
        """Close the running loop's line, and have other loops that still run close theirs."""
        here = asyncio.get_running_loop()
        for loop, (_, line) in list(self._open.items()):
            del self._open[loop]
            if loop is here:
                await line.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(line.aclose(), loop)


def _connect(door: Door) -> Line:
    import httpx2
    from google.genai import Client
    from google.genai.types import HttpOptions

    from .transport import EVERYWHERE, Transport

    trust = httpx2.create_ssl_context()  # a costly thing, of which the SDK would make two more
    http = httpx2.AsyncClient(
        verify=trust,
        timeout=httpx2.Timeout(door.timeout, connect=min(door.connect_timeout, door.timeout)),
        mounts={EVERYWHERE: Transport(trust)},
    )
    options = HttpOptions(
        base_url=door.base_url,
        api_version=door.api_version,
        headers=dict(door.headers),
        httpx_async_client=http,  # or the SDK takes aiohttp wherever that is installed
        client_args={"verify": trust},
        async_client_args={"verify": trust, "ssl": trust},
    )
    return Line(Client(api_key=door.key.reveal(), vertexai=False, http_options=options), http)


@asynccontextmanager
async def answered(
    connections: Connections,
    door: Door,
    path: str,
    origin: Origin,
    content: bytes | None = None,
    watch: Watch | None = None,
) -> AsyncIterator[httpx2.Response]:
    """
    The answer to *content*, or to a question for what is at *path*, its body unread; leaving the block closes it.
    A stream is kept in time by *watch*.

    The SDK says where to and with which headers; the body goes as bytes and the answer comes as it
    is. Its own way walks every message of the history, calls functions by itself, breaks on comments
    in a stream, and hides whether a stream came to its end.
    """
    method = "GET" if content is None else "POST"
    try:
        line = await connections.line(door)
        call = line.sdk._api_client._build_request(method.lower(), path, {})
    except (ValueError, ImportError) as problem:  # a key for other APIs, a proxy it cannot use
        raise BadRequest(**origin.facts(), problem=f"the SDK cannot make the request: {problem}") from None
    request = line.http.build_request(method, call.url, content=content, headers=call.headers)
    if watch is not None:
        watch.start()
    response: Any = await line.http.send(request, stream=True)
    try:
        if watch is not None:
            response.aiter_bytes = watch.over(response.aiter_bytes)
        yield response
    finally:
        await response.aclose()


@contextmanager
def translated(origin: Origin, door: Door) -> Iterator[None]:
    """
    Let nothing out of the block but `ProviderError` and cancellation.

    Transport errors are not chained: a traceback would print what they carry, the request's headers included.
    """
    import httpx2

    try:
        yield
    except ProviderError as problem:
        error = problem
    except httpx2.ConnectTimeout:
        error = ProviderTimeout(
            **origin.facts(),
            problem=f"no connection came about within {min(door.connect_timeout, door.timeout):g} seconds",
            hint=f"Check that {_shown(door.base_url)} can be reached, or raise connect_timeout.",
        )
    except httpx2.TimeoutException as problem:
        error = ProviderTimeout(**origin.facts(), problem=f"no answer came in time ({_root(problem)})")
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as problem:
        error = ConnectionFailed(
            **origin.facts(),
            problem=f"the connection failed: {_root(problem)}",
            hint=f"Check the network, and that a server listens at {_shown(door.base_url)}.",
        )
    else:
        return
    error.problem = error.problem.replace(door.key.reveal(), "***")
    raise error from None


def request_id(headers: Mapping[str, str]) -> str:
    """The id under which the provider can find the call, if it gave one."""
    names = ("x-goog-request-id", "x-request-id", "request-id")
    return next((headers[name] for name in names if headers.get(name)), "")


def _root(problem: BaseException) -> str:
    """The innermost cause that says anything."""
    said, seen = type(problem).__name__, problem
    inner: BaseException | None = problem
    while inner is not None:
        if str(inner):
            said, seen = str(inner), inner
        inner = inner.__cause__ or inner.__context__
    return f"{type(seen).__name__}: {' '.join(said.split())}".rstrip(".")


def _shown(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
