"""Which hosts, ports and schemes a request may name: checked as text, before anything is looked up."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress

import attrs

from .addresses import Address, Network, forbidden, parse, private_networks, within
from .errors import Refused

LONGEST_URL = 8_192
"""Characters of an address."""

_UNSPEAKABLE = re.compile("[\x00-\x20\x7f-\x9f\\\\\ud800-\udfff]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL = {"arpa", "corp", "home", "internal", "intranet", "lan", "local", "localdomain", "localhost", "private", "svc"}
"""Endings of names that mean something in one network only (RFC 6761, 6762, 8375, and custom)."""

_WRITE = "Write it as https://host/path."


@attrs.frozen(kw_only=True)
class Target:
    """Where one request goes, taken apart once: what was checked is what is dialled."""

    url: str = attrs.field(repr=False)
    scheme: str
    host: str
    """In ASCII and lower case, without a dot at its end or brackets."""

    port: int
    path: bytes = attrs.field(repr=False)
    """As it goes over the wire, with the query."""

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}.get(self.scheme) else f"{host}:{self.port}"


@attrs.frozen
class Names:
    """
    A list of hosts.

    ``example.com`` is that host and all below it; ``*.example.com`` those below it only; an address or a
    network (``8.8.8.0/24``) the addresses in it. Case, a dot at the end and the spelling of international
    names make no difference.
    """

    exact: frozenset[str]
    below: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> Names:
        """Raises: ValueError: an entry that is neither a host, nor an address or network."""
        if isinstance(entries, str):
            raise ValueError(f"hosts must be a list such as ['example.com'], not {entries!r}")
        exact, below, networks = set[str](), set[str](), list[Network]()
        for entry in entries:
            with suppress(ValueError):
                networks.append(ipaddress.ip_network(entry.strip("[]")))
                continue
            name = _ascii(entry.removeprefix("*."))
            if problem := _name_problem(name):
                raise ValueError(
                    f"{entry!r} {problem}; write a host or network, such as '*.example.com' or '8.8.8.0/24'"
                )
            below.add(name)
            if not entry.startswith("*."):
                exact.add(name)
        return cls(frozenset(exact), frozenset(below), tuple(networks))

    def __bool__(self) -> bool:
        return bool(self.below or self.networks)

    def __contains__(self, host: object) -> bool:
        if not isinstance(host, str):
            return False
        if address := literal(host):
            return within(address, self.networks)
        parts = host.split(".")
        return host in self.exact or any(".".join(parts[n:]) in self.below for n in range(1, len(parts)))


@attrs.frozen(kw_only=True)
class Rules:
    """What the user said may be reached."""

    allow: Names | None
    """Nothing else, if there is such a list."""

    block: Names
    ports: tuple[int, ...]
    schemes: tuple[str, ...]
    private: tuple[Network, ...]

    @classmethod
    def of(cls, allow: Iterable[str] | None, block: Iterable[str], ports: Iterable[int], schemes: Iterable[str],
           private: bool | Iterable[str]) -> Rules:  # fmt: skip
        """Raises: ValueError: a setting that means nothing."""
        return cls(
            allow=None if allow is None else Names.of(allow),
            block=Names.of(block),
            ports=tuple(ports),
            schemes=tuple(schemes),
            private=private_networks(private),
        )

    def target(self, url: str, base: str | None = None) -> Target:
        """
        Take *url* apart, seen from *base* if it is a redirect's.

        Raises:
            Refused: it is malformed, or the rules do not let it through.
        """
        import httpx2

        if len(url) > LONGEST_URL:
            raise Refused(url, f"is longer than {LONGEST_URL:,} characters", "Send what it holds as a body.")
        if odd := _UNSPEAKABLE.search(url):
            what = f"holds the character U+{ord(odd[0]):04X}, which no address may"
            raise Refused(url, what, "Percent-encode it, or leave it out.")
        try:
            parsed = httpx2.URL(url)
            if base is not None and not parsed.scheme:
                parsed = httpx2.URL(base).join(parsed)
            host, port = parsed.raw_host.decode("ascii").removesuffix("."), parsed.port
        except (httpx2.InvalidURL, UnicodeError, ValueError):
            raise Refused(url, "is no well-formed address", _WRITE) from None
        if port is None:
            port = 443 if parsed.scheme == "https" else 80
        target = Target(url=str(parsed), scheme=parsed.scheme, host=host, port=port, path=parsed.raw_path)
        self._judge(url, target, with_user=bool(parsed.userinfo))
        return target

    def _judge(self, url: str, target: Target, with_user: bool) -> None:
        if target.scheme not in self.schemes:
            what = f"is of the scheme {target.scheme!r}" if target.scheme else "has no scheme"
            raise Refused(url, what, f"Only {' and '.join(self.schemes)} can be used.")
        if with_user:
            raise Refused(url, "holds a user's name or password", "Leave out what stands before the '@'.")
        if problem := self._host_problem(target.host):
            raise Refused(url, *problem)
        if target.port not in self.ports:
            listing = ", ".join(map(str, self.ports))
            raise Refused(url, f"names the port {target.port}", f"Only these can be used: {listing}.")
        if target.host in self.block:
            raise Refused(url, "is on the list of blocked hosts", "It cannot be used; look for another source.")
        if self.allow is not None and target.host not in self.allow:
            raise Refused(url, "is not on the list of allowed hosts", "Use a host that is on it, or ask the user.")

    def _host_problem(self, host: str) -> tuple[str, str] | None:
        if not host:
            return "names no host", _WRITE
        if address := literal(host):
            why = forbidden(address, self.private)
            return (why, "Use a public address.") if why else None
        if problem := _name_problem(host):
            return problem, "Write the host's plain name, or an address as four decimal numbers."
        local = "." not in host or host.rpartition(".")[2] in _LOCAL
        if local and not self.private:
            return "is a name of some private network", "Use a host that the public can reach."
        return None


def literal(host: str) -> Address | None:
    """The address that *host* is, written as addresses are; None if it is a name."""
    try:
        return parse(host)
    except ValueError:
        return None


def _name_problem(name: str) -> str | None:
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # systems take 0x7f.1, 017700000001 or 2130706433 for an address
        return "is an odd spelling of an address"
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        return "has no name that a host can have"
    return None


def _ascii(name: str) -> str:
    if not name.isascii():
        import httpx2  # so that a rule is read as an address is

        try:
            name = httpx2.URL(f"http://{name}/").raw_host.decode("ascii")
        except httpx2.InvalidURL:
            return ""
    return name.lower().removesuffix(".")
