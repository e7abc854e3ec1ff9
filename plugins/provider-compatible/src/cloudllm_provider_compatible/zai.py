"""Z.ai's own API."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible, Enforces


class ZAI(Compatible):
    """GLM, Z.ai's models."""

    name: ClassVar[str] = "zai"
    home: ClassVar[str] = "https://api.z.ai/api/paas/v4"
    key_variables: ClassVar[tuple[str, ...]] = ("ZAI_API_KEY",)
    needs_key: ClassVar[bool] = True
    thinkers: ClassVar[str] = r"glm-(4\.[7-9]|[5-9])"
    enforces: ClassVar[Enforces] = "never"  # it knows JSON, but no schemas


@hookimpl
def cloudllm_register_provider() -> type[ZAI]:
    return ZAI
