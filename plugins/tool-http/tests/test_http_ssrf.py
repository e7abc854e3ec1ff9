"""F103: no URL, name, redirect or resolver makes the tools dial where they must not; what is legitimate passes."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from pathlib import Path

import pytest

from cloudllm_tool_http import Http, HttpError, Refused, door
from cloudllm_tool_http.addresses import forbidden, parse

LOOK_UP = door.look_up  # before the tests take it away
DATA = Path(__file__).parents[3].parent / "shared" / "data" / "ssrf.json"
CASES = json.loads(DATA.read_text("utf-8"))["cases"] if DATA.is_file() else []

V4 = ("0x7f.1", "0x7f.0.0.1", "127.1", "127.0.1", "0177.1", "0177.0.0.01", "017700000001", "2130706433", "0x7f000001",
      "127.0.0.1.", "00000000177.0.0.1", "127.0.0.1:80", "1.1.1.256", "256.256.256.256", "0", "0x", "08", "127.0x0.1",
      "4294967296", "169.254.43518", "[::ffff:a9fe:a9fe]", "[::]", "[0:0:0:0:0:ffff:7f00:1]", "[64:ff9b::7f00:1]",
      "[2002:7f00:1::]", "[2001::7f00:1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[v1.a]", "[127.0.0.1]", "①②⑦.⓪.⓪.①",
      "127。0。0。1", "ⓛocalhost", "localhost", "LOCALHOST.", "a.localhost", "%6cocalhost", "127.0.0.1%00.a.example",
      "metadata.google.internal", "metadata", "kubernetes.default.svc.cluster.local")  # fmt: skip
ODD = ("http://a@127.0.0.1/", "http://public.example@127.0.0.1/", "http://127.0.0.1@public.example/",
       "http://public.example:80@127.0.0.1/", "http://public.example#@127.0.0.1/ ", "//127.0.0.1/", "http:/127.0.0.1/",
       "http://\t127.0.0.1/", "http://public.example\r\nHost: 127.0.0.1/", "hTTp://127.0.0.1/", "http://:80/", "", " ",
       "unix:///var/run/docker.sock", "http+unix://x/", "ws://public.example/", "http://public.example:65536/",
       "http://public.example:22/", "http://public.example:80:80/", "http://public.example:٨٠٠/")  # fmt: skip


def play(net, url, **settings):
    """What one GET of *url* comes to on *net*: the result, or the error."""

    async def main():
        web = Http(resolve=net.resolve, dial=net.dial, **settings)
        try:
            return await web.request("GET", url)
        except HttpError as problem:
            return problem
        finally:
            await web.aclose()

    return asyncio.run(main())


def strangers(net):
    """Whom *net* saw dialled and should not have: judged by `ipaddress` too, not by our tables alone."""
    return [
        (address, port)
        for address, port in net.dialled
        if forbidden(parse(address)) or not ipaddress.ip_address(address).is_global or port not in (80, 443, 8080)
    ]


@pytest.mark.skipif(not CASES, reason=f"the collected payloads are not part of the project; none at {DATA}")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_collected_payloads(case, make_net):
    """Each is refused without a forbidden dial, or reaches the addresses it may."""
    net = make_net(case.get("dns", {}))
    for status, location in case.get("redirects", ()):
        net.redirect(status, location)
    result = play(net, case["url"])

    assert [] == strangers(net)
    assert ("block" == case["expect"]) == isinstance(result, HttpError), result
    if "allow" == case["expect"]:
        assert net.dialled
        assert {address for address, _ in net.dialled} <= set(case.get("must_dial", [a for a, _ in net.dialled]))


@pytest.mark.parametrize("host", V4)
def test_no_spelling_of_a_special_address_is_dialled(host, net):
    """However an address or the name of this machine is written, nothing is looked up or dialled."""
    assert isinstance(play(net, f"http://{host}/"), Refused)
    assert ([], []) == (net.asked, net.dialled)


@pytest.mark.parametrize("url", ODD)
def test_no_trick_of_a_parser_is_dialled(url, net):
    """Addresses that two parsers would read differently are refused."""
    assert isinstance(play(net, url), Refused)
    assert ([], []) == (net.asked, net.dialled)


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:10.0.0.1"], ["fe80::1%2"]])
def test_one_bad_address_spoils_a_name(answer, make_net):
    """A name is refused if any of its addresses is; which one it is, is not told."""
    net = make_net({"mixed.example": [answer]})
    refusal = play(net, "http://mixed.example/")

    assert isinstance(refusal, Refused)
    assert [] == net.dialled
    what = "'http://mixed.example' leads to an address that may not be reached. Use a host that the public can reach."
    assert what.partition(". ")[0] == str(refusal).partition(". ")[0]


def test_an_answer_that_changes_wins_nothing(make_net):
    """DNS rebinding: the name is asked for once, and the address that was checked is the one dialled."""
    net = make_net({"rebind.example": [["93.184.216.34"], ["169.254.169.254"]]})

    assert 200 == play(net, "http://rebind.example/")["status"]
    assert ["rebind.example"] == net.asked
    assert [("93.184.216.34", 80)] == net.dialled


def test_a_rebinding_name_is_checked_on_its_second_connection(make_net):
    """Each connection is checked for itself: an answer that was good before does not vouch for the next."""
    net = make_net({"rebind.example": [["93.184.216.34"], ["127.0.0.1"]]}).redirect(302, "https://rebind.example/")

    assert isinstance(play(net, "http://rebind.example/"), Refused)
    assert [("93.184.216.34", 80)] == net.dialled


@pytest.mark.parametrize("location", [
    "http://127.0.0.1/", "//10.0.0.1/x", "http://0x7f.1/", "http://localhost/", "http://private.example/",
    "http://[::1]/", "gopher://public.example/", "http://u:p@public.example/", "http://public.example:22/", "http:///",
    "http://public.example\\@10.0.0.1/",
])  # fmt: skip
@pytest.mark.parametrize("hops", [0, 1, 4])
def test_redirects_pass_the_same_door(location, hops, make_net):
    """After any number of good hops, a bad one is refused, and where it led is not told."""
    net = make_net({"public.example": [["93.184.216.34"]], "private.example": [["10.9.8.7"]]})
    for number in range(hops):
        net.redirect(302, f"/{number}")
    refusal = play(net.redirect(307, location), "http://public.example/")

    assert isinstance(refusal, Refused)
    assert {("93.184.216.34", 80)} == set(net.dialled)
    assert not [word for word in ("127.0.0.1", "10.0.0.1", "10.9.8.7", "::1") if word in str(refusal)]


def test_redirects_are_counted(net):
    """The fifth is followed, the sixth is not; with none allowed, the redirect is the result."""
    for number in range(5):
        net.redirect(302, f"/{number}")
    assert 200 == play(net, "http://public.example/")["status"]

    for number in range(6):
        net.redirect(302, f"/{number}")
    problem = play(net, "http://public.example/")
    what = "'http://public.example' redirects more than 5 times. Use the address it leads to, if you know it."
    assert what == str(problem)

    net.answers.clear()
    result = play(net.redirect(301, "http://127.0.0.1/"), "http://public.example/", max_redirects=0)
    assert (301, "http://127.0.0.1/") == (result["status"], result["headers"]["location"])


def test_lists_hold_for_redirects(net):
    """A redirect leads nowhere that the lists do not allow."""
    refusal = play(net.redirect(302, "http://other.example/"), "http://public.example/", allow=["public.example"])

    assert "'http://public.example' redirects to an address that is not on the list of allowed hosts" in str(refusal)
    assert [("93.184.216.34", 80)] == net.dialled


def test_https_is_not_left(net):
    """From https to http nobody is led."""
    refusal = play(net.redirect(302, "http://public.example/"), "https://public.example/")

    assert "redirects from https to http, where anyone could read along" in str(refusal)
    assert [("93.184.216.34", 443)] == net.dialled


def test_tls_is_spoken_with_the_name(net):
    """The checked address is dialled; the certificate and the Host header are those of the name."""
    assert 200 == play(net, "https://PUBLIC.example./p?q=1")["status"]

    assert [("93.184.216.34", 443)] == net.dialled
    assert ["public.example"] == net.names
    assert net.heard[0].startswith(b"GET /p?q=1 HTTP/1.1\r\nhost: public.example\r\n")


def test_blocked_networks_are_looked_for_behind_names(net):
    """A network on the block list is refused whatever name leads there."""
    assert isinstance(play(net, "http://public.example/", block=["93.184.216.0/24"]), Refused)
    assert [] == net.dialled


def test_further_addresses_are_tried(make_net):
    """Where one address of a name does not answer, the next is dialled; all were checked before."""
    net = make_net({"two.example": [["2606:4700::1", "93.184.216.34"]]})
    net.deaf.add("2606:4700::1")

    assert 200 == play(net, "http://two.example/")["status"]
    assert [("2606:4700::1", 80), ("93.184.216.34", 80)] == net.dialled


def test_a_name_without_addresses_is_told(net):
    """A name that does not exist is told from one that may not be reached."""
    what = "'http://nobody.example' has no address. Check the spelling of the host."
    assert what == str(play(net, "http://nobody.example/"))


def test_the_system_gives_plain_addresses():
    """What the system finds are addresses as they are written; its failure is an OSError, as the door expects."""
    assert ["127.0.0.1"] == asyncio.run(LOOK_UP("127.0.0.1"))


def test_an_empty_list_allows_nobody(net):
    """A list that came out empty closes, it does not open."""
    assert isinstance(play(net, "http://public.example/", allow=[]), Refused)
    assert [] == net.dialled


@pytest.mark.parametrize(("url", "own"), [("http://127.0.0.1/", True), ("http://public.example/", False)])
def test_a_refusal_of_ours_exposes_nobody(net, url, own):
    """As long as no server has had a say in it: one that was led somewhere may hold a name of the server's choice."""
    refusal = play(net.redirect(302, "http://127.0.0.1/"), url)

    assert own is refusal.own_words
