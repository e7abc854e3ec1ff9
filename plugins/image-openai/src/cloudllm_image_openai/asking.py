"""What may be asked of which model: pure functions, nothing is sent."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import attrs

from cloudllm_core.errors import SettingsError

Format: TypeAlias = Literal["bytes", "url"]

PIXELS = 1024 * 1280
"""About how many a picture of a free size gets: between the API's two usual sizes, 1024x1024 and 1536x1024."""

LEAST, MOST, LONGEST, WIDEST = 655_360, 8_294_400, 3840, 3
"""What free sizes keep to: pixels, pixels, the longer edge, and how often it may be longer than the other."""

_RATIO = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,2})?):([0-9]{1,4}(?:\.[0-9]{1,2})?)")
USUAL = {"1:1": "1024x1024", "3:2": "1536x1024", "2:3": "1024x1536"}


@attrs.frozen
class Traits:
    """What one family of models can do."""

    names: str
    """A regular expression for the beginning of their names."""

    sizes: dict[str, str] | None = None
    """Size by aspect ratio; None: any size of multiples of 16 (see `LEAST` and the others)."""

    most: int = 10
    """Images in one call."""

    bytes_only: bool = False
    """Whether they give no addresses, and refuse to be asked which."""


TRAITS = (
    Traits(r"gpt-image-1\b|chatgpt-image", USUAL, bytes_only=True),
    Traits(r"gpt-image-", bytes_only=True),
    Traits(r"dall-e-3", {"1:1": "1024x1024", "7:4": "1792x1024", "4:7": "1024x1792"}, most=1),
    Traits(r"dall-e-2", {"1:1": "1024x1024"}),
    Traits(""),
)
"""By name, the first that fits; as the API's reference of November 2026 has them. A model nobody knows may do all."""


def trait_of(model: str) -> Traits:
    """What *model* can do; a name may have a folder before it."""
    return next(traits for traits in TRAITS if re.match(traits.names, model.rpartition("/")[2]))


def size_of(model: str, aspect_ratio: str) -> str:
    """
    The size, ``WIDTHxHEIGHT``, that has exactly this *aspect_ratio*.

    Raises:
        SettingsError: there is none that *model* takes.
    """
    sizes = trait_of(model).sizes
    ratio = ratio_of(aspect_ratio)
    for usual, size in (USUAL if sizes is None else sizes).items():
        if ratio_of(usual) == ratio:
            return size
    if sizes is not None:
        hint = "" if len(sizes) == 1 else "Take the nearest one."
        raise SettingsError("aspect_ratio", repr(aspect_ratio), f"{_list(sizes)} for {model}", hint)
    if not Fraction(1, WIDEST) <= ratio <= WIDEST:
        raise SettingsError("aspect_ratio", repr(aspect_ratio), f"one between 1:{WIDEST} and {WIDEST}:1 for {model}")
    width, height = 16 * ratio.numerator, 16 * ratio.denominator
    scales = range(1, LONGEST // max(width, height) + 1)
    fitting = [scale for scale in scales if LEAST <= width * height * scale**2 <= MOST]
    if not fitting:
        hint = "Take one of smaller numbers, such as 16:9, 4:3 or 21:9."
        raise SettingsError(
            "aspect_ratio", repr(aspect_ratio), f"one that a size in multiples of 16 has exactly, for {model}", hint
        )
    scale = min(fitting, key=lambda scale: abs(width * height * scale**2 - PIXELS))
    return f"{width * scale}x{height * scale}"


def ratio_of(aspect_ratio: Any) -> Fraction:
    """Width by height. Raises: SettingsError: *aspect_ratio* is none."""
    found = _RATIO.fullmatch(aspect_ratio) if isinstance(aspect_ratio, str) else None
    if found is None or not (Fraction(found[1]) and Fraction(found[2])):
        raise SettingsError("aspect_ratio", ascii(aspect_ratio), "width and height as in '16:9'")
    return Fraction(found[1]) / Fraction(found[2])


def checked(prompt: Any, n: Any, format: Any, most: int) -> None:
    """Raises: SettingsError: one of them makes no sense, or *n* is more than *most*."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise SettingsError("prompt", ascii(prompt), "a text that says what is to be seen")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise SettingsError("prompt", "half a character (a lone surrogate)", "text that can be sent")
    if type(n) is not int or not 1 <= n <= most:
        raise SettingsError("n", repr(n), f"a whole number from 1 to {most}" if most > 1 else "1")
    if format not in ("bytes", "url"):
        raise SettingsError("format", ascii(format), "'bytes' or 'url'")


def _list(sizes: dict[str, str]) -> str:
    *first, last = sizes
    return f"{', '.join(first)} or {last}" if first else last
