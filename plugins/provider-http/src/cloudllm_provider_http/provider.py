"""What the providers that speak HTTP have in common: settings, the key, and one call."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from cloudllm_core import Completion, Emit, Provider, Request, Secret
from cloudllm_core.errors import AuthenticationFailed, BadRequest, ProviderError

from .connection import Connections, Door, Line, answered
from .deadlines import Deadlines, Watch, in_time
from .failures import Origin
from .reading import gathered, refused
from .settings import MORE, address, header_secrets, holds_more, key_secret, seconds, sendable

if TYPE_CHECKING:
    import httpx2

NO_KEY = "no-key-needed"
"""Sent to servers that want no key; the SDKs insist on one."""

EFFORT = "CLOUDLLM_REASONING_EFFORT"
"""The environment variable that says how hard all agents shall think where their options do not."""


@attrs.define(eq=False, kw_only=True)
class HTTPProvider(Provider):
    """A provider that has an address and mostly a key, and asks by HTTP. Wires extend it."""

    home: ClassVar[str]
    """Where calls go without a ``base_url``."""

    key_variables: ClassVar[tuple[str, ...]]
    """Where the key is looked for, in order."""

    needs_key: ClassVar[bool] = True
    """Whether `home` answers nobody without a key."""

    base_url_variable: ClassVar[str | None] = None
    """The environment variable for a ``base_url``."""

    request_ids: ClassVar[tuple[str, ...]] = ("x-request-id", "request-id")
    """The headers under which the API can find a call, the first that comes."""

    api_key: Secret | None = attrs.field(default=None, converter=key_secret)
    """The key itself; better leave it in the environment."""

    api_key_env: str | None = None
    """The environment variable that holds the key, instead of `key_variables`."""

    base_url: str | None = attrs.field(default=None, validator=address)
    """The server's address."""

    timeout: float = attrs.field(default=600.0, validator=seconds)
    """Seconds one call may take, from the first byte sent to the last one read."""

    connect_timeout: float = attrs.field(default=30.0, validator=seconds)
    """Seconds a connection may take; a busy loop that opens a thousand at once needs more than the usual five."""

    first_token_timeout: float = attrs.field(default=300.0, validator=seconds)
    """Seconds until a stream begins to say something; pings say nothing. Some models think long before they speak."""

    idle_timeout: float = attrs.field(default=180.0, validator=seconds)
    """Seconds a stream may say nothing once it has begun."""

    headers: dict[str, Secret] = attrs.field(default=None, converter=header_secrets)
    """Sent along with each call."""

    _connections: Connections = attrs.field(
        default=attrs.Factory(lambda self: Connections(self._connect), takes_self=True), init=False, repr=False
    )

    @staticmethod
    @abstractmethod
    def _connect(door: Door) -> Line:
        """A line to *door*. Raises: ValueError, ImportError: the SDK cannot make one."""

    @staticmethod
    @abstractmethod
    def _encode(body: Mapping[str, Any]) -> bytes:
        """*body* as bytes. Raises: ValueError, TypeError: it holds what JSON does not have."""

    @staticmethod
    @abstractmethod
    def _failure(body: Any, origin: Origin, headers: Mapping[str, str]) -> ProviderError:
        """The error that a refusal's *body* means, a parsed one or text."""

    @abstractmethod
    def _origin(self, model: str) -> Origin:
        """Whose words an error is to tell."""

    @abstractmethod
    async def _call(self, request: Request, emit: Emit | None) -> Completion:
        """One model call, which streams where there is an *emit*."""

    @abstractmethod
    async def _listed(self, door: Door, origin: Origin) -> tuple[str, ...]:
        """The models' names, sorted."""

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

    async def models(self) -> tuple[str, ...]:
        """
        The names of the models that the API lists, sorted.

        Raises:
            ProviderError: in its most fitting subclass.
        """
        door, origin = self._door(""), self._origin("")
        async with self._in_time(origin):
            return await self._listed(door, origin)

    def secrets(self) -> tuple[Secret, ...]:
        """The key, wherever it comes from, and the headers."""
        return tuple(filter(None, (self._found_key(), *self.headers.values())))

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
        await self._connections.aclose()

    @asynccontextmanager
    async def _asked(
        self, door: Door, path: str, origin: Origin, content: bytes | None = None, watch: Watch | None = None
    ) -> AsyncIterator[tuple[httpx2.Response, Origin]]:
        """
        The answer to *content*, or to a question for what is at *path*, its body unread, and whose words it brings.

        Raises:
            ProviderError: the server refuses, or the connection fails, or as the block says.
        """
        async with answered(self._connections, door, path, origin, content, watch) as response:
            ident = next((found for name in self.request_ids if (found := response.headers.get(name))), "")
            heard = attrs.evolve(origin, status=response.status_code, request_id=ident)
            if not response.is_success:
                raise await refused(response, heard, self._failure)
            yield response, heard

    async def _page(self, door: Door, origin: Origin, most: int, path: str) -> bytes:
        """What is at *path*, *most* bytes of it."""
        async with self._asked(door, path, origin) as (response, heard):
            return await gathered(response, heard, most)

    def _in_time(self, origin: Origin) -> AbstractAsyncContextManager[Watch]:
        limits = Deadlines(first_token=self.first_token_timeout, idle=self.idle_timeout, total=self.timeout)
        return in_time(limits, origin)

    def _content(self, body: Mapping[str, Any], model: str) -> bytes:
        try:
            return self._encode(body)
        except (TypeError, ValueError, RecursionError) as problem:
            raise BadRequest(
                problem=f"the request cannot be written as JSON: {problem}",
                provider=self.name,
                model=model,
                hint="Options and tool schemas hold only text, numbers, true, false, null, lists and tables.",
            ) from None

    def _door(self, model: str) -> Door:
        return Door(
            base_url=self._plain_address(model),
            key=self._key(model),
            headers=tuple((name, secret.reveal()) for name, secret in self.headers.items()),
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
        )

    def _plain_address(self, model: str) -> str:
        """Raises: BadRequest: the environment's address holds what might be a secret."""
        found = self._address()
        if problem := holds_more(found):
            where = self.base_url_variable or "base_url"
            raise BadRequest(f"the address in {where} holds {problem}", self.name, model, hint=MORE)
        return found

    def _given(self) -> str | None:
        return self.base_url or (self.base_url_variable and os.environ.get(self.base_url_variable)) or None

    def _address(self) -> str:
        return self._given() or self.home

    def _key(self, model: str) -> Secret:
        names, secret = self._key_variables(), self._found_key()
        key = secret.reveal()
        if not key and (self.api_key_env or (self.needs_key and self._address() == self.home)):
            raise AuthenticationFailed(
                problem=f"there is no API key: {' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set",
                provider=self.name,
                model=model,
                hint=f"Set {names[0]}, or pass api_key; a local server needs only base_url.",
            )
        if not sendable(key):
            raise AuthenticationFailed(
                problem="the API key has characters that no header can carry",
                provider=self.name,
                model=model,
                hint=f"Copy it again into {self._key_names()}.",
            )
        return secret or Secret(NO_KEY)

    def _found_key(self) -> Secret:
        """The key, which may be empty."""
        found = (Secret(os.environ[name], name) for name in self._key_variables() if os.environ.get(name))
        secret = next(found, Secret("")) if self.api_key is None else self.api_key
        return Secret(secret.reveal().strip(), secret.name)

    def _key_variables(self) -> tuple[str, ...]:
        return (self.api_key_env,) if self.api_key_env else self.key_variables

    def _key_names(self) -> str:
        return "api_key" if self.api_key else self.api_key_env or next(iter(self.key_variables), "api_key")

    def _key_hint(self) -> str:
        return f"Check the key in {self._key_names()}."
