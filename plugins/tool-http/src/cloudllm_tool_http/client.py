"""One request from its first address to its answer; and the connections it goes over."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import aclosing
from weakref import WeakKeyDictionary

import attrs
import httpcore2
import httpx2

from .bodies import Body, too_large, whole
from .door import Door
from .errors import HttpError, Refused
from .headers import CARRIED, Credentials
from .hosts import Rules, Target

REDIRECTS = frozenset({301, 302, 303, 307, 308})
CONNECTIONS, KEPT, KEPT_SECONDS = 100, 20, 5.0
"""Connections at once, those kept open, and for how long."""


class Pools:
    """Pools of connections, for each event loop its own: a connection belongs to the loop that opened it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, httpcore2.AsyncConnectionPool]]
        self._open = WeakKeyDictionary()

    def here(self, scheme: str) -> httpcore2.AsyncConnectionPool:
        """The running loop's, made at first use; one for each scheme, for to be ready for TLS takes its time."""
        pools = self._open.setdefault(asyncio.get_running_loop(), {})
        if scheme not in pools:
            pools[scheme] = httpcore2.AsyncConnectionPool(
                ssl_context=httpx2.create_ssl_context(trust_env=False) if scheme == "https" else None,
                network_backend=self._door,
                max_connections=CONNECTIONS,
                max_keepalive_connections=KEPT,
                keepalive_expiry=KEPT_SECONDS,
            )
        return pools[scheme]

    async def aclose(self) -> None:
        """Close the running loop's, and have other loops that still run close theirs."""
        here = asyncio.get_running_loop()
        for loop, pools in list(self._open.items()):
            del self._open[loop]
            for pool in pools.values():
                if loop is here:
                    await pool.aclose()
                elif loop.is_running():
                    asyncio.run_coroutine_threadsafe(pool.aclose(), loop)


@attrs.frozen(kw_only=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: Body

    def header(self, name: bytes) -> str:
        """The last of that name, or an empty string."""
        found = [value for key, value in self.headers if key.lower() == name]
        return found[-1].decode("utf-8", "replace").strip() if found else ""


@attrs.define(kw_only=True)
class Exchange:
    """A request under way; each redirect changes what is sent next."""

    pools: Pools
    rules: Rules
    credentials: Credentials
    max_bytes: int
    max_redirects: int
    method: str
    target: Target
    headers: dict[str, str]
    """A model's own, by lower-case name."""

    content: bytes = b""
    content_type: str | None = None
    abroad: bool = False
    """Whether a redirect has left the first origin: credentials stay behind for good."""

    async def run(self) -> Answer:
        """
        The answer at the end of all redirects.

        Raises:
            Refused: the rules forbid one of the addresses. HttpError: there is no answer to be had.
        """
        for hop in range(self.max_redirects + 1):
            try:
                answer = await self._once()
            except HttpError as problem:
                problem.own_words = not hop
                raise
            location = answer.header(b"location")
            if answer.status not in REDIRECTS or not location or not self.max_redirects:
                return answer
            self._follow(answer.status, location)
        what = f"redirects more than {self.max_redirects} times"
        raise _led(HttpError(self.target.url, what, "Use the address it leads to, if you know it."))

    async def _once(self) -> Answer:
        request = httpcore2.Request(
            self.method,
            httpcore2.URL(
                scheme=self.target.scheme.encode(),
                host=self.target.host.encode(),
                port=self.target.port,
                target=self.target.path,
            ),
            headers=[(name.encode(), value.encode()) for name, value in self._sent().items()],
            content=self.content,
        )
        try:
            response = await self.pools.here(self.target.scheme).handle_async_request(request)
            try:
                return await self._read(response)
            finally:
                await response.aclose()
        except HttpError as problem:
            error, told = type(problem), (problem.problem, problem.remedy)
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError) as problem:
            error, told = HttpError, _failure(problem)
        # Not chained: the engine's errors hold addresses and headers.
        raise error(self.target.url, *told)

    def _sent(self) -> Mapping[str, str]:
        headers = {"host": self.target.authority, "accept": "*/*", "user-agent": "CloudLLM"}
        headers |= self.headers | {"accept-encoding": "gzip, deflate"}
        if self.content_type:
            headers["content-type"] = self.content_type
        if self.content or self.method in {"POST", "PUT", "PATCH"}:
            headers["content-length"] = str(len(self.content))
        return headers | ({} if self.abroad else self.credentials.headers_for(self.target))

    async def _read(self, response: httpcore2.Response) -> Answer:
        answer = Answer(status=response.status, headers=tuple(response.headers), body=Body(b"", ""))
        if answer.status in REDIRECTS and self.max_redirects and answer.header(b"location"):
            return answer  # nobody reads what stands beside the address
        url = self.target.url
        if int(answer.header(b"content-length") or 0) > self.max_bytes:  # digits, as the engine has seen
            raise too_large(url, self.max_bytes)
        encoding = answer.header(b"content-encoding").lower()
        async with aclosing(response.aiter_stream()) as stream:
            data = await whole(stream, encoding, self.max_bytes, url)
        return attrs.evolve(answer, body=Body(data, answer.header(b"content-type")))

    def _follow(self, status: int, location: str) -> None:
        """Turn to where a redirect leads, by the rules of RFC 9110 section 15.4 and Fetch."""
        here = self.target
        try:
            target = self.rules.target(location, here.url)
        except Refused as problem:
            # Where it leads is not told: it may be a place that only the redirecting server knew.
            what = f"redirects to an address that {problem.problem}"
            raise _led(Refused(here.url, what, problem.remedy)) from None
        if here.scheme == "https" and target.scheme != "https":
            what = "redirects from https to http, where anyone could read along"
            raise _led(Refused(here.url, what, "Use another address."))
        if status == 303 or (status in (301, 302) and self.method == "POST"):
            self.method, self.content, self.content_type = "GET", b"", None
        if target.origin != here.origin:
            if self.method != "GET":
                what = f"redirects to another site, and a {self.method} is not carried there"
                raise _led(Refused(here.url, what, "Send it to that site itself, if it is meant for it."))
            self.abroad = True
            self.headers = {name: value for name, value in self.headers.items() if name in CARRIED}
        self.target = target


def _led(problem: HttpError) -> HttpError:
    """*problem* of a request that a server has led somewhere."""
    problem.own_words = False
    return problem


def _failure(problem: Exception) -> tuple[str, str]:
    """What to say of an error of the engine's: what went wrong, and what to do."""
    inner = problem.__cause__ or problem.__context__
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"has a certificate that does not prove who it is ({inner.verify_message})", "Do not trust it."
    if isinstance(inner, ssl.SSLError):
        return "does not speak TLS as it should", "Check the scheme and the port."
    if isinstance(problem, httpcore2.ProtocolError):
        return "did not answer properly in HTTP, or broke off in the middle", "Try again, or look for another source."
    return "broke the connection off", "Try again later."
