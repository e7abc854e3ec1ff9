"""OpenAI's two APIs as a provider."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import attrs

from cloudllm_core import Completion, Provider, Request, Secret
from cloudllm_core.errors import AuthenticationFailed, BadRequest, ContextTooLong, SettingsError

from .connection import Connections, Door, answered, request_id, translated
from .deadlines import Deadlines, Watch, in_time
from .listing import listed
from .reading import Assembler, read
from .wire import Assembly, Emit, Origin, encode, request_body, responses

NO_KEY = "no-key-needed"
"""Sent to servers that want no key; the SDK insists on one."""

EFFORT = "CLOUDLLM_REASONING_EFFORT"
"""The environment variable that says how much models think that can be told; ``none`` says nothing to them."""

Api: TypeAlias = Literal["responses", "chat"]
ASSEMBLERS: dict[Api, Assembler] = {"chat": Assembly, "responses": responses.Assembly}
CALLED: dict[Api, str] = {"chat": "a Chat Completions API", "responses": "a Responses API"}

_UNENFORCED = re.compile(r"json|schema|response_format|text\.format|structured|grammar", re.IGNORECASE)
"""Words in which a server refuses to enforce a schema."""


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


def _known(instance: Any, attribute: Any, value: str | None) -> None:
    if value not in (None, "responses", "chat"):
        raise SettingsError("api", repr(value), "'responses' or 'chat'")


@attrs.define(eq=False, kw_only=True)
class OpenAI(Provider):
    """
    Models of OpenAI, or of any server with a Chat Completions API.

    A provider of another name on the same wires extends this class and changes the class variables, or `body`.
    """

    name: ClassVar[str] = "openai"
    home: ClassVar[str] = "https://api.openai.com/v1"
    """Where calls go without a ``base_url``."""

    home_api: ClassVar[Api] = "responses"
    """The API that is used there unless ``api`` says otherwise; other addresses get Chat Completions."""

    key_variables: ClassVar[tuple[str, ...]] = ("OPENAI_API_KEY", "OPEN_AI_SECRET", "OPENAI_KEY")
    """Where the key is looked for, in order."""

    needs_key: ClassVar[bool] = True
    """Whether `home` answers nobody without a key."""

    base_url_variable: ClassVar[str | None] = "OPENAI_BASE_URL"
    output_cap: ClassVar[str] = "max_completion_tokens"
    """What Chat Completions at `home` calls the option ``max_tokens``; other servers get it by its old name."""

    thinkers: ClassVar[str] = r"(.*/)?(o1(?!-mini|-preview)|o[3-9]|gpt-[5-9]|gpt-\d\d|codex-mini)(?!.*-chat)"
    """A regular expression for the names of models that can be told how much to think."""

    sealers: ClassVar[str | None] = None
    """The same for models whose thoughts Responses can seal, to be sent back between calls; None: `thinkers`."""

    takes_thoughts: ClassVar[bool] = True
    """Whether Chat Completions takes thoughts back between a call and its result."""

    enforces: ClassVar[Literal["always", "without tools", "never"]] = "always"
    """When `home` is asked to enforce an output schema; other addresses are asked where there are no tools."""

    api: Api | None = attrs.field(default=None, validator=_known)
    """Which API to use; None is Responses at OpenAI's own address, and Chat Completions at a ``base_url``."""

    api_key: Secret | None = attrs.field(default=None, converter=_key_secret)
    """The key itself; better leave it in the environment."""

    api_key_env: str | None = None
    """The environment variable that holds the key, instead of `key_variables`."""

    base_url: str | None = attrs.field(default=None, validator=_url)
    """The server's address, with the ``/v1`` that most have at its end."""

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
        door = self._door("")
        origin = self._origin("")
        async with in_time(self._deadlines(), origin):
            with translated(origin, door):
                return await listed(await self._connections.client(door), origin)

    def secrets(self) -> tuple[Secret, ...]:
        """The key, wherever it comes from, and the headers."""
        return tuple(filter(None, (self._found_key(), *self.headers.values())))

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
        await self._connections.aclose()

    def body(self, request: Request, api: Api, stream: bool, enforce: bool) -> dict[str, Any]:
        """
        The body of one call; *enforce* says whether the server is to enforce the output's schema.

        Raises:
            BadRequest: an option cannot be sent.
        """
        if api == "responses":
            encrypted = self._matches(self.thinkers if self.sealers is None else self.sealers, request.model)
            body = responses.request_body(request, stream, self.name, encrypted=encrypted, enforce=enforce)
            return capped(body, "max_output_tokens", request.max_output)
        body = request_body(request, stream, self.name, thoughts=self.takes_thoughts, enforce=enforce)
        if "max_tokens" in body and self._address() == self.home:
            body.setdefault(self.output_cap, body.pop("max_tokens"))
        here = next((name for name in ("max_completion_tokens", "max_tokens") if name in body), None)
        name = here or (self.output_cap if self._address() == self.home else "max_tokens")
        return capped(body, name, request.max_output)

    async def _call(self, request: Request, emit: Emit | None) -> Completion:
        request, enforce = self._with_effort(request), self._enforces(request)
        async with in_time(self._deadlines(), self._origin(request.model)) as watch:
            try:
                return await self._send(request, emit, enforce, watch)
            except BadRequest as problem:
                if not enforce or isinstance(problem, ContextTooLong) or not _UNENFORCED.search(problem.problem):
                    raise
            return await self._send(request, emit, False, watch)  # the instructions ask for the schema, too

    async def _send(self, request: Request, emit: Emit | None, enforce: bool, watch: Watch) -> Completion:
        api, door, origin = self._api(), self._door(request.model), self._origin(request.model)
        content = self._content(self.body(request, api, emit is not None, enforce), request.model)
        assembler = ASSEMBLERS[api]
        with translated(origin, door):
            client = await self._connections.client(door)
            async with answered(client, assembler.path, content, watch if emit else None) as response:
                origin = attrs.evolve(origin, status=response.status_code, request_id=request_id(response.headers))
                return await read(response, assembler, origin, emit)

    def _deadlines(self) -> Deadlines:
        return Deadlines(first_token=self.first_token_timeout, idle=self.idle_timeout, total=self.timeout)

    def _origin(self, model: str) -> Origin:
        hint = f"Check the key in {self._key_names()}."
        return Origin(provider=self.name, model=model, api=CALLED[self._api()], key_hint=hint)

    def _content(self, body: dict[str, Any], model: str) -> bytes:
        try:
            return encode(body)
        except (TypeError, ValueError, RecursionError) as problem:
            raise BadRequest(
                problem=f"the request cannot be written as JSON: {problem}",
                provider=self.name,
                model=model,
                hint="Options and tool schemas hold only text, numbers, true, false, null, lists and tables.",
            ) from None

    def _api(self) -> Api:
        return self.api or (self.home_api if self._at_home() else "chat")

    def _enforces(self, request: Request) -> bool:
        if request.output is None or "response_format" in request.options or self.enforces == "never":
            return False
        return (self._at_home() and self.enforces == "always") or not request.tools

    @staticmethod
    def _matches(models: str, model: str) -> bool:
        return bool(models) and re.match(models, model) is not None

    def _with_effort(self, request: Request) -> Request:
        effort = os.environ.get(EFFORT, "none")
        if effort in ("", "none") or not self._matches(self.thinkers, request.model):
            return request
        if {"reasoning_effort", "reasoning"} & set(request.options):
            return request
        return attrs.evolve(request, options={"reasoning_effort": effort, **request.options})

    def _door(self, model: str) -> Door:
        return Door(
            base_url=self._address(),
            key=self._key(model),
            headers=tuple((name, secret.reveal()) for name, secret in self.headers.items()),
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
        )

    def _given(self) -> str | None:
        return self.base_url or (self.base_url_variable and os.environ.get(self.base_url_variable)) or None

    def _address(self) -> str:
        return self._given() or self.home

    def _at_home(self) -> bool:
        return self._given() is None

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
        return "api_key" if self.api_key else self.api_key_env or next(iter(self.key_variables), "api_key")


def capped(body: dict[str, Any], name: str, most: int | None) -> dict[str, Any]:
    """*body*, whose field *name* is *most* at most, if there is one."""
    if most is not None and not (type(body.get(name)) is int and body[name] <= most):
        body[name] = most
    return body
