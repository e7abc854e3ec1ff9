"""How much of what is being said is new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

from cloudllm_core import Message

Measure: TypeAlias = Callable[[Sequence[str], Sequence[str]], float]
"""Takes the recent texts and those before them; gives how new the recent ones are, from 0 (not at all) to 1."""


def bigram_novelty(recent: Sequence[str], earlier: Sequence[str]) -> float:
    """
    The share of the pairs of neighbouring words in *recent* that do not occur in *earlier*.

    Words are what stands between white space, in lower case; each pair counts once. Without a pair in
    *recent*, all is new: 1.0. The original's measure.
    """
    pairs = _pairs(recent)
    return len(pairs - _pairs(earlier)) / len(pairs) if pairs else 1.0


def _pairs(texts: Iterable[str]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for text in texts:
        found.update(pairwise(text.lower().split()))
    return found


def text_of(message: Message) -> str:
    """What *message* says: its text and its tool results; calls, thoughts and images say nothing here."""
    return "\n".join([message.text, *(result.content for result in message.tool_results)])
