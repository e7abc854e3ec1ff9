"""
How far texts agree: scorers, and the names by which settings know them.

A scorer takes the texts of one round, at least two, and gives a number from 0 (nothing in common) to 1
(full agreement). It is a plain function of these texts and of nothing else, so that a replay comes to
the same result.
"""

from __future__ import annotations

import inspect
import itertools
import math
import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from unicodedata import category, normalize

from cloudllm_core.errors import SettingsError, SetupError, near_miss

Scorer: TypeAlias = Callable[[Sequence[str]], float]

NO_SPACES: Final = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u312f\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
"""Scripts that do not put spaces between words."""

PIECE: Final = re.compile(f"(?P<unspaced>[{NO_SPACES}]+)|[^{NO_SPACES}]+")


def jaccard(texts: Sequence[str]) -> float:
    """
    The share of words that two of *texts* have in common, as the mean over all pairs.

    Raises:
        ValueError: there are fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"jaccard compares texts with each other: it takes two or more, and got {len(texts)}.")
    pairs = list(itertools.combinations(map(words_of, texts), 2))
    shares = (len(one & other) / len(one | other) if one or other else 1.0 for one, other in pairs)
    return math.fsum(shares) / len(pairs)  # fsum: the same whatever the order


def words_of(text: str) -> frozenset[str]:
    """
    The words of *text*, in any script, without case; short ones count.

    Where a script puts no spaces between words, each two neighbouring characters are taken for one. A
    text without any letter or digit (an emoji, say) is taken as it stands.
    """
    text = normalize("NFKC", normalize("NFKC", text).casefold())
    bare = "".join(char if category(char)[0] in "LMN" else " " for char in text)
    return frozenset(_words(bare)) or frozenset(text.split())


def _words(bare: str) -> Iterator[str]:
    for match in PIECE.finditer(bare):
        piece = match[0]
        if match["unspaced"]:
            yield from map("".join, itertools.pairwise(piece)) if len(piece) > 1 else piece
        else:
            yield from (word for word in piece.split() if any(map(str.isalnum, word)))  # and not a lone accent


SCORERS: Final[Mapping[str, Scorer]] = {"jaccard": jaccard}
"""What a team file can name."""


def as_scorer(scorer: Scorer | str) -> Scorer:
    """*scorer*, or the one of that name. Raises: SettingsError: there is none, or it is no plain function."""
    known = ", ".join(map(repr, SCORERS))
    if isinstance(scorer, str):
        if scorer in SCORERS:
            return SCORERS[scorer]
        raise SettingsError("scorer", repr(scorer), f"the name of a scorer ({known})", near_miss(scorer, list(SCORERS)))
    if inspect.iscoroutinefunction(scorer) or not callable(scorer):
        raise SettingsError("scorer", repr(scorer), f"the name of a scorer ({known}) or a plain function of the texts")
    return scorer


def name_of(scorer: Scorer) -> str:
    """The name by which settings and journals know *scorer*: a short one for ours, else where it comes from."""
    for name, ours in SCORERS.items():
        if ours is scorer:
            return name
    made_by = scorer if hasattr(scorer, "__qualname__") else type(scorer)
    return f"{made_by.__module__}.{made_by.__qualname__}"


def measure(scorer: Scorer, texts: Sequence[str]) -> float:
    """What *scorer* says of *texts*. Raises: SetupError: it is not a number from 0 to 1."""
    return _checked(name_of(scorer), scorer(texts))


def _checked(name: str, score: Any) -> float:
    number = isinstance(score, numbers.Real) and not isinstance(score, bool)
    if not number or not 0 <= score <= 1:
        raise SetupError(f"The scorer {name} gave {score!r}; agreement is a number from 0 to 1. Correct the scorer.")
    return float(score)
