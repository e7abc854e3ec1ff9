"""
How many replies become one answer: the choices a user has, and functions of texts that a test calls with strings.

Two answers are the same if only case, spaces, and the punctuation around words tell them apart. What
stands inside a word, and signs that mean something (``-5``, ``.5``, ``50%``, ``C#``), count: it is better
to miss an agreement than to find one that is none. A blank text is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias
from unicodedata import category, normalize

import attrs

from cloudllm_core.errors import SettingsError, SetupError, near_miss

WORDS: Final = ("first", "vote")
"""What `Parallel(aggregate=...)` takes that is not the name of an agent."""

MEANINGFUL: Final = frozenset("-%‰#&@/\\")
"""Punctuation that is part of an answer at the edge of a word, too."""


def _a_number_of_replies(_: object, __: object, quorum: Any) -> None:
    if not isinstance(quorum, int) or isinstance(quorum, bool) or quorum < 1:
        raise ValueError(f"Quorum({quorum!r}): give how many replies must agree, 1 or more.")


@attrs.frozen
class Quorum:
    """As soon as *quorum* replies of a round agree, that is the answer."""

    quorum: int = attrs.field(validator=_a_number_of_replies)


@attrs.frozen
class Aggregator:
    """The agent called *agent* hears the others after the last round, and gives the answer."""

    agent: str


Aggregate: TypeAlias = Literal["first", "vote"] | Quorum | Aggregator | None


def as_aggregate(aggregate: str | Quorum | Aggregator | None) -> Aggregate:
    """*aggregate*, a bare name as the agent it stands for. Raises: TypeError: it is none of them."""
    if isinstance(aggregate, str):
        return "first" if aggregate == "first" else "vote" if aggregate == "vote" else Aggregator(aggregate)
    if aggregate is None or isinstance(aggregate, (Quorum, Aggregator)):
        return aggregate
    raise TypeError(f"Parallel(aggregate={aggregate!r}): give an agent's name, 'first', 'vote' or Quorum(n).")


def from_plain(aggregate: Any) -> Any:
    """
    What a team file says, as what `as_aggregate` takes: a table becomes a `Quorum` or an `Aggregator`.

    Raises:
        SettingsError: the table is neither of the two.
    """
    expected = 'an agent\'s name, "first", "vote", { quorum = 2 } or { agent = "name" }'
    if isinstance(aggregate, (str, Quorum, Aggregator)) or aggregate is None:
        return aggregate
    if not isinstance(aggregate, Mapping):
        raise SettingsError("aggregate", repr(aggregate), expected)
    match dict(aggregate):
        case {"agent": str(agent), **rest} if not rest:
            return Aggregator(agent)
        case {"quorum": int(quorum), **rest} if not rest and not isinstance(quorum, bool) and quorum > 0:
            return Quorum(quorum)
    known = ("quorum", "agent")
    near = next((near for key in aggregate if key not in known and (near := near_miss(str(key), known))), "")
    raise SettingsError("aggregate", repr(dict(aggregate)), expected, near)


def taking_part(aggregate: Aggregate, agents: Sequence[str]) -> list[str]:
    """Which of *agents* take part in the rounds. Raises: SetupError: *aggregate* does not fit them."""
    match aggregate:
        case Quorum(quorum) if quorum > len(agents):
            never = f"can never be met by {len(agents)} agents. Ask for fewer."
            raise SetupError(f"Parallel(aggregate=Quorum({quorum})) {never}")
        case Aggregator(agent) if agent not in agents:
            near = near_miss(agent, [*agents, *WORDS]) or "Name one of them, or choose 'first' or 'vote'."
            known = ", ".join(agents)
            raise SetupError(f"Parallel(aggregate={agent!r}): no agent is called {agent!r} (agents: {known}). {near}")
        case Aggregator(agent) if len(agents) == 1:
            raise SetupError(f"Parallel(aggregate={agent!r}): {agent!r} has nobody to hear. Add another agent.")
        case Aggregator(agent):
            return [other for other in agents if other != agent]
    return list(agents)


def same(text: str) -> str:
    """What is equal for texts that are the same answer; empty for a blank one."""
    words = normalize("NFC", normalize("NFC", text).casefold()).split()
    return " ".join(filter(None, map(_bare, words))) or " ".join(words)


def _bare(word: str) -> str:
    begin, end = 0, len(word)
    while end and _falls_off(word[end - 1]):
        end -= 1
    while begin < end and _falls_off(word[begin]) and not (word[begin] in ".," and word[begin + 1].isdigit()):
        begin += 1
    return word[begin:end]


def _falls_off(char: str) -> bool:
    return char == "`" or (category(char).startswith("P") and char not in MEANINGFUL)


def count(texts: Sequence[str]) -> dict[str, int]:
    """How many of *texts* give each answer, as it was said first; most votes first, then whichever came first."""
    said: dict[str, str] = {}
    votes: dict[str, int] = {}
    for text in texts:
        if answer := same(text):
            first = said.setdefault(answer, text)
            votes[first] = votes.get(first, 0) + 1
    return dict(sorted(votes.items(), key=lambda pair: -pair[1]))


def chosen(aggregate: Aggregate, texts: Sequence[str]) -> str | None:
    """The answer that *aggregate* finds in *texts*, in the order in which they came; None if there is none yet."""
    if aggregate == "first":
        return next(filter(str.strip, texts), None)
    answer, votes = next(iter(count(texts).items()), (None, 0))
    if isinstance(aggregate, Quorum):
        return answer if votes >= aggregate.quorum else None
    return answer if aggregate == "vote" else None
