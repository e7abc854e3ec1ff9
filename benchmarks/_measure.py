"""Measuring: the quiet moments of several repetitions, and rows of a table."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import attrs


@attrs.frozen
class Row:
    """One line of the report."""

    what: str
    value: float
    unit: str
    aim: float | None = None
    """The value should not be above it."""

    def __str__(self) -> str:
        verdict = ""
        if self.aim is not None:
            verdict = f"   (aim {self.aim:g} {self.unit}: {'met' if self.value <= self.aim else 'missed'})"
        return f"  {self.what:<62} {self.value:>9.2f} {self.unit}{verdict}"


async def cpu_microseconds(step: Callable[[], Awaitable[int]], repetitions: int = 7) -> float:
    """CPU time of one item of *step*, which says how many it did; the least of *repetitions*."""
    best = float("inf")
    for _ in range(repetitions):
        begun = time.process_time()
        items = await step()
        best = min(best, (time.process_time() - begun) / items * 1e6)
    return best
