"""An SDK behind one door: opened once for each event loop, closed once, and never heard but in the kernel's words."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import attrs

from cloudllm_core import Secret
from cloudllm_core.errors import BadRequest, ConnectionFailed, ProviderError, ProviderTimeout

from .deadlines import Watch
from .failures import Origin

if TYPE_CHECKING:
    import ssl

    import httpx2


SHORTEST = 8
"""Characters of a key or a header that is looked for in errors: shorter ones would be found in harmless words."""


@attrs.frozen(kw_only=True)
class Door:
    """Where to knock, and with which key."""

    base_url: str
    key: Secret
    version: str | None = None
    """Which version of the API, where an address does not say it."""

    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    timeout: float = 600.0
    connect_timeout: float = 30.0


@attrs.frozen(eq=False)
class Line:
    """An open HTTP client, and what an SDK says about each request: where it goes, and with which headers."""

    http: httpx2.AsyncClient
    request: Callable[[str, bytes | None], httpx2.Request]
    """Makes the request that sends some content to a path, or asks for what is there."""

    aclose: Callable[[], Awaitable[None]]


class Connections:
    """One open line per event loop: a client belongs to the loop that opened it."""

    def __init__(self, connect: Callable[[Door], Line]) -> None:
        self._connect = connect
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Door, Line]] = WeakKeyDictionary()

    async def line(self, door: Door) -> Line:
        """The running loop's line to *door*; another door (a changed key) closes the line before."""
        loop = asyncio.get_running_loop()
        known = self._open.get(loop)
        if known is not None and known[0] == door:
            return known[1]
        line = self._connect(door)
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
                asyncio.run_coroutine_threadsafe(_closed(line), loop)


async def _closed(line: Line) -> None:
    await line.aclose()


def http_client(door: Door, trust: ssl.SSLContext, redirects: bool) -> httpx2.AsyncClient:
    """A client on our own transport; *redirects* says whether it goes where a server sends it."""
    import httpx2

    from .transport import EVERYWHERE, Transport

    return httpx2.AsyncClient(
        verify=trust,
        timeout=httpx2.Timeout(door.timeout, connect=min(door.connect_timeout, door.timeout)),
        mounts={EVERYWHERE: Transport(trust)},
        follow_redirects=redirects,
    )


def requests(
    http: httpx2.AsyncClient, base_url: httpx2.URL, headers: Mapping[str, Any]
) -> Callable[[str, bytes | None], httpx2.Request]:
    """
    What makes requests to paths below *base_url*, with the *headers* of an SDK; those that it omits are no text.

    They become the client's own, and addresses are kept: both would cost more than the rest of a request.
    """
    for name, value in headers.items():
        if isinstance(value, str):
            http.headers[name] = value  # whatever its case, the last one counts

    @functools.lru_cache(maxsize=16)
    def url(path: str) -> httpx2.URL:
        return base_url.copy_with(raw_path=base_url.raw_path + path.encode("ascii").lstrip(b"/"))

    def request(path: str, content: bytes | None) -> httpx2.Request:
        if content is not None:
            return http.build_request("POST", url(path), content=content)
        asks = http.build_request("GET", url(path))
        asks.headers.pop("content-type", None)
        return asks

    return request


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

    The SDK says where to and with which headers; the body goes as bytes and the answer comes as it is. Its own way
    walks every message of the history, and hides whether a stream came to its end.

    Raises:
        ProviderError: whatever goes wrong below HTTP, or in the block, as `translated` says.
    """
    with translated(origin, door):
        try:
            line = await connections.line(door)
            request = line.request(path, content)
        except (ValueError, ImportError) as problem:  # a key for other APIs, a proxy it cannot use
            raise BadRequest(**origin.facts(), problem=f"the SDK cannot make the request: {problem}") from None
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

    The client's errors are not chained: a traceback would print what they carry, the request's headers included.
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
    raise _clean(error, [door.key.reveal(), *[value for _, value in door.headers]]) from None


def _clean(error: ProviderError, secrets: Iterable[str]) -> ProviderError:
    """*error* without *secrets*, which a server may have repeated; what it was first made from holds them, too."""
    hidden = [secret for secret in secrets if len(secret) >= SHORTEST]

    def clean(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "***")
        return text

    said = {"problem": error.problem, "request_id": error.request_id, "hint": error.hint}
    cleaned: dict[str, Any] = {name: clean(text) for name, text in said.items()}
    return error if cleaned == said else attrs.evolve(error, **cleaned)


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
