"""
Which IP addresses may be reached: tables of our own.

From the special-purpose registries of IANA (RFC 6890 and after). Python's ``is_global`` will not do: what
it says of 192.0.0.8, 168.63.129.16, multicast or addresses inside addresses differs by version.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def _networks(*names: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, names))


METADATA = _networks(
    "169.254.0.0/16",  # link-local: AWS, Google, Azure, ECS, EKS and others
    "100.100.100.200/32",  # Alibaba
    "192.0.0.192/32",  # Oracle
    "168.63.129.16/32",  # Azure's wire server, in public space
    "fd00:ec2::/32",  # AWS
    "fd20:ce::254/128",  # Google
    "fd00:42::42/128",  # Scaleway
    "fe80::/10",  # link-local
)
"""Where clouds hand out credentials. Never reached, whatever is allowed."""

PRIVATE = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",  # carriers' NAT (RFC 6598)
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",  # unique local (RFC 4193)
)
"""This machine and private networks: reached only where the user says so."""

_SPECIAL = _networks(
    "0.0.0.0/8",  # "this network": Linux takes it for this machine
    "192.0.0.0/24",
    "192.0.2.0/24",  # documentation, as 198.51.100, 203.0.113, 2001:db8 and 3fff are
    "192.88.99.0/24",  # relays of 6to4
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "2001::/23",  # Teredo, ORCHID, benchmarks and other protocols
    "2001:db8::/32",
    "2002::/16",  # 6to4
    "3fff::/20",
)
_UNICAST = IPv6Network("2000::/3")
"""The part of IPv6 that is given out to the public; all else is refused."""

_NAT64 = IPv6Network("64:ff9b::/96")


def parse(text: str) -> Address:
    """
    The address that *text* is; an IPv4 address inside an IPv6 one (``::ffff:...``) comes out as what it is.

    Raises:
        ValueError: it is none, or names a zone.
    """
    if "%" in text:
        raise ValueError(f"{text!r} names a zone")
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def forbidden(address: Address, private: Iterable[Network] = (), blocked: Iterable[Network] = ()) -> str | None:
    """
    Why *address* may not be reached, in a few words; None if it may.

    *private* networks are let through as far as they lie in `PRIVATE`; *blocked* ones never.
    """
    if isinstance(address, IPv6Address) and address in _NAT64:  # stands for an IPv4 address, and leads there
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
        return "is a blocked address" if within(address, blocked) else forbidden(inner, private, blocked)
    if within(address, METADATA):
        return "is a link-local or metadata address"
    if within(address, blocked):
        return "is a blocked address"
    if within(address, PRIVATE):
        return None if within(address, private) else "is a private address"
    outside = isinstance(address, IPv6Address) and (address not in _UNICAST or _isatap(address))
    return "is not a public address" if outside or within(address, _SPECIAL) else None


def _isatap(address: IPv6Address) -> bool:
    """Whether the lower half holds an IPv4 address that a tunnel would lead to (RFC 5214)."""
    return int(address) >> 32 & 0xFDFFFFFF == 0x5EFE


def private_networks(private: bool | Iterable[str]) -> tuple[Network, ...]:
    """
    The networks that a setting names; all of `PRIVATE` for True.

    Raises:
        ValueError: a word that is no network, or one that lies in no private network.
    """
    if isinstance(private, bool):
        return PRIVATE if private else ()
    return tuple(_private(name) for name in private)


def _private(name: str) -> Network:
    network = ipaddress.ip_network(name)
    if not any(network.subnet_of(whole) for whole in PRIVATE if whole.version == network.version):  # type: ignore[arg-type]
        listing = ", ".join(map(str, PRIVATE))
        raise ValueError(f"{name!r} lies in no private network; private may name what lies in {listing}")
    return network
