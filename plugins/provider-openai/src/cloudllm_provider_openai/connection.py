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
from cloudllm_core.errors import BadResponse, ConnectionFailed, ProviderError, ProviderTimeout

from .deadlines import Watch
from .wire import Origin, failure

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI


@attrs.frozen(kw_only=True)
class Door:
    """Where to knock, and with which key."""

    base_url: str
    key: Secret
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    timeout: float = 600.0
    connect_timeout: float = 30.0


class Connections:
    """One open client per event loop: a client belongs to the loop that opened it."""

    def __init__(self) -> None:
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Door, AsyncOpenAI]] = WeakKeyDictionary()

    async def client(self, door: Door) -> AsyncOpenAI:
        """The running loop's client for *door*; another door (a changed key) closes the client before."""
        loop = asyncio.get_running_loop()
        known = self._open.get(loop)
        if known is not None and known[0] == door:
            return known[1]
        client = _connect(door)
        self._open[loop] = (door, client)
        if known is not None:
            await known[1].close()
        return client

    async def aclose(self) -> None:
        """Close the running loop's client, and have other loops that still run close theirs."""
        here = asyncio.get_running_loop()
        for loop, (_, client) in list(self._open.items()):
            del self._open[loop]
            if loop is here:
                await client.close()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(client.close(), loop)


def _connect(door: Door) -> AsyncOpenAI:
    import httpx2
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    from .transport import EVERYWHERE, Transport

    trust = httpx2.create_ssl_context()
    return AsyncOpenAI(
        api_key=door.key.reveal(),
        base_url=door.base_url,
        default_headers=dict(door.headers),
        max_retries=0,
        timeout=httpx2.Timeout(door.timeout, connect=min(door.connect_timeout, door.timeout)),
        http_client=DefaultAsyncHttpxClient(verify=trust, mounts={EVERYWHERE: Transport(trust)}),
    )


@asynccontextmanager
async def answered(
    client: AsyncOpenAI, path: str, content: bytes | None = None, watch: Watch | None = None
) -> AsyncIterator[httpx2.Response]:
    """
    The answer to *content*, or to a question for what is at *path*, its body unread; leaving the block closes it.
    A stream is kept in time by *watch*.

    The body goes as bytes and the answer comes as it is: the SDK's own way walks every message of
    the history, and hides whether a stream came to its end.
    """
    import httpx2
    from openai import AsyncStream

    way: dict[str, Any] = {"cast_to": httpx2.Response, "stream": True, "stream_cls": AsyncStream[Any]}
    if watch is not None:
        watch.start()
    response: Any = await (client.get(path, **way) if content is None else client.post(path, content=content, **way))
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

    The SDK's errors are not chained: a traceback would print what they carry, the request's headers included.
    """
    import httpx2
    import openai

    try:
        yield
    except ProviderError as problem:
        error = problem
    except openai.APIStatusError as problem:
        error = _refused(problem.response, origin)
    except (openai.APITimeoutError, httpx2.TimeoutException) as problem:
        error = _late(problem, origin, door)
    except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as problem:
        error = ConnectionFailed(
            **origin.facts(),
            problem=f"the connection failed: {_root(problem)}",
            hint=f"Check the network, and that a server listens at {_shown(door.base_url)}.",
        )
    else:
        return
    error.problem = error.problem.replace(door.key.reveal(), "***")
    raise error from None


def _late(problem: Exception, origin: Origin, door: Door) -> ProviderTimeout:
    import httpx2

    if isinstance(problem, httpx2.ConnectTimeout) or isinstance(problem.__cause__, httpx2.ConnectTimeout):
        return ProviderTimeout(
            **origin.facts(),
            problem=f"no connection came about within {min(door.connect_timeout, door.timeout):g} seconds",
            hint=f"Check that {_shown(door.base_url)} can be reached, or raise connect_timeout.",
        )
    return ProviderTimeout(**origin.facts(), problem=f"no answer came in time ({_root(problem)})")


def _refused(response: httpx2.Response, origin: Origin) -> ProviderError:
    origin = attrs.evolve(origin, status=response.status_code, request_id=request_id(response.headers))
    try:
        body: Any = response.json()
    except (ValueError, RecursionError):
        body = response.text
    if not body:
        body = f"the server said nothing but {response.status_code} {response.reason_phrase}"
    if response.status_code < 400:
        return BadResponse(**origin.facts(), problem=f"the server answered {response.status_code}, which is no answer")
    return failure(body, origin, response.headers)


def request_id(headers: Mapping[str, str]) -> str:
    """The id under which the provider can find the call, if it gave one."""
    names = ("x-request-id", "request-id", "apim-request-id")
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
