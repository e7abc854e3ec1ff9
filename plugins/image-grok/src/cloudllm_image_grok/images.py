"""xAI's Images API: OpenAI's, with an aspect ratio where that has a size."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from cloudllm_core.errors import SettingsError
from cloudllm_image_openai import OpenAIImages
from cloudllm_image_openai.asking import Format, checked
from cloudllm_image_openai.line import Line
from cloudllm_provider_grok import Grok

RATIOS = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "2:1", "1:2", "19.5:9", "9:19.5", "20:9", "9:20")
"""What xAI takes, by its reference of November 2026."""


class GrokLine(Line, Grok):
    """xAI's address and key variables, and the connection."""


@attrs.define(eq=False)
class GrokImages(OpenAIImages):
    """Images by xAI's models, whole or as addresses that last for a while."""

    name: ClassVar[str] = "grok"
    line: ClassVar[type[Line]] = GrokLine
    model: str = "grok-imagine-image"

    def request(self, prompt: str, aspect_ratio: str, n: int, format: Format) -> dict[str, Any]:
        """The body of one call, less `options`. Raises: SettingsError: xAI cannot do this."""
        checked(prompt, n, format, 10)
        if aspect_ratio not in RATIOS:
            raise SettingsError("aspect_ratio", ascii(aspect_ratio), f"one of {', '.join(RATIOS)}")
        return {
            "model": self.model,
            "prompt": prompt,
            "n": n,
            "aspect_ratio": aspect_ratio,
            "response_format": "url" if format == "url" else "b64_json",
        }
