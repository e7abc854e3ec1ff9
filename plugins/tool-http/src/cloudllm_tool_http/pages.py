"""
HTML as Markdown, in one pass over the page.

Written here and not taken from a library: those at hand build on a parser that takes five seconds for
20 KB of ``<a ``, and four times as long for twice as much. This one never looks at a character twice, so
a page cannot hold anybody up. It reads what people write; what nobody writes comes out as text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import suppress

import attrs

_UNSEEN = frozenset({"script", "style", "noscript", "template", "svg", "head", "iframe", "object", "select"})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
    "form", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul",
})  # fmt: skip
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "code": "`", "del": "~~"}
_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9]*")
_HREF = re.compile(r"\bhref\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_SAFE = re.compile(r"https?:|mailto:|[^:]*(?:[/?#]|$)", re.IGNORECASE)
LONGEST = 1_000_000
"""Characters of a page that are read; no model reads more."""

DEEPEST = 20
"""Lists within lists that are still set in."""

LONGEST_TAG = 2_048
"""Characters of a tag that are looked at for its attributes."""


def markdown(page: str) -> str:
    """The text of *page*, with its headings, links, lists, tables and emphasis."""
    sheet = Sheet()
    for kind, text in _pieces(page[:LONGEST]):
        if kind:
            sheet.tag(kind, text)
        else:
            sheet.say(_plain(text))
    return "".join(sheet.out).strip() + ("\n\n[The page goes on.]" if len(page) > LONGEST else "")


def _pieces(page: str) -> Iterator[tuple[str, str]]:
    """The texts (named ``""``) and tags of *page*: the name, with ``/`` before it if it closes, and the whole tag."""
    lower, here = page.lower(), 0
    if len(lower) != len(page):  # a few letters grow; then names are found in lower case only
        lower = page
    while (start := page.find("<", here)) >= 0:
        yield "", page[here:start]
        name = _NAME.match(lower, start + 1)
        if page.startswith("<!--", start):
            end = page.find("-->", start)
            here = len(page) if end < 0 else end + 3
            continue
        if not name and page[start + 1 : start + 2] not in {"!", "?", "/"}:
            yield "", "<"
            here = start + 1
            continue
        if (end := page.find(">", start)) < 0:
            here = start
            break
        here = end + 1
        if name and name[0] in _UNSEEN:
            close = lower.find(f"</{name[0]}", end)
            here = len(page) if close < 0 else close
        elif name:
            yield name[0], page[start : min(end, start + LONGEST_TAG)]
    yield "", page[here:]


def _plain(text: str) -> str:
    with suppress(ValueError):  # a character with a number too long to read stays as it is written
        text = html.unescape(text)
    return text


@attrs.define
class Sheet:
    """What has been written so far, and where in the page it stands."""

    out: list[str] = attrs.Factory(list)
    gap: int = 0
    """Line breaks due before the next word."""

    prefix: str = ""
    """What begins the next line: a list's mark, a heading's."""

    lists: list[int] = attrs.Factory(list)
    """For each open list, the number of its next item; 0 if it has none."""

    links: list[str] = attrs.Factory(list)
    cells: int = 0
    rows: int = 0
    verbatim: bool = False

    def say(self, text: str) -> None:
        if self.verbatim:
            self._write(text)
        elif words := " ".join(text.split()):
            before = " " if text[0].isspace() and not self.gap and self.out and not self.out[-1].endswith(" ") else ""
            self._write(before + words + (" " if text[-1].isspace() else ""))
        elif text and not self.gap and self.out and not self.out[-1].endswith((" ", "\n")):
            self.out.append(" ")

    def tag(self, name: str, whole: str) -> None:
        plain = name.removeprefix("/")
        closes = plain != name
        if plain in _BLOCKS:
            self._block(plain, closes)
        elif plain == "li":
            self._item(closes)
        elif plain in {"tr", "td", "th"}:
            self._table(plain, closes)
        elif plain in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            self._break(2)
            self.prefix = "" if closes else "#" * int(plain[1]) + " "
        elif plain == "br":
            self._break(1)
        elif self.verbatim:
            return
        elif plain in _MARKS:
            self._write(_MARKS[plain])
        elif plain == "a":
            self._link(closes, whole)
        elif plain == "img" and (found := _ALT.search(whole)):
            self.say(_plain(found[1] or found[2] or ""))

    def _block(self, name: str, closes: bool) -> None:
        if name in {"ul", "ol"}:
            if closes and self.lists:
                self.lists.pop()
            elif not closes:
                self.lists.append(int(name == "ol"))
            self._break(1 if len(self.lists) > (not closes) else 2)
        elif name == "pre" and closes == self.verbatim:
            self._break(1 if closes else 2)
            self._write("```")
            self.verbatim = not closes
            self._break(2 if closes else 1)
        elif name == "table":
            self.rows = self.cells = 0
            self._break(2)
        else:
            self._break(2 if not self.lists else 1)

    def _item(self, closes: bool) -> None:
        self._break(1)
        if not closes:
            number = self.lists[-1] if self.lists else 0
            if number:
                self.lists[-1] += 1
            self.prefix = "  " * min(max(len(self.lists) - 1, 0), DEEPEST) + (f"{number}. " if number else "- ")

    def _table(self, name: str, closes: bool) -> None:
        if name != "tr":
            if not closes:
                self._write("| " if not self.cells else " | ")
                self.cells += 1
        elif not closes:
            self._break(1)
        elif self.cells:
            self._write(" |" + "\n|" + " --- |" * self.cells if not self.rows else " |")
            self.rows, self.cells = self.rows + 1, 0
            self._break(1)

    def _link(self, closes: bool, whole: str) -> None:
        if closes:
            href = self.links.pop() if self.links else ""
            self._write(f"]({href})" if href else "")
            return
        found = _HREF.search(whole)
        href = _plain(next(filter(None, found.groups()), "")) if found else ""
        href = "" if set("()<> \n") & set(href) or not _SAFE.match(href) else href
        self.links.append(href)
        self._write("[" if href else "")

    def _break(self, lines: int) -> None:
        self.gap = max(self.gap, lines)

    def _write(self, text: str) -> None:
        if not text:
            return
        if self.gap and self.out:
            self.out.append("\n" * self.gap)
        self.out.append(self.prefix + text)
        self.gap, self.prefix = 0, ""
