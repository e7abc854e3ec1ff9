"""What may be asked of which model: pure functions, nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloudllm_core.errors import SettingsError

MOST = 10
"""Images in one call of `generate`, each a call of the API."""

RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
"""What every image model takes."""

LONG = ("1:4", "4:1", "1:8", "8:1")
"""What Gemini 3.1 Flash Image takes besides."""

_TAKES_LONG = re.compile(r"(.*/)?gemini-3\.[1-9].*flash")


def options_of(model: str, aspect_ratio: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """
    The request's options: a picture of *aspect_ratio*, and *more*.

    Raises:
        SettingsError: *model* does not make pictures of that ratio.
    """
    ratios = RATIOS + (LONG if _TAKES_LONG.match(model) else ())
    if aspect_ratio not in ratios:
        raise SettingsError("aspect_ratio", ascii(aspect_ratio), f"one of {', '.join(ratios)} for {model}")
    options = dict(more)
    config = options.pop("imageConfig", None) or options.pop("image_config", None) or {}
    if not isinstance(config, Mapping):
        raise SettingsError("options.imageConfig", ascii(config), "a table such as { imageSize = '2K' }")
    return {
        "thinkingConfig": None,  # or an effort meant for models that think would be sent to one that does not
        **options,
        "responseModalities": ["IMAGE"],
        "imageConfig": {**config, "aspectRatio": aspect_ratio},
    }


def checked(prompt: Any, n: Any, format: Any) -> None:
    """Raises: SettingsError: one of them makes no sense, or cannot be had."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise SettingsError("prompt", ascii(prompt), "a text that says what is to be seen")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise SettingsError("prompt", "half a character (a lone surrogate)", "text that can be sent")
    if type(n) is not int or not 1 <= n <= MOST:
        raise SettingsError("n", repr(n), f"a whole number from 1 to {MOST}")
    if format == "url":
        hint = "Ask for format='bytes' and save the image."
        raise SettingsError("format", "'url'", "'bytes', as Gemini gives no addresses", hint)
    if format != "bytes":
        raise SettingsError("format", ascii(format), "'bytes'")
