"""
The commands in a line of bash, as far as they can be read with certainty.

This is not bash's grammar but a careful part of it: words with their quotes, pipelines, lists, subshells,
substitutions, here-documents, ``if``, ``while`` and ``for``. Whatever is beyond that (arithmetic, ``case``,
functions, arrays, ``[[``) raises `UnclearError`; so what comes back is all that the line runs.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import attrs

RESERVED = frozenset({"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "!", "{", "}", "time"})
BEYOND = frozenset({"case", "function", "select", "coproc", "[[", "esac"})
ENDS = " \t\n;&|()<>"

_NAME = re.compile(r"\$(?:\w+|[?#@*!$-])|\$\{#?\w+(?:(?::?[-+?]|%%?|##?)[\w./*-]*)?\}")
_REDIRECTION = re.compile(r"&>>?|<<<|<<-?|>>|>&|>\||<&|<>|<|>")
_SPLIT = re.compile(r"[$<>{`]\\\n")
_SEPARATOR = re.compile(r"\|\||&&|\|&|[|&;]")


DEEPEST = 8
"""Commands within commands; more would take its time to read, and nobody writes it."""


class UnclearError(ValueError):
    """What a line runs cannot be told by reading it; the message says where."""


@attrs.frozen
class Word:
    """One word of a command, its quotes taken away."""

    text: str
    certain: bool = True
    """Whether this is what the program will get: nothing in it is expanded."""

    bare: bool = True
    """Whether it stands there without quotes; only such words are reserved, or assign."""


Command: TypeAlias = list[Word]


def commands(source: str, depth: int = 0) -> list[Command]:
    """
    All commands of *source*, those of its substitutions and subshells included.

    Args:
        source: a line of bash, or several.
        depth: how deep in others it was found; see `DEEPEST`.

    Raises:
        UnclearError: there is something in it whose meaning is not certain.
    """
    if _SPLIT.search(source):
        raise UnclearError("a line is continued in the midst of an operator")
    reader = _Reader(source, depth)
    reader.read_list("")
    return reader.found


@attrs.define
class _Reader:
    source: str
    depth: int
    at: int = 0
    found: list[Command] = attrs.Factory(list[Command])
    _documents: list[tuple[str, bool, bool]] = attrs.Factory(list[tuple[str, bool, bool]])
    """Here-documents that begin with the next line: how each ends, whether it is literal, whether tabs are cut."""

    def peek(self, count: int = 1) -> str:
        return self.source[self.at : self.at + count]

    def read_list(self, closing: str) -> None:
        """Commands, up to *closing* or the end."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnclearError(f"it is nested more than {DEEPEST} deep")
        current: Command = []
        waiting = len(self._documents)
        while True:
            char = self.peek()
            if char and char in " \t":
                self.at += 1
            elif self.peek(2) == "\\\n":
                self.at += 2
            elif char == "#":
                self.at = self._until("\n")
            elif not char or char == closing:
                if closing and not char:
                    raise UnclearError(f"a {closing!r} is missing")
                if closing and len(self._documents) > waiting:
                    raise UnclearError("a here-document begins after the end of its command")
                self._end(current)
                self.at += len(char)
                self.depth -= 1
                return
            elif char == "\n":
                self.at += 1
                current = self._end(current)
                self._read_documents()
            elif char == "(":
                if current or self.peek(2) == "((":
                    raise UnclearError("it holds a function, an array or arithmetic")
                self.at += 1
                self.read_list(")")
                current = []
            elif char == ")":
                raise UnclearError("a ')' stands where none is expected")
            elif match := self._redirection():
                self._redirect(match)
            elif match := _SEPARATOR.match(self.source, self.at):
                self.at = match.end()
                current = self._end(current)
            else:
                self._take(current, self.read_word())

    def _redirection(self) -> re.Match[str] | None:
        return None if self.peek(2) in ("<(", ">(") else _REDIRECTION.match(self.source, self.at)

    def _take(self, current: Command, word: Word) -> None:
        if word.bare and word.text.isdigit() and self.peek() in ("<", ">") and self.peek():
            return  # the number of a descriptor
        if not current and word.bare and word.text in BEYOND:
            raise UnclearError(f"{word.text!r} is not read here")
        if current or not word.bare or word.text not in RESERVED:
            current.append(word)

    def _end(self, current: Command) -> Command:
        if current and current[0].bare and current[0].text == "for":
            if len(current) < 3 or current[2].text != "in" or not current[2].bare:
                raise UnclearError("'for' without 'in' is not read here")
            self.found.append([Word(f"{current[1].text}=")])  # it assigns, as that does
        elif current:
            self.found.append(current)
        return []

    def _redirect(self, match: re.Match[str]) -> None:
        self.at = match.end()
        while self.peek() and self.peek() in " \t":
            self.at += 1
        if not self.peek() or (self.peek() in ENDS and self.peek(2) not in ("<(", ">(")):
            raise UnclearError(f"nothing follows {match[0]!r}")
        begin = self.at
        word = self.read_word()
        if match[0] in ("<<", "<<-"):
            if "$" in self.source[begin : self.at] or "`" in self.source[begin : self.at]:
                raise UnclearError("the end of a here-document is not a plain word")
            self._documents.append((word.text, not word.bare, match[0] == "<<-"))

    def _read_documents(self) -> None:
        waiting, self._documents = self._documents, []
        for end, literal, cut in waiting:
            lines = list[str]()
            while self.at < len(self.source):
                stop = self._until("\n")
                line = self.source[self.at : stop]
                self.at = stop + 1
                if (line.lstrip("\t") if cut else line) == end:
                    break
                lines.append(line)
            if not literal:
                if any(line.endswith("\\") for line in lines):
                    raise UnclearError("a line of a here-document is continued")
                inner = _Reader("\n".join(lines), self.depth)
                inner.read_quoted("")
                self.found += inner.found

    def _until(self, mark: str) -> int:
        place = self.source.find(mark, self.at)
        return len(self.source) if place < 0 else place

    # -- words --

    def read_word(self) -> Word:
        text, certain, bare = "", True, True
        while char := self.peek():
            if self.peek(2) in ("<(", ">("):
                self.at += 2
                self.read_list(")")
                certain = False
            elif char in ENDS:
                if char == "(":
                    raise UnclearError("it holds a function, an array or a pattern with '('")
                break
            elif self.peek(2) == "\\\n":
                self.at += 2
            elif char == "\\":
                text, bare = text + self.source[self.at + 1 : self.at + 2], False
                self.at += 2
            elif char == "'":
                self.at += 1
                stop = self._until("'")
                self._must_close(stop, "'")
                text, bare, self.at = text + self.source[self.at : stop], False, stop + 1
            elif char == '"' or self.peek(2) == '$"':
                self.at += len(char) if char == '"' else 2
                part, sure = self.read_quoted('"')
                text, certain, bare = text + part, certain and sure, False
            elif char in "$`":
                part, sure = self._expansion()
                text, certain = text + part, certain and sure
            else:
                certain = (certain and char not in "*?[{~") or (char == "{" and self._alone())
                text += char
                self.at += 1
        return Word(text, certain, bare)

    def _alone(self) -> bool:
        return self.source[self.at + 1 : self.at + 2] in ("", "}", *ENDS)

    def read_quoted(self, closing: str) -> tuple[str, bool]:
        """Text as between double quotes, up to *closing* or the end, and whether nothing in it is expanded."""
        text, certain = "", True
        while char := self.peek():
            if char == closing:
                self.at += 1
                return text, certain
            if self.peek(2) == "\\\n":
                self.at += 2
            elif char == "\\" and self.source[self.at + 1 : self.at + 2] in ('"', "\\", "$", "`"):
                text += self.source[self.at + 1]
                self.at += 2
            elif char in "$`" and self.peek(2) not in ("$'", '$"'):
                part, sure = self._expansion()
                text, certain = text + part, certain and sure
            else:
                text += char
                self.at += 1
        self._must_close(self.at, closing)
        return text, certain

    def _must_close(self, place: int, mark: str) -> None:
        if mark and place >= len(self.source):
            raise UnclearError(f"a {mark} is not closed")

    def _expansion(self) -> tuple[str, bool]:
        if self.peek() == "`":
            return self._old_substitution()
        if self.peek(3) == "$((" or self.peek(2) == "$[":
            raise UnclearError("it holds arithmetic")
        if self.peek(2) == "$(":
            self.at += 2
            self.read_list(")")
            return "", False
        if self.peek(2) == "$'":
            end = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL).match(self.source, self.at)
            if end is None:
                raise UnclearError("a ' is not closed")
            self.at = end.end()
            return "", False
        if name := _NAME.match(self.source, self.at):
            self.at = name.end()
            return "", False
        if self.peek(2) == "${":
            raise UnclearError("it holds a ${...} that is not plain")
        self.at += 1
        return "$", True

    def _old_substitution(self) -> tuple[str, bool]:
        inner = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL).match(self.source, self.at)
        if inner is None:
            raise UnclearError("a ` is not closed")
        self.at = inner.end()
        self.found += commands(re.sub(r"\\([`\\$])", r"\1", inner[1]), self.depth)
        return "", False
