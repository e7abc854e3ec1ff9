"""xAI's API: OpenAI's two wires, with habits of its own."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_provider_openai import OpenAI


class Grok(OpenAI):
    """
    Models of xAI, by its Responses API; by Chat Completions with ``api="chat"`` or at a ``base_url``.

    In Chat Completions xAI counts a model's thoughts beside its answer; the usage here has them inside, as
    everywhere. What a call cost comes as a `Private` part ``{"cost": ...}``, in US dollars.
    """

    name: ClassVar[str] = "grok"
    home: ClassVar[str] = "https://api.x.ai/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("XAI_API_KEY", "XAI_KEY", "GROK_API_KEY")
    base_url_variable: ClassVar[str | None] = None
    thinkers: ClassVar[str] = r"grok-(3-mini|4\.[3-9]|[5-9])"  # grok-4 thinks as much as it likes
    sealers: ClassVar[str | None] = r"grok-([4-9]|code|build)(?!.*non-?reasoning)"
