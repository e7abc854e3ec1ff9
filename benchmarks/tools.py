"""What it costs to find one tool among many: a call is judged against its definition, in a toolbox of 5 or of 500."""

from __future__ import annotations

import time
from collections.abc import Iterator

from cloudllm_core import Functions, ToolCall, tool
from cloudllm_core._toolbox import Toolbox

from ._measure import Row

FEW, MANY = 5, 500
CALLS = 20_000


def toolbox(size: int) -> Toolbox:
    """*size* tools of one argument, fifty to a protocol."""

    def look(query: str) -> str:
        """Look something up.

        Args:
            query: what to look for
        """
        return query

    functions = [tool(name=f"look_{nth}", effect="read")(look) for nth in range(size)]
    return Toolbox.of(Functions(functions[nth : nth + 50], f"part{nth}") for nth in range(0, size, 50))


def microseconds(box: Toolbox, size: int, repetitions: int = 7) -> float:
    """CPU time of judging one call; the least of *repetitions*."""
    calls = [ToolCall(str(nth), f"look_{nth * 7 % size}", {"query": "tide"}) for nth in range(CALLS)]
    best = float("inf")
    for _ in range(repetitions):
        begun = time.process_time()
        for call in calls:
            assert box.refusal(call) is None
        best = min(best, (time.process_time() - begun) / CALLS * 1e6)
    return best


def rows() -> Iterator[Row]:
    few, many = (microseconds(toolbox(size), size) for size in (FEW, MANY))
    yield Row(f"find a tool among {FEW}, and judge a call of it: CPU", few, "us")
    yield Row(f"... among {MANY}", many / few, "x", 1.3)
    begun = time.process_time()
    box = toolbox(MANY)
    made = time.process_time() - begun
    begun = time.process_time()
    assert box.digest
    assert box.tokens
    yield Row(f"make {MANY} tools of typed functions, once", made * 1e3, "ms")
    yield Row("... and their digest and estimate, once", (time.process_time() - begun) * 1e3, "ms")
