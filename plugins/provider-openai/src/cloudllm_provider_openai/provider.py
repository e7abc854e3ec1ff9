"""OpenAI's two APIs as a provider."""

from __future__ import annotations

import os
import re
from typing import Any, ClassVar, Literal, TypeAlias

import attrs

from cloudllm_core import Completion, Request
from cloudllm_core.errors import BadRequest, ContextTooLong, SettingsError
from cloudllm_provider_http import EFFORT, Door, HTTPProvider, Origin, Watch

from .connection import connect
from .listing import LONGEST, names
from .reading import Assembler, read
from .wire import CALLED, Assembly, Emit, encode, failure, request_body, responses

Api: TypeAlias = Literal["responses", "chat"]
ASSEMBLERS: dict[Api, Assembler] = {"chat": Assembly, "responses": responses.Assembly}

_UNENFORCED = re.compile(r"json|schema|response_format|text\.format|structured|grammar", re.IGNORECASE)
"""Words in which a server refuses to enforce a schema."""


def _known(instance: Any, attribute: Any, value: str | None) -> None:
    if value not in (None, "responses", "chat"):
        raise SettingsError("api", repr(value), "'responses' or 'chat'")


@attrs.define(eq=False, kw_only=True)
class OpenAI(HTTPProvider):
    """
    Models of OpenAI, or of any server with a Chat Completions API.

    A provider of another name on the same wires extends this class and changes the class variables, or `body`.
    """

    name: ClassVar[str] = "openai"
    home: ClassVar[str] = "https://api.openai.com/v1"
    home_api: ClassVar[Api] = "responses"
    """The API that is used there unless ``api`` says otherwise; other addresses get Chat Completions."""

    key_variables: ClassVar[tuple[str, ...]] = ("OPENAI_API_KEY", "OPEN_AI_SECRET", "OPENAI_KEY")
    request_ids: ClassVar[tuple[str, ...]] = ("x-request-id", "request-id", "apim-request-id")
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

    _connect = staticmethod(connect)
    _encode = staticmethod(encode)
    _failure = staticmethod(failure)

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
        async with self._in_time(self._origin(request.model)) as watch:
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
        async with self._asked(door, assembler.path, origin, content, watch if emit else None) as (response, heard):
            return await read(response, assembler, heard, emit)

    async def _listed(self, door: Door, origin: Origin) -> tuple[str, ...]:
        return names(await self._page(door, origin, LONGEST, "/models"), origin)

    def _origin(self, model: str) -> Origin:
        return Origin(provider=self.name, model=model, api=CALLED[self._api()], key_hint=self._key_hint())

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

    def _at_home(self) -> bool:
        return self._given() is None


def capped(body: dict[str, Any], name: str, most: int | None) -> dict[str, Any]:
    """*body*, whose field *name* is *most* at most, if there is one."""
    if most is not None and not (type(body.get(name)) is int and body[name] <= most):
        body[name] = most
    return body
