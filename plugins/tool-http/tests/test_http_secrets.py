"""Credentials go where the user said, and are read by nobody."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import traceback

import pytest

from cloudllm_core import Secret
from cloudllm_tool_http import Http, HttpError, Refused

CANARY = 'canary-7Qp+/"x9='
KEYS = {"public.example": {"Authorization": f"Bearer {CANARY}"}, "http://public.example": {"X-Api-Key": CANARY}}


def get(net, *urls, **settings):
    """What GETs of *urls* come to, one after the other: results or errors."""

    async def main():
        web = Http(resolve=net.resolve, dial=net.dial, **{"credentials": KEYS, **settings})
        results = []
        for url in urls:
            try:
                results.append(await web.request("GET", url))
            except HttpError as problem:
                results.append(problem)
        await web.aclose()
        return results

    return asyncio.run(main())


def sent(net):
    """The heads of all requests."""
    return [head.decode() for head in b"".join(net.heard).split(b"\r\n\r\n") if head]


def test_each_origin_gets_its_own(net):
    """A host's credentials go over https to that host; those of an origin to that origin; others get none."""
    get(
        net,
        "https://public.example/",
        "http://public.example/",
        "https://other.example/",
        "http://public.example:8080/",
    )
    tls, plain, other, port = sent(net)

    assert f"authorization: Bearer {CANARY}" in tls
    assert "x-api-key" not in tls
    assert f"x-api-key: {CANARY}" in plain
    assert "authorization" not in plain
    assert CANARY not in other + port


@pytest.mark.parametrize("way", [
    ["https://other.example/"], ["https://other.example/", "https://public.example/back"], ["https://public.example:8443/"],
])  # fmt: skip
def test_redirects_leave_them_behind(net, way):
    """F107: after a redirect to another origin they are not sent, not even once it leads back."""
    for location in way:
        net.redirect(302, location)
    assert 200 == get(net, "https://public.example/")[0]["status"]

    first, *rest = sent(net)
    assert CANARY in first
    assert len(way) == len(rest)
    assert not [head for head in rest if CANARY in head]


def test_nobody_is_led_to_a_host_that_has_some(net):
    """A page cannot make its reader call another host with that host's credentials."""
    get(net.redirect(302, "https://public.example/delete"), "https://other.example/")

    assert not [head for head in sent(net) if CANARY in head]


def test_a_redirect_within_keeps_them(net):
    """On the same origin they are sent again."""
    get(net.redirect(302, "/next"), "https://public.example/")

    assert [True, True] == [CANARY in head for head in sent(net)]


def test_a_model_cannot_set_what_the_user_gave(net):
    """Where both set a header, the user's stands."""

    async def main():
        web = Http(resolve=net.resolve, dial=net.dial, credentials=KEYS, headers=["authorization"])
        await web.request("GET", "https://public.example/", headers={"Authorization": "mine"})
        await web.aclose()

    asyncio.run(main())
    assert f"authorization: Bearer {CANARY}" in sent(net)[0]
    assert "mine" not in sent(net)[0]


@pytest.mark.parametrize("spell", [
    lambda text: text, lambda text: text.replace('"', '\\"'), lambda text: text.replace('"', "&quot;"),
    lambda text: "".join(f"%{ord(each):02X}" if each in '+/"=' else each for each in text),
    lambda text: text.replace("+", "%2B").replace('"', "%22").replace("=", "%3D"),
])  # fmt: skip
def test_echoes_are_struck_out(net, spell):
    """F114: a server that says back what it was sent gives nothing away, in body or headers."""
    body = f"you sent {spell(CANARY)}!".encode()
    net.answers.append(b"HTTP/1.1 200 X\r\nEcho: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
                       % (spell(CANARY).encode(), len(body), body))  # fmt: skip
    (result,) = get(net, "https://public.example/")

    assert "canary" not in str(result)
    assert re.fullmatch(r"you sent secret:(authorization|x-api-key)!", result["body"])


def test_a_password_is_struck_out_of_basic(net):
    """Of basic credentials the password is secret by itself."""
    pair = base64.b64encode(b"ada:canary-password").decode()
    net.answers.append(b"HTTP/1.1 200 X\r\nContent-Length: 15\r\n\r\ncanary-password")
    (result,) = get(net, "https://public.example/", credentials={"public.example": {"Authorization": f"Basic {pair}"}})

    assert "secret:authorization" == result["body"]


def test_no_repr_or_error_shows_them(net, caplog):
    """F114: neither reprs, nor errors with their tracebacks, nor logs hold a secret, of headers or of addresses."""
    caplog.set_level(logging.INFO)
    web = Http(credentials=KEYS)
    told = [repr(web), str(web), repr(web.credentials), repr(list(web.secrets()))]
    net.deaf.add("93.184.216.34")
    for url in ("https://public.example/canary?key=canary#canary", "http://canary:canary@public.example/",
                "https://10.0.0.1/canary", "ftp:canary", "//canary@x/canary"):  # fmt: skip
        (problem,) = get(net, url)
        told += [repr(problem), *traceback.format_exception(problem)]

    assert [] == [text for text in told if "canary" in text]
    assert "canary" not in caplog.text


def test_they_may_stand_in_the_environment(net, monkeypatch):
    """`${NAME}` is read when it is sent; it is struck out as well; without it, nothing is asked."""
    keys = {"public.example": {"Authorization": "Bearer ${CANARY_TOKEN}"}}
    (refusal,) = get(net, "https://public.example/", credentials=keys)
    what = "'https://public.example' was not asked: the environment has no CANARY_TOKEN, which a header for it needs"
    assert isinstance(refusal, Refused)
    assert f"{what}. Ask the user to set CANARY_TOKEN." == str(refusal)
    assert [] == net.dialled

    monkeypatch.setenv("CANARY_TOKEN", "canary-from-outside")
    net.answers.append(b"HTTP/1.1 200 X\r\nContent-Length: 19\r\n\r\ncanary-from-outside")
    (result,) = get(net, "https://public.example/", credentials=keys)
    assert "authorization: Bearer canary-from-outside" in sent(net)[0]
    assert "secret:authorization" == result["body"]

    monkeypatch.setenv("CANARY_TOKEN", "canary\r\nX: y")
    (refusal,) = get(net, "https://public.example/", credentials=keys)
    assert "canary" not in str(refusal)
    assert "holds what no header can" in str(refusal)


def test_the_kernel_is_told_what_is_secret():
    """`secrets` names each value, and what of it is secret by itself; a `Secret` may be given as well."""
    web = Http(
        credentials={"a.example": {"Authorization": "Bearer long-enough", "X-Key": Secret("hidden-one"), "N": "1"}}
    )

    assert {"Bearer long-enough", "long-enough", "hidden-one"} == {secret.reveal() for secret in web.secrets()}
    assert {"authorization", "x-key"} == {secret.name for secret in web.secrets()}


@pytest.mark.parametrize(("given", "sentence"), [
    ({"a b": {}}, "credentials must be headers by host or origin, such as 'api.example.com'"),
    ({"https://u:canary@a.example": {}}, "credentials must be headers by host or origin, such as 'api.example.com'"),
    ({"a.example": "canary"}, "credentials for 'a.example' must be a table of headers"),
    ({"a.example": {"Host": "canary"}}, "credentials for 'a.example': 'Host' is no header that can be given"),
    ({"a.example": {"X": 7}}, "credentials for 'a.example': 'X' is no header that can be given"),
    ({"a.example": {"X": "canary\n"}}, "credentials for 'a.example': the value of 'X' is none a header can have"),
])  # fmt: skip
def test_mistakes_are_told_without_the_values(given, sentence):
    """What is wrong with credentials is said by host and header."""
    with pytest.raises(ValueError) as problem:  # noqa: PT011 -- the whole sentence is compared
        Http(credentials=given)
    assert sentence == str(problem.value)


def test_the_environment_is_not_asked(net, monkeypatch, tmp_path):
    """F105: no proxy, netrc or certificate of the environment has any say."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine public.example login ada password canary\n", "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    get(net, "https://public.example/", "http://other.example/", credentials={})

    assert [("93.184.216.34", 443), ("1.1.1.1", 80)] == net.dialled
    assert not [head for head in sent(net) if "authorization" in head]
