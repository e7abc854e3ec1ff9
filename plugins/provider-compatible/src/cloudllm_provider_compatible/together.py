"""Together's own API."""

from __future__ import annotations

from typing import ClassVar

from cloudllm_core import hookimpl

from .provider import Compatible


class Together(Compatible):
    """Open models on Together's machines."""

    name: ClassVar[str] = "together"
    home: ClassVar[str] = "https://api.together.xyz/v1"
    key_variables: ClassVar[tuple[str, ...]] = ("TOGETHER_API_KEY",)
    needs_key: ClassVar[bool] = True


@hookimpl
def cloudllm_register_provider() -> type[Together]:
    return Together
