"""The five tools: what a model gives, what goes over the wire, and what it reads."""

from __future__ import annotations

import asyncio
import json

import pytest

from cloudllm_core import Agent, ToolContext, ToolResult
from cloudllm_core.errors import CloudLLMError
from cloudllm_core.testing import ScriptedProvider
from cloudllm_core.testing import call as call_to
from cloudllm_tool_http import Http, HttpError, Refused

CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)
URL = "http://public.example/p"


def call(net, tool, arguments, **settings):
    """The result of one call on *net*."""

    async def main():
        web = Http(resolve=net.resolve, dial=net.dial, **settings)
        try:
            return await web.call(tool, arguments, CONTEXT)
        finally:
            await web.aclose()

    return asyncio.run(main())


def heard(net):
    """What was sent first: the line, the headers by name, and the body."""
    lines, _, body = b"".join(net.heard).partition(b"\r\n\r\n")
    first, *headers = lines.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in headers), body


def answer(body, *lines, status=200):
    return "\r\n".join((f"HTTP/1.1 {status} X", *lines, f"Content-Length: {len(body)}", "", "")).encode() + body


def test_the_tools_say_what_they_do():
    """Reading repeats freely, replacing and deleting change nothing more, sending does; all reach the network."""
    tools = Http().tools()

    effects = {"http_get": "read", "http_post": "write", "http_put": "idempotent", "http_delete": "idempotent",
               "http_patch": "write"}  # fmt: skip
    assert effects == {tool.name: tool.effect for tool in tools}
    assert {(("network",), True, 35.0)} == {(tool.needs, tool.untrusted, tool.timeout) for tool in tools}
    with_body = [tool.name for tool in tools if "body" in tool.parameters["properties"]]
    assert ["http_post", "http_put", "http_patch"] == with_body


def test_what_the_user_vouches_for_is_trusted():
    """Only with a list of hosts; a model reads which they are."""
    tools = Http(["example.com"], trusted=True).tools()

    assert {False} == {tool.untrusted for tool in tools}
    assert "Only these hosts: example.com." in tools[0].parameters["properties"]["url"]["description"]
    with pytest.raises(ValueError, match=r"trusted=True needs a list of hosts to trust: allow=\['example\.com'\]"):
        Http(trusted=True)


@pytest.mark.parametrize(("tool", "line"), [
    ("http_get", "GET /p HTTP/1.1"), ("http_post", "POST /p HTTP/1.1"), ("http_put", "PUT /p HTTP/1.1"),
    ("http_delete", "DELETE /p HTTP/1.1"), ("http_patch", "PATCH /p HTTP/1.1"),
])  # fmt: skip
def test_each_tool_is_its_method(net, tool, line):
    """A call without more sends the line, the host and no body."""
    result = call(net, tool, {"url": URL})

    first, headers, body = heard(net)
    assert (line, "public.example", b"") == (first, headers["host"], body)
    assert "content-type" not in headers
    assert {"status": 200, "body": "ok", "headers": {"content-type": "text/plain", "content-length": "2"}} == result


@pytest.mark.parametrize(("body", "sent", "kind"), [
    ("plain", b"plain", "text/plain; charset=utf-8"),
    ("grün", "grün".encode(), "text/plain; charset=utf-8"),
    ('{"a": 1}', b'{"a": 1}', "application/json"),
    ("{not json", b"{not json", "text/plain; charset=utf-8"),
    ({"a": [1, "ü"]}, '{"a": [1, "ü"]}'.encode(), "application/json"),
    ([1], b"[1]", "application/json"),
    (7, b"7", "application/json"),
    (False, b"false", "application/json"),
])  # fmt: skip
def test_bodies_go_as_they_are_meant(net, body, sent, kind):
    """Text is sent as it is, never wrapped into JSON again; any other value as JSON."""
    call(net, "http_post", {"url": URL, "body": body})

    _, headers, told = heard(net)
    assert (sent, kind, str(len(sent))) == (told, headers["content-type"], headers["content-length"])


def test_a_model_may_say_the_type(net):
    """The type a model gives stands, once."""
    call(net, "http_put", {"url": URL, "body": "a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}})

    assert "application/x-www-form-urlencoded" == heard(net)[1]["content-type"]
    assert 1 == b"".join(net.heard).lower().count(b"content-type")


@pytest.mark.parametrize(("url", "query", "path"), [
    (URL, {"q": "a b&c=d", "ü": "€"}, "/p?q=a+b%26c%3Dd&%C3%BC=%E2%82%AC"),
    (URL + "?x=1#part", {"n": 3, "yes": True}, "/p?x=1&n=3&yes=true"),
    ("http://public.example", {"a": ["b", "c"]}, "/?a=b&a=c"),
    (URL + "?", None, "/p?"),
    ("http://public.example/ü?ä", None, "/%C3%BC?%C3%A4"),
])  # fmt: skip
def test_queries_are_encoded(net, url, query, path):
    """Parameters are added to those of the address, before its fragment, and cannot become anything else."""
    call(net, "http_get", {"url": url, **({"query": query} if query else {})})

    assert f"GET {path} HTTP/1.1" == heard(net)[0]


@pytest.mark.parametrize(("body", "lines", "text"), [
    (b'{"n": 12345678901234567890.10}', ["Content-Type: application/json"], '{"n": 12345678901234567890.10}'),
    ("é".encode("latin-1"), ["Content-Type: text/html; charset=ISO-8859-1"], "é"),
    ("é".encode("cp1252"), ['Content-Type: text/plain; charset="windows-1252"'], "é"),
    ("日本".encode("shift_jis"), ["Content-Type: text/plain; charset=Shift_JIS"], "日本"),
    ("日本".encode("utf-16"), ["Content-Type: text/plain"], "日本"),
    ("\ufeffé".encode(), ["Content-Type: text/plain; charset=latin-1"], "é"),
    (b'<meta charset="latin-1">' + b"\xe9", ["Content-Type: text/html"], '<meta charset="latin-1">é'),
    (b"\xff\xfe\xfd"[2:] + b"x", ["Content-Type: text/plain"], "\ufffdx"),
    (b"a" * 50, ["Content-Type: text/plain; charset=punycode"], "a" * 50),
    (b"a", ["Content-Type: text/plain; charset=zlib"], "a"),
    (b"a", ["Content-Type: text/plain; charset=no_such_thing"], "a"),
    (b"a", ["Content-Type: text/plain; charset=undefined"], "a"),
    (b"key: 1", ["Content-Type: application/octet-stream"], "key: 1"),
    (b"said", [], "said"),
    (b"<svg/>", ["Content-Type: image/svg+xml"], "<svg/>"),
    (b"\x89PNG\r\n", ["Content-Type: image/png"], "(6 bytes of image/png, which are not text)"),
    (b"PK\x03\x04\x00", ["Content-Type: application/zip"], "(5 bytes of application/zip, which are not text)"),
    (b"\xff\xfe\xfd\x00", [], "(4 bytes of an unknown type, which are not text)"),
])  # fmt: skip
def test_bodies_become_text(net, body, lines, text):
    """By the charset they name, if it is a plain one; what is no text is described, not shown."""
    if not lines and b"\0" in body:
        body = body[2:] + b"\x00\x00"  # no byte order mark
    net.answers.append(answer(body, *lines))

    assert text == call(net, "http_get", {"url": URL})["body"]


def test_headers_come_back_bounded(net):
    """Repeated ones are joined, long ones cut, the hundred-and-first left out."""
    lines = ["A: 1", "a: 2", "Long: " + "x" * 3000, *(f"H{number}: x" for number in range(200))]
    net.answers.append(answer(b"", *lines))
    headers = call(net, "http_get", {"url": URL})["headers"]

    assert ("1, 2", 100, 2000) == (headers["a"], len(headers), len(headers["long"]))


@pytest.mark.parametrize("name", [
    "Host", "Content-Length", "Transfer-Encoding", "Connection", "Authorization", "Cookie", "Proxy-Authorization",
    "Accept-Encoding", "X-Forwarded-For", "X-Api-Key", "Expect", "", "A B", "accept:", "Accept\r\nX: y", "Ａccept",
])  # fmt: skip
def test_other_headers_are_refused(net, name):
    """F106: a model sets what is on the list, and nothing that the connection or an identity is made of."""
    with pytest.raises(Refused, match=r"was not asked: the header .* may not be set. These may: accept, "):
        call(net, "http_get", {"url": URL, "headers": {name: "x"}})
    assert [] == net.dialled


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", " a", "a ", "é", "\ud800", "x" * 9000, 7, None])
def test_values_stay_in_their_line(net, value):
    """F106: nothing in a value begins another header."""
    with pytest.raises(Refused, match="was not asked: the header 'Accept' has a value that no header can have"):
        call(net, "http_get", {"url": URL, "headers": {"Accept": value}})
    assert [] == net.dialled


def test_the_list_of_headers_can_be_chosen(net):
    """What the user lists may be set, and only that; what the connection is made of cannot be listed."""
    call(net, "http_get", {"url": URL, "headers": {"X-Version": "2"}}, headers=["X-Version"])
    assert "2" == heard(net)[1]["x-version"]

    with pytest.raises(Refused):
        call(net, "http_get", {"url": URL, "headers": {"Accept": "*/*"}}, headers=["X-Version"])
    with pytest.raises(ValueError, match="the header 'host' cannot be left to a model"):
        Http(headers=["Host"])
    with pytest.raises(ValueError, match=r"headers must be a list such as \['accept'\], not 'accept'"):
        Http(headers="accept")


def test_line_breaks_in_addresses_are_refused(net):
    """F106: an address cannot hold a header, nor can a query."""
    with pytest.raises(Refused, match=r"holds the character U\+000D, which no address may"):
        call(net, "http_get", {"url": f"{URL}\r\nX: y"})
    call(net, "http_get", {"url": URL, "query": {"q": "\r\nX: y"}})
    assert "GET /p?q=%0D%0AX%3A+y HTTP/1.1" == heard(net)[0]


@pytest.mark.parametrize(("status", "method", "then"), [
    (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (307, "POST", "POST"), (308, "PATCH", "PATCH"),
    (301, "PUT", "PUT"), (302, "DELETE", "DELETE"), (303, "PUT", "GET"), (303, "GET", "GET"),
])  # fmt: skip
def test_redirects_keep_or_drop_the_method(net, status, method, then):
    """As RFC 9110 and browsers have it: POST becomes GET but for 307 and 308; after 303 everything does."""
    body = {"body": "said"} if method in {"POST", "PUT", "PATCH"} else {}
    call(net.redirect(status, "/there"), f"http_{method.lower()}", {"url": URL, **body})

    requests = b"".join(net.heard).decode()
    first, second = (part.partition(" ") for part in requests.split(" HTTP/1.1\r\n")[:2])
    assert method == first[0]
    assert requests.count(f"{then} /there HTTP/1.1\r\n") == 1
    assert requests.count("said") == (0 if not body else 2 if then == method else 1)
    assert second


@pytest.mark.parametrize("tool", ["http_post", "http_put", "http_patch", "http_delete"])
def test_nothing_is_carried_to_another_site(net, tool):
    """F107: a request that changes something is not repeated where a redirect says."""
    with pytest.raises(Refused) as refusal:
        call(net.redirect(307, "http://other.example/"), tool, {"url": URL})

    what = f"redirects to another site, and a {tool[5:].upper()} is not carried there"
    remedy = "Send it to that site itself, if it is meant for it."
    assert f"'http://public.example' {what}. {remedy}" == str(refusal.value)
    assert ["public.example"] == net.asked


def test_own_headers_stay_with_their_site(net):
    """F107: of what a model set, only what says how to answer goes along to another site."""
    arguments = {"url": URL, "headers": {"Accept-Language": "de", "If-None-Match": '"etag"', "X-Session": "mine"}}
    call(net.redirect(302, "http://other.example/"), "http_get", arguments,
         headers=["accept-language", "if-none-match", "x-session"])  # fmt: skip

    first, second = b"".join(net.heard).decode().split("\r\n\r\n")[:2]
    assert "x-session: mine" in first
    assert "accept-language: de" in second
    assert "mine" not in second
    assert "etag" not in second


def test_bodies_have_a_size(net):
    """A body beyond the limit is not sent, nor is one that no encoding takes."""
    with pytest.raises(HttpError, match="was not asked: the body has more than the 10 bytes allowed. Send less."):
        call(net, "http_post", {"url": URL, "body": "x" * 11}, max_bytes=10)
    with pytest.raises(HttpError, match="was not asked: the body cannot be encoded. Send plain text or JSON."):
        call(net, "http_post", {"url": URL, "body": "\ud800"})
    assert [] == net.dialled


def test_html_can_come_as_markdown(net):
    """With the setting on, a page is Markdown; what is no page stays as it is."""
    page = b"<h1>Tides</h1><p>Ebb <b>and</b> flow.</p>"
    for kind, text in (("text/html; charset=utf-8", "# Tides\n\nEbb **and** flow."), ("text/plain", page.decode())):
        net.answers.append(answer(page, f"Content-Type: {kind}", "Connection: close"))
        assert text == call(net, "http_get", {"url": URL}, markdown=True)["body"]


def test_settings_come_from_a_table():
    """A team file's table makes the tools; a mistake in it is told with its place."""
    web = Http.from_settings({
        "allow": ["example.com"], "private": ["10.0.0.0/8"], "ports": [443], "timeout": 5, "trusted": True,
        "credentials": {"example.com": {"X-Api-Key": "${KEY}"}},
    })  # fmt: skip
    assert (("example.com",), (443,), 5) == (web.allow, web.ports, web.timeout)

    for settings, sentence in (
        ({"allwo": []}, "Did you mean 'allow'?"),
        ({"allow": ["a b"]}, "write a host or network, such as"),
        ({"allow": "example.com"}, ""),
        ({"private": ["8.8.8.8"]}, "lies in no private network"),
        ({"schemes": ["ftp"]}, "schemes: found ['ftp'], expected in ('https', 'http')."),
        ({"ports": ["80"]}, ""),
        ({"timeout": 0}, ""),
        ({"credentials": {"https://a/b": {}}}, "expected headers by host or origin"),
    ):
        with pytest.raises(CloudLLMError) as problem:
            Http.from_settings(settings)
        assert sentence in str(problem.value)


def test_an_agent_reads_answers_and_refusals(net):
    """In an agent's turn a page is a result, and so is a refusal, told as an error that says what to do."""
    web = Http(resolve=net.resolve, dial=net.dial)
    net.answers.append(answer(b'{"tide": "low"}', "Content-Type: application/json"))
    model = ScriptedProvider([call_to("http_get", url=URL), call_to("http_get", url="http://169.254.169.254/")], "done")
    asyncio.run(Agent("ada", model, tools=[web]).send("What is the tide?"))
    results = [part for part in model.requests[1].messages[-1].parts if isinstance(part, ToolResult)]

    assert {"tide": "low"} == json.loads(json.loads(results[0].content)["body"])
    assert "'http://169.254.169.254' is a link-local or metadata address. Use a public address." in results[1].content
