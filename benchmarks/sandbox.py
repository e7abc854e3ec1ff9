"""What a sandbox costs: ``true`` in the sandbox of tool-bash against ``true`` in plain bash, side by side."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from cloudllm_tool_bash import Sandbox, SandboxError

from ._measure import Row

REPETITIONS = 40


async def plain() -> None:
    quiet = asyncio.subprocess.DEVNULL
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("/bin/bash", "-c", "true", stdin=quiet, stdout=pipe, stderr=pipe)
    await process.communicate()


async def milliseconds(*steps: Callable[[], Awaitable[object]]) -> list[float]:
    """The median of each step; they take turns, so that a busy machine is busy for all."""
    taken: list[list[float]] = [[] for _ in steps]
    for _ in range(REPETITIONS):
        for step, times in zip(steps, taken, strict=True):
            begun = time.perf_counter()
            await step()
            times.append((time.perf_counter() - begun) * 1e3)
    return [statistics.median(times) for times in taken]


async def compared(folder: Path) -> list[float]:
    box, free = Sandbox(folder), Sandbox(folder, sandbox="none")
    await box.prove()
    return await milliseconds(plain, lambda: free.run("true"), lambda: box.run("true"))


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        try:
            bare, free, held = asyncio.run(compared(Path(name) / "workspace"))
        except SandboxError as problem:
            print(f"  {problem}")
            return
    yield Row("true in plain bash, median", bare, "ms")
    yield Row("true without a sandbox, but with limits", free, "ms")
    yield Row("true in the sandbox", held, "ms", 50)
    yield Row("  against plain bash", held / bare, "x")
