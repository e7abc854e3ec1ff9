"""What a model's name tells: Gemini's generations want different things."""

from __future__ import annotations

import math
import re

_NUMBERED = re.compile(r"(?:^|/)gemini-(\d+(?:\.\d+)?)")
_GEMINI = re.compile(r"(?:^|/)gemini-")

THINKS = 2.5
"""The first generation that thinks; it takes a budget of tokens."""

LEVELS = 3.0
"""From here on thinking goes by levels, calls must be signed, and tools go together with JSON answers."""


def generation(model: str) -> float:
    """The generation in *model*'s name; a Gemini without one (``gemini-flash-latest``) is new, any other model is 0."""
    if found := _NUMBERED.search(model):
        return float(found[1])
    return math.inf if _GEMINI.search(model) else 0.0
