"""
HTTP requests as tools.

`hosts` says where a request may go, judged as text; `door` makes the connection and checks the address
there; `client` follows redirects, each by the same rules; `bodies` and `headers` bound what comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

import attrs

from cloudllm_core import Secret, ToolContext, ToolDefinition, ToolProtocol

from .bodies import sent
from .errors import HttpError
from .headers import ALLOWED, Credentials, checked, names, told
from .hosts import Rules
from .pages import markdown
from .tools import METHODS, definition

if TYPE_CHECKING:
    from .client import Answer, Pools
    from .door import Dial, Resolve


def _hidden(given: Mapping[str, Any]) -> Credentials:
    return Credentials(given)


def _strings(given: Sequence[str]) -> Sequence[str]:
    return given if isinstance(given, str) else tuple(given)  # a string is refused where it is understood


def _numbers(given: Sequence[int]) -> tuple[int, ...]:
    return tuple(given)


def _private(given: bool | Sequence[str]) -> bool | tuple[str, ...]:
    return given if isinstance(given, bool) else (given,) if isinstance(given, str) else tuple(given)


@attrs.define(eq=False)
class Http(ToolProtocol):
    """
    Tools that ask public web servers, and nobody else.

    A name is looked up once, all its addresses are checked, and one of those is dialled; redirects go the
    same way. No proxies, netrc or cookies are used. Answers of any status are results; a refusal or
    failure is an `HttpError`.
    """

    name: ClassVar[str] = "http"

    allow: Sequence[str] | None = attrs.field(default=None, converter=attrs.converters.optional(_strings))
    """Hosts that may be asked; None is all public ones, and an empty list is none. ``example.com`` includes what is
    below it, ``*.example.com`` is only that; addresses and networks may stand here too."""

    block: Sequence[str] = attrs.field(default=(), converter=_strings)
    """Hosts that may not be asked, whatever *allow* says; networks are looked for among a name's addresses."""

    private: bool | Sequence[str] = attrs.field(default=False, kw_only=True, converter=_private)
    """Whether private networks and this machine may be reached, or which of them (``["10.1.0.0/16"]``)."""

    ports: tuple[int, ...] = attrs.field(
        default=(80, 443, 8080, 8443),
        kw_only=True,
        converter=_numbers,
        validator=attrs.validators.deep_iterable(attrs.validators.instance_of(int)),
    )
    schemes: Sequence[str] = attrs.field(
        default=("https", "http"),
        kw_only=True,
        converter=_strings,
        validator=attrs.validators.deep_iterable(attrs.validators.in_(("https", "http"))),
    )
    headers: tuple[str, ...] = attrs.field(default=ALLOWED, kw_only=True, converter=names)
    """Headers that a model may set."""

    credentials: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True, repr=False, converter=_hidden)
    """Headers per host, such as keys, which nobody sees: ``{"api.example.com": {"Authorization": "Bearer ${KEY}"}}``
    with ``KEY`` from the environment. A host means https; write ``http://host:8080`` for another origin."""

    timeout: float = attrs.field(default=30.0, kw_only=True, validator=attrs.validators.gt(0))
    """Seconds for all of a request: looking up, connecting, redirects, and the last byte."""

    max_bytes: int = attrs.field(default=10 * 2**20, kw_only=True, validator=attrs.validators.ge(1))
    """The largest body, sent or received, also after inflating."""

    max_redirects: int = attrs.field(default=5, kw_only=True, validator=attrs.validators.ge(0))
    """How many are followed; with 0, a redirect is the result."""

    markdown: bool = attrs.field(default=False, kw_only=True)
    """Whether HTML comes as Markdown, which is shorter and reads better."""

    trusted: bool = attrs.field(default=False, kw_only=True)
    """Whether you vouch for what the hosts in *allow* say; else results are text from outside the team."""

    resolve: Resolve | None = attrs.field(default=None, kw_only=True, repr=False)
    """Looks names up instead of the system; what it finds is checked all the same."""

    dial: Dial | None = attrs.field(default=None, kw_only=True, repr=False)
    """Connects to a checked address instead of the system."""

    _rules: Rules = attrs.field(init=False, repr=False)
    _pools: Pools | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._rules = Rules.of(self.allow, self.block, self.ports, self.schemes, self.private)
        if self.trusted and not self.allow:
            raise ValueError("trusted=True needs a list of hosts to trust: allow=['example.com']")

    def tools(self) -> Sequence[ToolDefinition]:
        return [definition(method, self.allow or (), self.timeout, untrusted=not self.trusted) for method in METHODS]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        methods = {f"http_{method.lower()}": method for method in METHODS}
        if tool not in methods:
            raise HttpError("", f"was not asked: there is no tool {tool!r}", f"There are {', '.join(methods)}.")
        return await self.request(methods[tool], **arguments)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> dict[str, Any]:
        """
        Make one request; the answer, of whatever status, as ``{status, body, headers}`` with the body as text.

        Args:
            method: GET, POST, PUT, DELETE or PATCH.
            url: The address, public and without a user.
            headers: By name; only those of the setting *headers*.
            query: Added to the address's own.
            body: Text, sent as it is; or any other JSON, sent as JSON.

        Raises:
            Refused: the rules do not let it go there. HttpError: there is no answer to be had.
        """
        try:
            async with asyncio.timeout(self.timeout):
                answer = await self._exchange(method, url, headers or {}, query or {}, body)
                text = await self._text(answer)
        except TimeoutError:
            what = f"gave no whole answer within {self.timeout:g} seconds"
            raise HttpError(url, what, "Try again later, or ask for less.") from None
        redact = self._credentials.redact
        found = {name: redact(value) for name, value in told(answer.headers).items()}
        return {"status": answer.status, "body": redact(text), "headers": found}

    def secrets(self) -> Iterable[Secret]:
        return self._credentials.secrets()

    async def aclose(self) -> None:
        """Close the connections of every event loop; the next request opens others."""
        if self._pools is not None:
            await self._pools.aclose()

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, Any], body: Any
    ) -> Answer:
        from .client import Exchange, Pools
        from .door import Door

        target = self._rules.target(_with_query(url, query))
        given = checked(headers, self.headers, url)
        try:
            content, content_type = sent(body, given.pop("content-type", None))
        except (ValueError, RecursionError):
            raise HttpError(url, "was not asked: the body cannot be encoded", "Send plain text or JSON.") from None
        if len(content) > self.max_bytes:
            what = f"was not asked: the body has more than the {self.max_bytes:,} bytes allowed"
            raise HttpError(url, what, "Send less.")
        if self._pools is None:
            self._pools = Pools(Door(self._rules, self.resolve, self.dial))
        return await Exchange(
            pools=self._pools,
            rules=self._rules,
            credentials=self._credentials,
            max_bytes=self.max_bytes,
            max_redirects=self.max_redirects,
            method=method,
            target=target,
            headers=given,
            content=content,
            content_type=content_type,
        ).run()

    async def _text(self, answer: Answer) -> str:
        text = answer.body.text()
        return await asyncio.to_thread(markdown, text) if self.markdown and answer.body.is_html else text

    @property
    def _credentials(self) -> Credentials:
        assert isinstance(self.credentials, Credentials)
        return self.credentials


def _with_query(url: str, query: Mapping[str, Any]) -> str:
    if not query:
        return url
    pairs = [(name, each) for name, value in query.items() for each in (value if isinstance(value, list) else [value])]
    words = urlencode([(name, str(each).lower() if isinstance(each, bool) else each) for name, each in pairs])
    address = url.partition("#")[0]
    return f"{address}{'&' if '?' in address else '?'}{words}"
