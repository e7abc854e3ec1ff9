"""What can go wrong with a file of thoughts."""

from __future__ import annotations

import attrs

from cloudllm_core.errors import CloudLLMError


class ThoughtsFileError(CloudLLMError):
    """A file of thoughts cannot be read or written."""


@attrs.define(eq=False)
class TamperedThoughtsError(ThoughtsFileError):
    """A file of thoughts is not as it was written."""

    source: str
    number: int | None
    """Which thought, counted from 0; None where it is the file as a whole, or its first line."""

    problem: str
    """What is wrong with it: the rest of a sentence."""

    def __str__(self) -> str:
        which = "" if self.number is None else f"thought {self.number} "
        return (
            f"{self.source}: {which}{self.problem}. The file was changed after it was written. Compare it with a copy; "
            "what comes before can be read with: cloudllm thoughts show"
        )
