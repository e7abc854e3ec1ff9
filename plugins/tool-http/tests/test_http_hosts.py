"""Which hosts may be named."""

# ruff: noqa: ISC004 -- long sentences in tables

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_tool_http import Http, Refused
from cloudllm_tool_http.hosts import Names, Rules, literal

labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=2, max_size=4).map(".".join).filter(lambda host: literal(host) is None)


def rules(**settings):
    given = {"allow": None, "block": (), "ports": (80, 443), "schemes": ("https", "http"), "private": False}
    return Rules.of(**(given | settings))


@given(hosts, labels, st.randoms())
def test_a_name_stands_for_itself_and_all_below(host, label, dice):
    """`example.com` is that host and all below it, however it is written; nothing that only ends alike."""
    names = Names.of([mangled(host, dice)])

    assert host in names
    assert f"{label}.{host}" in names
    assert f"{label}{host}" not in names
    assert host.partition(".")[2] not in names


@given(hosts, labels, st.randoms())
def test_a_star_stands_for_what_is_below(host, label, dice):
    """`*.example.com` is all below it and not the host itself."""
    names = Names.of([f"*.{mangled(host, dice)}"])

    assert host not in names
    assert f"{label}.{host}" in names


def mangled(host, dice):
    """*host* in letters of any size, with or without a dot at its end."""
    return "".join(dice.choice([each.upper(), each]) for each in host) + dice.choice(["", "."])


@given(hosts, st.randoms())
def test_a_target_is_named_in_one_way(host, dice):
    """Case and a dot at the end are gone before anything is compared."""
    target = rules(private=True).target(f"https://{mangled(host, dice)}/")

    assert (host, 443, host) == (target.host, target.port, target.authority)


@pytest.mark.parametrize("host", ["EVIL.com", "evil.com.", "sub.evil.com", "a.b.evil.com", "evil.com:8443"])
def test_the_block_list_knows_every_spelling(host):
    """What the list blocks stays blocked in capitals, with a dot, from below; it beats the allow list."""
    with pytest.raises(Refused, match="is on the list of blocked hosts"):
        rules(block=["evil.com"], allow=["evil.com"], ports=(443, 8443)).target(f"https://{host}/")


def test_the_allow_list_shuts_out_the_rest():
    """With an allow list, everything else is refused: by name, as an address, and with a like name."""
    some = rules(allow=["example.com", "93.184.216.0/24", "Bücher.example"])

    for url in ("http://example.com", "http://www.example.com", "http://93.184.216.34", "http://xn--bcher-kva.example"):
        assert some.target(url)
    for url in ("http://example.org", "http://notexample.com", "http://example.com.evil.net", "http://8.8.8.8"):
        with pytest.raises(Refused, match="is not on the list of allowed hosts"):
            some.target(url)


def test_a_rule_may_be_written_in_any_language():
    """International names compare by their ASCII form."""
    assert "xn--bcher-kva.example" in Names.of(["BÜCHER.example"])
    assert "a.xn--bcher-kva.example" in Names.of(["*.bücher.example"])


@pytest.mark.parametrize("entry", ["", "*", "https://a.example", "a.example/b", "a b", "0x7f.1", "1.2.3", "*.*.a"])
def test_a_rule_that_means_nothing_is_refused(entry):
    """A mistake in a list is found when the tools are made, not by what slips through."""
    with pytest.raises(ValueError, match="write a host or network, such as"):
        Names.of([entry])


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://a.example/", "'ftp://a.example' is of the scheme 'ftp'. Only https and http can be used."),
        ("a.example/x", "'...' has no scheme. Only https and http can be used."),
        ("http:///x", "'http://' names no host. Write it as https://host/path."),
        ("http://u:p@a.example/", "'http://a.example' holds a user's name or password. "
                                  "Leave out what stands before the '@'."),
        ("http://a.example:22/", "'http://a.example:22' names the port 22. Only these can be used: 80, 443."),
        ("http://printer/", "'http://printer' is a name of some private network. "
                            "Use a host that the public can reach."),
        ("http://a.b.internal/", "'http://a.b.internal' is a name of some private network. "
                                 "Use a host that the public can reach."),
        ("http://10.0.0.1/", "'http://10.0.0.1' is a private address. Use a public address."),
        ("http://127.1/", "'http://127.1' is an odd spelling of an address. "
                          "Write the host's plain name, or an address as four decimal numbers."),
        ("http://a.example\\@b.example/", "'http://a.example' holds the character U+005C, which no address may. "
                                          "Percent-encode it, or leave it out."),
        ("http://a.example/" + "x" * 9000, "'http://a.example' is longer than 8,192 characters. "
                                           "Send what it holds as a body."),
        ("http://[::1/", "'http://[::1' is no well-formed address. Write it as https://host/path."),
        ("http://a..example/", "'http://a..example' has no name that a host can have. "
                               "Write the host's plain name, or an address as four decimal numbers."),
    ],
)  # fmt: skip
def test_refusals_say_what_and_what_to_do(url, sentence):
    """Each names where it was to go, without path or user, what is wrong, and the remedy."""
    with pytest.raises(Refused) as refusal:
        rules().target(url)
    assert sentence == str(refusal.value)


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text):
    """No text, however odd, raises anything else."""
    for url in (text, f"http://{text}", f"https://a.example/{text}"):
        try:
            target = rules().target(url)
        except Refused:
            continue
        assert target.host.isascii()
        assert target.path.startswith(b"/")


def test_names_of_a_private_network_come_with_it():
    """Where private networks are open, their names are too; the addresses are judged all the same."""
    web = Http(private=["10.0.0.0/8"])

    assert web._rules.target("http://printer/")
    assert web._rules.target("http://10.0.0.1/")
    with pytest.raises(Refused, match="is a private address"):
        web._rules.target("http://192.168.0.1/")
