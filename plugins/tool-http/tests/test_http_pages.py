"""HTML becomes Markdown, whatever the page, in time that grows as the page does."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_tool_http.pages import markdown

TAGS = ("<a ", "<a href=x>", "<!--", "<!", "<![CDATA[", "</", "<a b='", '<a b="', "<?", "&", "&#", "&#9", "<p>", "</p>",
        "<b>", "<ul><li>", "</ul>", "<ol>", "<table><tr><td>", "</tr>", "<pre>", "</pre>", "<script>", "</script>",
        "<", ">", '"', "'", " ", "\n", "x", "İ", "< ", "<img alt='y'>", "<h1>", "<svg", "<br>")  # fmt: skip


@pytest.mark.parametrize(("page", "text"), [
    ("", ""),
    ("plain  text\n here", "plain text here"),
    ("<!doctype html><html><head><title>T</title></head><body>Hi</body></html>", "Hi"),
    ("<h1>One</h1><h3>Three <i>x</i></h3>y", "# One\n\n### Three *x*\n\ny"),
    ("<p>a<p>b</p>\n\n<div>c</div>", "a\n\nb\n\nc"),
    ("a<br>b<br/>c", "a\nb\nc"),
    ('see <a href="https://a.example/?x=1&amp;y=2">that <b>page</b></a>.',
     "see [that **page**](https://a.example/?x=1&y=2)."),
    ("<a href=/near>n</a> <A HREF='#x'>m</A> <a href='page.html'>p</a>", "[n](/near) [m](#x) [p](page.html)"),
    ("<a href='javascript:alert(1)'>x</a> <a name=y>z</a> <a href=' data:x'>w</a>", "x z w"),
    ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>d", "- a\n- b\n  - c\n\nd"),
    ("<ol><li>a<li>b</ol>", "1. a\n2. b"),
    ("<pre>  two\n    lines &lt;</pre>after", "```\n  two\n    lines <\n```\n\nafter"),
    ("<table><tr><th>a<th>b</tr><tr><td>1</td><td>2</td></tr></table>", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
    ("a<script>if (a < b) { x('</p>') }</script>b<STYLE>p{}</STYLE>c<!-- <p>no</p> -->d", "abcd"),
    ("<script>never closed", ""),
    ("<!-- never closed <p>", ""),
    ("1 < 2 &amp; 3 > 2 &copy; &#8364;", "1 < 2 & 3 > 2 © €"),
    ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"),
    ("<img src=x alt='a cat'> sat", "a cat sat"),
    ("unfinished <b", "unfinished <b"),
    ("<p>\n  spaced\n  <b> out </b>\n</p>", "spaced ** out **"),
])  # fmt: skip
def test_pages_become_markdown(page, text):
    """Headings, paragraphs, links, lists, tables, code and emphasis; no scripts, comments or scripts in links."""
    assert text == markdown(page)


@given(st.lists(st.sampled_from(TAGS), max_size=40).map("".join) | st.text())
def test_any_page_becomes_text(page):
    """However broken, a page becomes text, not much longer than it was."""
    assert len(markdown(page)) <= 100 + 60 * len(page)


def test_long_pages_are_cut():
    """Of a page that nobody could read to its end, the beginning is read, and it says so."""
    assert "x" * 1_000_000 + "\n\n[The page goes on.]" == markdown("x" * 1_000_001)


@pytest.mark.parametrize("unit", [*TAGS, *map("".join, itertools.product(("<ul>", "<li>", "<td>"), ("<pre>", "<a>")))])
def test_hostile_pages_take_no_longer(unit):
    """A page of one thing over and over is done at once: a parser that looked back would take minutes."""
    for end in ("", ">", "-->"):
        page = unit * (10_000 // len(unit)) + end
        assert len(markdown(page)) <= 100 + 60 * len(page)
