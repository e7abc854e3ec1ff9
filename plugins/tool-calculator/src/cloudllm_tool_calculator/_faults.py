"""What is said when an expression has no value."""

from __future__ import annotations

import attrs

from cloudllm_core.errors import CloudLLMError


@attrs.define(eq=False)
class CalculatorError(CloudLLMError):
    """An expression cannot be read, or has no finite real value; the text says where, why and what to do."""

    problem: str
    remedy: str = ""
    position: int | None = None
    """Which character it is about, counted from 1; None where it is about a value."""

    def __str__(self) -> str:
        where = f"At character {self.position}: " if self.position else ""
        return f"{where}{self.problem} {self.remedy}".rstrip()
