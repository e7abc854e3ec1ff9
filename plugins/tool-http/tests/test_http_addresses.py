"""Which addresses may be reached."""

from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_tool_http.addresses import METADATA, PRIVATE, forbidden, parse, private_networks, within

PUBLIC = ("8.8.8.8", "93.184.216.34", "100.63.255.254", "100.128.0.1", "172.15.255.255", "172.32.0.1", "11.0.0.1",
          "192.167.255.255", "198.17.255.255", "198.20.0.1", "223.255.255.255", "2606:4700:4700::1111", "2a00::1",
          "2001:200::1", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8", "3fff:1000::1")  # fmt: skip
NOT_PUBLIC = ("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255",
              "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.8",
              "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
              "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
              "168.63.129.16", "100.100.100.200", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1",
              "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
              "64:ff9b:1::1", "100::1", "2001::1", "2001:0:53aa:64c:0:0:0:1", "2001:2::1", "2001:20::1",
              "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "4000::1", "fc00::1",
              "fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "fe80::1", "fec0::1", "ff02::1",
              "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1")  # fmt: skip

EXTRA = (
    "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "224.0.0.0/4", "64:ff9b::/96", "2001::/23", "2002::/16",
    "3fff::/20", "::/3", "4000::/2", "8000::/1",
)  # fmt: skip
"""What Python calls global, in one version or another, and is refused all the same; beside ISATAP."""

addresses = st.one_of(
    st.ip_addresses(),  # special ranges often
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    st.integers(2**125, 2**126 - 1).map(ipaddress.IPv6Address),
)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_may_be_reached(text):
    """What is given out to the public is open, up to the edges of what is not."""
    assert forbidden(parse(text)) is None


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_special_addresses_may_not(text):
    """Loopback, private, carriers', link-local, multicast, documentation, reserved, and those hidden in IPv6."""
    assert forbidden(parse(text))


@given(addresses)
def test_nothing_is_open_that_python_calls_closed(address):
    """An address that `ipaddress` knows not to be global is never reached."""
    if not within(address, [ipaddress.ip_network("64:ff9b::/96")]) and forbidden(parse(str(address))) is None:
        assert parse(str(address)).is_global


@given(addresses)
def test_nothing_else_is_closed(address):
    """A global address is refused only if it lies in the documented extra ranges, or leads into a tunnel."""
    address = parse(str(address))
    if address.is_global and forbidden(address):
        extra = [ipaddress.ip_network(name) for name in EXTRA]
        assert within(address, extra) or (6 == address.version and "5efe" in address.exploded)


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_address_inside_another_is_judged_as_itself(inner):
    """Mapped and NAT64 addresses are open exactly where the IPv4 address inside is; 6to4 and Teredo never."""
    number = int(inner)
    assert bool(forbidden(inner)) == bool(forbidden(parse(f"::ffff:{inner}")))
    assert bool(forbidden(inner)) == bool(forbidden(ipaddress.IPv6Address((0x64FF9B << 96) | number)))
    assert forbidden(ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1))
    assert forbidden(ipaddress.IPv6Address((0x20010000 << 96) | number))


@given(st.sampled_from(METADATA), st.integers(0, 1000))
def test_metadata_is_never_open(network, seed):
    """Where clouds hand out credentials stays shut even with all private networks open."""
    address = network[random.Random(seed).randrange(network.num_addresses)]

    assert "is a link-local or metadata address" == forbidden(address, PRIVATE)


def test_private_networks_open_by_name():
    """Those the user names are open, their neighbours are not."""
    some = private_networks(["10.1.0.0/16", "127.0.0.1"])

    assert forbidden(parse("10.1.255.9"), some) is None
    assert forbidden(parse("127.0.0.1"), some) is None
    assert forbidden(parse("::ffff:127.0.0.1"), some) is None
    assert "is a private address" == forbidden(parse("10.2.0.1"), some)
    assert "is a private address" == forbidden(parse("127.0.0.2"), some)
    assert "is not a public address" == forbidden(parse("0.0.0.0"), private_networks(True))


@pytest.mark.parametrize("name", ["0.0.0.0/0", "::/0", "8.8.8.8", "169.254.169.254", "10.0.0.0/7"])
def test_only_private_networks_can_be_opened(name):
    """`private` names private networks; all else is open or shut by itself."""
    with pytest.raises(ValueError, match="lies in no private network; private may name what lies in 10.0.0.0/8, "):
        private_networks([name])


def test_blocked_networks_are_shut():
    """A network on the user's list is refused, hidden or not."""
    blocked = [ipaddress.ip_network("8.8.8.0/24")]

    for text in ("8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808"):
        assert "is a blocked address" == forbidden(parse(text), (), blocked)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "0x7f.1", "127.1", "0177.0.0.1", "2130706433", "", "a"])
def test_only_plain_spellings_are_addresses(text):
    """What only some systems take for an address is none."""
    with pytest.raises(ValueError, match="zone|does not appear to be an IPv4 or IPv6 address"):
        parse(text)
