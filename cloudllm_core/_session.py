"""
Sessions: one conversation with one model, its budget, and turns as transactions.

A turn works on a draft. It is kept whole, or discarded whole, or (when something irreversible was
done in it) closed with a note, so that the model knows and nobody repeats it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import attrs

from ._history import problem_after, repair_history
from ._journal import digest_text, encode, redacted
from ._messages import Image, Message, Part, Private, Text, Thinking, ToolCall, ToolResult
from ._strategies import ContextView, Cut
from .errors import HistoryError

IMAGE_TOKENS = 1_000
"""What an image is taken to cost; providers differ, and say only afterwards."""

BROKE_OFF = "This turn broke off: {why}. What it had completed stands; do not repeat it."


def estimate_tokens(text: str) -> int:
    """About how many tokens *text* is: a quarter of its UTF-8 bytes, one at least (the original's rule)."""
    return max(1, len(text.encode(errors="replace")) // 4)


def message_tokens(message: Message) -> int:
    """The estimate for a message: its parts, and one for its role."""
    tokens = 1
    for part in message.parts:
        match part:
            case Text() | Thinking():
                tokens += estimate_tokens(part.text)
            case ToolResult():
                tokens += estimate_tokens(part.content)
            case ToolCall():
                tokens += estimate_tokens(part.name + encode(part.arguments))
            case Image():
                tokens += IMAGE_TOKENS
            case Private():
                tokens += estimate_tokens(encode(part.data))
    return tokens


@attrs.define(eq=False)
class Entry:
    """A message in a session, encoded and measured once."""

    message: Message
    task: str | None = None
    """The prompt it brought, if it brought one: kept when the session is cut."""

    text: str = attrs.field(init=False)
    """The message as JSON."""

    hash: str = attrs.field(init=False)
    tokens: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.text = encode(self.message.to_json())
        self.hash = digest_text(self.text)
        self.tokens = message_tokens(self.message)


@attrs.define(eq=False)
class Span:
    """Entries in a row with the digest that stands for them and their estimate; extended, never rebuilt."""

    entries: list[Entry] = attrs.Factory(list)
    digest: str = ""
    tokens: int = 0

    def extended(self, entries: Iterable[Entry]) -> Span:
        span = Span(list(self.entries), self.digest, self.tokens)
        for entry in entries:
            span.entries.append(entry)
            span.digest = digest_text(span.digest + entry.hash)
            span.tokens += entry.tokens
        return span


@attrs.define(eq=False)
class Session:
    """What one agent and its model have said to each other."""

    max_tokens: int = 128_000
    """The budget for a request: instructions, tool schemas and messages together."""

    said: Span = attrs.Factory(Span)
    holder: object | None = None
    """The run that works on this session."""

    _counted: tuple[str, int] = ("", 0)
    exposed: str = ""
    """Where the text from outside the team came from that it holds; empty if it holds none."""

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple([entry.message for entry in self.said.entries])

    @property
    def text(self) -> str:
        """`messages` as JSON."""
        return f"[{','.join([entry.text for entry in self.said.entries])}]"

    def load(self, messages: Iterable[Message]) -> list[str]:
        """Replace what was said; returns what had to be repaired, one sentence each."""
        legal, repairs = repair_history(list(messages))
        self.said = Span().extended(map(Entry, legal))
        return repairs

    def receive(self, text: str, exposed: str = "") -> None:
        """Add *text* as user content, without a turn; *exposed* says where outside the team it came from."""
        self.exposed = self.exposed or exposed
        entries = self.said.entries
        if entries and entries[-1].message.role == "user":
            last = entries[-1]
            more = Entry(attrs.evolve(last.message, parts=(*last.message.parts, Text(text))), last.task)
            self.said = Span().extended([*entries[:-1], more])
        else:
            self.said = self.said.extended([Entry(Message.user(text))])

    def clean(self, hide: Callable[[str], str]) -> None:
        """Take secrets out of what was said: `receive` and `load` know of none, and some become known later."""
        if hide(self.text) != self.text:
            entries = self.said.entries
            told = [Message.from_json(json.loads(redacted(entry.text, hide))) for entry in entries]
            self.said = Span().extended(map(Entry, told, [entry.task and hide(entry.task) for entry in entries]))

    def copy(self) -> Session:
        """A session of its own with the same past; messages are shared, for they never change."""
        return Session(self.max_tokens, self.said, exposed=self.exposed)

    def foreign_parts(self, provider: str) -> int:
        """How many parts only another provider than *provider* understands, of those not counted for it before."""
        entries = self.said.entries
        known, upto = self._counted
        new = entries[upto:] if known == provider and upto <= len(entries) else entries
        self._counted = provider, len(entries)
        parts = [part for entry in new for part in entry.message.parts if isinstance(part, (Thinking, Private))]
        return sum([part.provider not in ("", provider) for part in parts])

    def turn(self) -> Turn:
        return Turn(self, self.said, exposed=self.exposed)


@attrs.define(eq=False)
class Turn:
    """A draft of a session, from a prompt to its answer."""

    session: Session
    base: Span
    """The session as it stood, less what a strategy cut."""

    new: list[Entry] = attrs.Factory(list)
    kept: Entry | None = None
    """The opening message as it will be kept: without the note."""

    exposed: str = ""

    def open(self, texts: Sequence[str], note: str | None, task: str | None) -> None:
        """Begin with a user message of *texts*; *note* goes with it and is not kept."""
        before: tuple[Part, ...] = ()
        entries = self.base.entries
        if entries and entries[-1].message.role == "user":
            before, task = entries[-1].message.parts, task or entries[-1].task
            self.base = Span().extended(entries[:-1])
        parts = (*before, *map(Text, texts))
        self.kept = Entry(Message("user", parts), task)
        self.new = [self.kept if note is None else Entry(Message("user", (*parts, Text(note))), task)]
        self._check(self.base.entries[-1].message if self.base.entries else None, self.kept.message)

    def add(self, message: Message) -> None:
        """Add what was said next. Raises: HistoryError: no provider would accept it here."""
        self._check(self.new[-1].message, message)
        self.new.append(Entry(message))

    def join(self, message: Message) -> Message:
        """Let the assistant's last message go on with *message*; gives the whole."""
        whole = attrs.evolve(self.new[-1].message, parts=(*self.new.pop().message.parts, *message.parts))
        self.add(whole)
        return whole

    def _check(self, previous: Message | None, message: Message) -> None:
        if problem := problem_after(previous, message):
            raise HistoryError(len(self.base.entries) + len(self.new), problem)

    @property
    def messages(self) -> tuple[Message, ...]:
        """What a request carries."""
        return tuple([entry.message for entry in (*self.base.entries, *self.new)])

    @property
    def digest(self) -> str:
        """Stands for `messages`."""
        rolling = self.base.digest
        for entry in self.new:
            rolling = digest_text(rolling + entry.hash)
        return rolling

    @property
    def tokens(self) -> int:
        return self.base.tokens + sum([entry.tokens for entry in self.new])

    def view(self, extra: int, pressed: bool = False) -> ContextView:
        """What a strategy sees; *extra* is the estimate for instructions and tool schemas."""
        tokens, entries = self.tokens + extra, self.base.entries
        upto = [0, *accumulate(entry.tokens for entry in entries)]
        starts = [index for index, entry in enumerate(entries) if entry.message.role == "user"]
        cuts = [
            Cut(
                index=index,
                turns_kept=1 + len(starts) - nth,
                tokens_after=tokens - upto[index] + (estimate_tokens(task) if (task := self._task(index)) else 0),
            )
            for nth, index in enumerate([*starts, len(entries)])
            if index
        ]
        budget, messages = self.session.max_tokens, self.messages
        return ContextView(tokens=tokens, budget=budget, messages=messages, cuts=tuple(cuts), pressed=pressed)

    def leaving(self, index: int) -> tuple[tuple[Message, ...], str, int]:
        """The messages that a cut at *index* takes away, what stands for them, and their estimate."""
        span = Span().extended(self.base.entries[:index])
        return tuple([entry.message for entry in span.entries]), span.digest, span.tokens

    def _task(self, index: int) -> str | None:
        """The task that a cut at *index* would take away, unless what stays brings one."""
        if any(entry.task for entry in (*self.base.entries[index:], *self.new)):
            return None
        return next((entry.task for entry in reversed(self.base.entries[:index]) if entry.task), None)

    def cut(self, index: int, summary: str | None = None) -> None:
        """Let go of what stands before *index*, but for the task; *summary* takes its place."""
        task = self._task(index)
        rest = self.base.entries[index:]
        texts = [text for text in (task, summary) if text is not None]
        if texts and rest:
            rest[0] = _led_by(texts, rest[0], task)
        elif texts and self.kept is not None:
            opening = self.new[0]
            kept = _led_by(texts, self.kept, task)
            self.new[0] = kept if opening is self.kept else _led_by(texts, opening, task)
            self.kept = kept
        self.base = Span().extended(rest)

    def commit(self) -> None:
        """Keep the turn."""
        assert self.kept is not None
        self.session.said = self.base.extended([self.kept, *self.new[1:]])
        self.session.exposed = self.exposed

    def close(self, results: Sequence[ToolResult], why: str) -> None:
        """Keep a turn that broke off after something irreversible: answer its open calls and say why."""
        calls = self.new[-1].message.tool_calls
        if calls:
            known = {result.call_id: result for result in results}
            broken = f"not completed: {why}"
            self.add(Message.tool([known.get(c.id) or ToolResult(c.id, broken, is_error=True) for c in calls]))
        if self.new[-1].message.role == "tool":
            self.add(Message.assistant(BROKE_OFF.format(why=why.rstrip("."))))
        self.commit()


def _led_by(texts: Sequence[str], entry: Entry, task: str | None) -> Entry:
    message = attrs.evolve(entry.message, parts=(*map(Text, texts), *entry.message.parts))
    return Entry(message, task or entry.task)
