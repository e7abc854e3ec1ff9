"""Gemini's generateContent as a provider."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import attrs

from cloudllm_core import Completion, Emit, Provider, Request, Secret
from cloudllm_core.errors import AuthenticationFailed, BadRequest, SettingsError

from .connection import Connections, Door, answered, request_id, translated
from .deadlines import Deadlines, in_time
from .listing import listed
from .reading import read
from .wire import Origin, encode, request_body

NO_KEY = "no-key-needed"
"""Sent to servers that want no key; the SDK insists on one."""

EFFORT = "CLOUDLLM_REASONING_EFFORT"
"""The variable that says how much to think where an agent's options do not."""


def _key_secret(value: Secret | str | None) -> Secret | None:
    return None if value is None else _secret("api_key", value, "api_key")


def _header_secrets(value: Mapping[str, Secret | str] | None) -> dict[str, Secret]:
    found = {name: _secret(f"headers.{name!a}", each, name) for name, each in (value or {}).items()}
    for name, secret in found.items():
        if not (_sendable(name) and _sendable(secret.reveal())):
            raise SettingsError(f"headers.{name!a}", "characters that no header can carry", "printable ASCII text")
    return found


def _secret(where: str, value: Secret | str, name: str) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):  # a team file may say anything; what it says may be a secret all the same
        raise SettingsError(where, f"a value of the type {type(value).__name__}", "text")
    return Secret(value, name)


def _sendable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _url(instance: Any, attribute: Any, value: str | None) -> None:
    if value is not None and not value.startswith(("http://", "https://")):
        raise SettingsError("base_url", repr(value), "an address that begins with http:// or https://")


def _positive(instance: Any, attribute: Any, value: float) -> None:
    if not value > 0:
        raise SettingsError(attribute.name, repr(value), "a number of seconds above 0")


@attrs.define(eq=False, kw_only=True)
class Gemini(Provider):
    """Models of Google's Gemini API."""

    name: ClassVar[str] = "gemini"
    home: ClassVar[str] = "https://generativelanguage.googleapis.com"
    """Where calls go without a ``base_url``."""

    key_variables: ClassVar[tuple[str, ...]] = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GEMINI_KEY")
    """Where the key is looked for, in order."""

    base_url_variable: ClassVar[str] = "GOOGLE_GEMINI_BASE_URL"

    api_key: Secret | None = attrs.field(default=None, converter=_key_secret)
    """The key itself; better leave it in the environment."""

    api_key_env: str | None = None
    """The environment variable that holds the key, instead of `key_variables`."""

    base_url: str | None = attrs.field(default=None, validator=_url)
    """The server's address, without the version at its end."""

    api_version: str | None = None
    """``v1beta`` knows more models; without it the SDK's own choice is taken, which is ``v1``."""

    timeout: float = attrs.field(default=600.0, validator=_positive)
    """Seconds one call may take, from the first byte sent to the last one read."""

    connect_timeout: float = attrs.field(default=30.0, validator=_positive)
    """Seconds a connection may take; a busy loop that opens a thousand at once needs more than the usual five."""

    first_token_timeout: float = attrs.field(default=300.0, validator=_positive)
    """Seconds until a stream begins to say something; pings say nothing. Some models think long before they speak."""

    idle_timeout: float = attrs.field(default=180.0, validator=_positive)
    """Seconds a stream may say nothing once it has begun."""

    headers: dict[str, Secret] = attrs.field(default=None, converter=_header_secrets)
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

    async def models(self) -> tuple[str, ...]:
        """
        The names of the models that the API lists, sorted.

        Raises:
            ProviderError: in its most fitting subclass.
        """
        door, origin = self._door(""), self._origin("")
        with translated(origin, door):
            async with in_time(self._deadlines(), origin):
                return await listed(self._connections, door, origin)

    def secrets(self) -> tuple[Secret, ...]:
        """The key, wherever it comes from, and the headers."""
        return tuple(filter(None, (self._found_key(), *self.headers.values())))

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
        await self._connections.aclose()

    async def _call(self, request: Request, emit: Emit | None) -> Completion:
        door = self._door(request.model)
        origin = self._origin(request.model)
        content = self._content(request)
        path = _path(request.model) + (":generateContent" if emit is None else ":streamGenerateContent?alt=sse")
        with translated(origin, door):
            async with in_time(self._deadlines(), origin) as watch:
                own = watch if emit else None
                async with answered(self._connections, door, path, origin, content, own) as response:
                    origin = attrs.evolve(origin, status=response.status_code, request_id=request_id(response.headers))
                    return await read(response, origin, emit, request.messages)

    def _deadlines(self) -> Deadlines:
        return Deadlines(first_token=self.first_token_timeout, idle=self.idle_timeout, total=self.timeout)

    def _origin(self, model: str) -> Origin:
        return Origin(provider=self.name, model=model, key_hint=f"Check the key in {self._key_names()}.")

    def _content(self, request: Request) -> bytes:
        body = request_body(request, self.name, os.environ.get(EFFORT, ""))
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
            api_version=self.api_version,
            headers=tuple((name, secret.reveal()) for name, secret in self.headers.items()),
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
        )

    def _address(self) -> str:
        return self.base_url or os.environ.get(self.base_url_variable) or self.home

    def _key(self, model: str) -> Secret:
        names, secret = self._key_variables(), self._found_key()
        key = secret.reveal()
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
        return secret or Secret(NO_KEY)

    def _found_key(self) -> Secret:
        """The key, which may be empty."""
        found = (Secret(os.environ[name], name) for name in self._key_variables() if os.environ.get(name))
        secret = next(found, Secret("")) if self.api_key is None else self.api_key
        return Secret(secret.reveal().strip(), secret.name)

    def _key_variables(self) -> tuple[str, ...]:
        return (self.api_key_env,) if self.api_key_env else self.key_variables

    def _key_names(self) -> str:
        return "api_key" if self.api_key else self.api_key_env or self.key_variables[0]


def _path(model: str) -> str:
    """Where *model* lives below the API's version; tuned models and the like bring their own folder."""
    folder = "" if model.startswith(("models/", "tunedModels/")) else "models/"
    return folder + quote(model, safe="/-._~@")
