"""Names of files: plain words of the prompt, and a mark of what is in them."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterator

LONGEST = 48
"""Characters of the prompt in a name."""


def slug(prompt: str) -> str:
    """The first words of *prompt* in lower-case ASCII letters and digits; ``image`` if it has none."""
    plain = unicodedata.normalize("NFKD", prompt[:1000]).encode("ascii", "ignore").decode().lower()
    words = re.findall("[a-z0-9]+", plain.replace("'", ""))
    kept = "-".join(words)[: LONGEST + 1]
    if len(kept) > LONGEST:
        kept = kept.rpartition("-")[0] or kept[:LONGEST]
    return kept or "image"


def names_for(prompt: str, data: bytes, suffix: str) -> Iterator[str]:
    """Names for *data*, one after the other: the same picture twice is counted."""
    stem = f"{slug(prompt)}-{hashlib.sha256(data).hexdigest()[:8]}"
    yield stem + suffix
    for number in itertools.count(2):
        yield f"{stem}-{number}{suffix}"
