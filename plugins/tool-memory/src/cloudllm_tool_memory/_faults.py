"""What a model reads when a memory cannot do what it asked."""

from __future__ import annotations

import attrs

from cloudllm_core.errors import CloudLLMError


@attrs.define(eq=False)
class MemoryFault(CloudLLMError):
    """A call of a memory tool was refused; the text is the original's ``ERR:`` code, with a sentence where it helps."""

    code: str
    sentence: str = ""

    def __str__(self) -> str:
        return f"ERR:{self.code}" + (f" - {self.sentence}" if self.sentence else "")
