"""
The only way out: looks a name up once, checks every address it has, and dials one of those checked.

Nothing between the check and the connection asks for the name again, so an answer that changes has
nothing to win. TLS, its certificate and the ``Host`` header stay those of the name.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import httpcore2

from .addresses import Address, forbidden, parse
from .errors import HttpError, Refused
from .hosts import Rules, literal

Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the addresses of a name, or raises OSError."""

Dial: TypeAlias = Callable[[str, int, float], Awaitable[httpcore2.AsyncNetworkStream]]
"""Connects to an address and port within some seconds."""

CONNECT = 5.0
"""Seconds that one address has to answer."""

MOST_TRIED = 4
"""How many addresses of a name are tried, one after the other."""


class Door(httpcore2.AsyncNetworkBackend):
    """Opens connections where the rules let it."""

    def __init__(self, rules: Rules, resolve: Resolve | None = None, dial: Dial | None = None) -> None:
        self._rules, self._resolve, self._dial = rules, resolve or look_up, dial or connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the engine's own interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """
        Connect to *host*.

        Raises:
            Refused: one of its addresses may not be reached. HttpError: it has none, or none answers.
        """
        url = f"//{host}"
        for address in (await self._addresses(host, url))[:MOST_TRIED]:
            try:
                return await self._dial(str(address), port, CONNECT)
            except (httpcore2.NetworkError, httpcore2.TimeoutException, OSError):
                continue
        raise HttpError(url, f"does not answer at port {port}", "Check the address, or try again later.")

    async def _addresses(self, host: str, url: str) -> list[Address]:
        """Those of *host*, all of them fit to be dialled."""
        address = literal(host)
        found = [address] if address else await self._looked_up(host, url)
        for each in found:
            if why := forbidden(each, self._rules.private, self._rules.block.networks):
                # Of a name nothing more is said: what it leads to is nobody's business.
                what = why if address else "leads to an address that may not be reached"
                raise Refused(url, what, "Use a host that the public can reach.")
        return found

    async def _looked_up(self, host: str, url: str) -> list[Address]:
        try:
            found = [parse(text) for text in await self._resolve(host)]
        except OSError:
            found = []
        except ValueError:
            raise Refused(url, "leads to an address that may not be reached", "Use another host.") from None
        if not found:
            raise HttpError(url, "has no address", "Check the spelling of the host.")
        return list(dict.fromkeys(found))


async def look_up(host: str) -> Sequence[str]:
    """
    The addresses that this machine finds for *host*.

    In a thread of its own: the event loop's would be used up by a few servers of names that do not answer,
    and be waited for when the program ends. Raises: OSError: there are none.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Any]] = loop.create_future()

    def settle(found: list[Any] | OSError) -> None:
        if future.done():
            return  # who asked has given up
        if isinstance(found, OSError):
            future.set_exception(found)
        else:
            future.set_result(found)

    def work() -> None:
        found: list[Any] | OSError
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as problem:
            found = problem if isinstance(problem, OSError) else OSError("no name that can be looked up")
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=work, name="cloudllm look_up", daemon=True).start()
    return [str(address[0]) for *_, address in await future]


async def connect(address: str, port: int, seconds: float) -> httpcore2.AsyncNetworkStream:
    return await httpcore2.AnyIOBackend().connect_tcp(address, port, timeout=seconds)
