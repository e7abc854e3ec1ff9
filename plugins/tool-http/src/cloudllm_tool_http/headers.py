"""Headers: those a model may set, and those the user gave for one origin, which nobody sees."""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from cloudllm_core import Secret

from .errors import Refused
from .hosts import Target

ALLOWED = (
    "accept", "accept-language", "content-type", "if-match", "if-modified-since", "if-none-match",
    "if-unmodified-since", "prefer", "range", "user-agent",
)  # fmt: skip
"""What a model may set unless the user says otherwise."""

CARRIED = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""Which of a model's headers go along when a redirect leads to another origin."""

_RESERVED = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-forwarded-for", "forwarded",
})  # fmt: skip
"""What the connection itself is made of, or what says for whom a request is made."""

LONGEST_VALUE = 8_192
SHORTEST = 6
"""Characters of a value that is struck out of answers; a shorter one stands in too many words."""

MOST_SHOWN, LONGEST_SHOWN = 100, 2_000
"""Of an answer: how many headers, and characters of each, a model reads."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_HIDDEN_ANSWERS = frozenset({"set-cookie", "set-cookie2"})
_ORIGIN = re.compile(r"(?:(https?)://)?(\[[0-9a-f:.]+\]|[^/:?#@\s]+)(?::(\d+))?/?", re.IGNORECASE)


def names(allowed: Iterable[str]) -> tuple[str, ...]:
    """*allowed* in lower case. Raises: ValueError: no header, or one that nobody may set."""
    if isinstance(allowed, str):
        raise ValueError(f"headers must be a list such as ['accept'], not {allowed!r}")
    lower = tuple(name.lower() for name in allowed)
    for name in lower:
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise ValueError(f"the header {name!r} cannot be left to a model")
    return lower


def checked(given: Mapping[str, Any], allowed: tuple[str, ...], url: str) -> dict[str, str]:
    """
    The headers that a model gave, by lower-case name.

    Raises:
        Refused: one that is not allowed, or a value that could become a header of its own.
    """
    found = {}
    for name, value in given.items():
        if name.lower() not in allowed:
            what = f"was not asked: the header {name[:60]!r} may not be set"
            raise Refused(url, what, f"These may: {', '.join(allowed)}.")
        if not isinstance(value, str) or len(value) > LONGEST_VALUE or not _VALUE.fullmatch(value):
            what = f"was not asked: the header {name!r} has a value that no header can have"
            raise Refused(url, what, f"Use one line of at most {LONGEST_VALUE:,} plain ASCII characters.")
        found[name.lower()] = value
    return found


class Credentials:
    """
    Headers for some origins, such as keys: sent there over the connection the user named, and shown nowhere.

    ``{"api.example.com": {"Authorization": "Bearer ${TOKEN}"}}``: a bare host means https at its usual
    port; write ``http://host:8080`` for another origin. ``${TOKEN}`` is read from the environment when
    it is sent. A value may be a `Secret`.
    """

    __slots__ = ("_headers",)

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Raises: ValueError: no origin, or no headers; the sentence shows no value."""
        self._headers: dict[tuple[str, str, int], dict[str, Secret]] = {}
        for origin, headers in given.items():
            found = _ORIGIN.fullmatch(origin)
            if not found:
                raise ValueError("credentials must be headers by host or origin, such as 'api.example.com'")
            scheme, host = (found[1] or "https").lower(), found[2].strip("[]").lower().removesuffix(".")
            if not isinstance(headers, Mapping):
                raise ValueError(f"credentials for {host!r} must be a table of headers")
            port = int(found[3] or (443 if scheme == "https" else 80))
            self._headers[scheme, host, port] = dict(_secret(host, *item) for item in headers.items())

    def __repr__(self) -> str:
        return f"Credentials({len(self._headers)})"

    def headers_for(self, target: Target) -> dict[str, str]:
        """
        What is sent to *target*.

        Raises:
            Refused: a variable of the environment is not set, or holds what no header can.
        """
        return {name: _filled(value, target) for name, value in self._headers.get(target.origin, {}).items()}

    def secrets(self) -> Iterator[Secret]:
        """Each value, and what of it is secret by itself."""
        for headers in self._headers.values():
            for name, value in headers.items():
                yield from (Secret(piece, name) for piece in _pieces(value.reveal()) if len(piece) >= SHORTEST)

    def redact(self, text: str) -> str:
        """*text* without any of the values, however a server may have spelt them when it echoed them."""
        ways = (str, quote, quote_plus, html.escape, lambda value: json.dumps(value)[1:-1])
        found = {way(secret.reveal()): secret.name for secret in self.secrets() for way in ways}
        for value in sorted(found, key=len, reverse=True):
            text = text.replace(value, f"secret:{found[value]}")
        return text


def _secret(host: str, name: str, value: Secret | str) -> tuple[str, Secret]:
    secret = value if isinstance(value, Secret) else Secret(value, name.lower())
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED or not isinstance(secret.reveal(), str):
        raise ValueError(f"credentials for {host!r}: {name!r} is no header that can be given")
    if not _VALUE.fullmatch(secret.reveal()):
        raise ValueError(f"credentials for {host!r}: the value of {name!r} is none a header can have")
    return name.lower(), secret


def _filled(value: Secret, target: Target) -> str:
    text = value.reveal()
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            what = f"was not asked: the environment has no {name}, which a header for it needs"
            raise Refused(target.url, what, f"Ask the user to set {name}.")
        if not _VALUE.fullmatch(os.environ[name]):
            what = f"was not asked: {name} in the environment holds what no header can"
            raise Refused(target.url, what, f"Ask the user to set {name} to one line of plain ASCII.")
    return _VARIABLE.sub(lambda found: os.environ[found[1]], text)


def _pieces(value: str) -> Iterator[str]:
    """What of a header's value is secret: all of it, what follows its scheme, and a password inside."""
    value = _VARIABLE.sub(lambda found: os.environ.get(found[1], ""), value)
    scheme, _, rest = value.partition(" ")
    yield value
    yield rest
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(rest).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        yield pair
        yield pair.partition(":")[2]


def told(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """An answer's headers for a model: no cookies, repeated ones joined, none without end."""
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in _HIDDEN_ANSWERS or (key not in found and len(found) >= MOST_SHOWN):
            continue
        text = f"{found[key]}, {text}" if key in found else text
        found[key] = text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
    return found
