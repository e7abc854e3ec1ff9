"""CPU and memory of importing the kernel, against what it stands on."""

from __future__ import annotations

import subprocess
import sys

from ._measure import Row

FLOOR = "import attrs, pluggy, structlog, asyncio"
KERNEL = "import cloudllm_core"
ALL = "from cloudllm_core import Agent, Orchestration, tool"
PROBE = """
import pathlib, re, resource
{code}
usage = resource.getrusage(resource.RUSAGE_SELF)
status = pathlib.Path("/proc/self/status")
# What getrusage tells includes the process that this one was forked from.
most = re.search(r"VmHWM:\\s*(\\d+)", status.read_text())[1] if status.exists() else usage.ru_maxrss
print(usage.ru_utime + usage.ru_stime, int(most) / 1024)
"""


def probe(code: str) -> tuple[float, float]:
    """CPU seconds and peak megabytes of a fresh interpreter that runs *code*."""
    done = subprocess.run([sys.executable, "-c", PROBE.format(code=code)], check=True, capture_output=True, text=True)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def rows(repetitions: int = 12) -> list[Row]:
    for code in (FLOOR, KERNEL, ALL):  # once for the caches
        probe(code)
    floors, kernels, alls = [], [], []
    for _ in range(repetitions):  # interleaved, so that a busy machine is busy for all
        floors.append(probe(FLOOR))
        kernels.append(probe(KERNEL))
        alls.append(probe(ALL))
    floor, kernel, everything = min(floors), min(kernels), min(alls)
    return [
        Row("import attrs, pluggy, structlog, asyncio: CPU", floor[0] * 1e3, "ms"),
        Row("import cloudllm_core: CPU", kernel[0] * 1e3, "ms"),
        Row("import cloudllm_core against the floor", kernel[0] / floor[0], "x", 1.2),
        Row("from cloudllm_core import Agent, Orchestration, tool: CPU", everything[0] * 1e3, "ms"),
        Row("... against the floor", everything[0] / floor[0], "x", 1.2),
        Row("... memory", everything[1], "MB", 34),
    ]
