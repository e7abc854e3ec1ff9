"""
What reading a file below a root costs: the file tools' `read_file` against plain `open`, in one run.

Plain `open` trusts the path. The tool judges it, opens the root, enters the folders beneath it, looks at
the file before and after opening it, and caps its size: more system calls, so the ratio falls as files grow.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cloudllm_tool_filesystem import FileSystem, _openat2

from ._measure import Row

READS = 2_000
SIZES = ((1_000, "1 kB"), (100_000, "100 kB"))


def microseconds(read: Callable[[], str], reads: int) -> float:
    """CPU time of one read."""
    begun = time.process_time()
    for _ in range(reads):
        read()
    return (time.process_time() - begun) / reads * 1e6


def compare(root: Path, path: str, reads: int = READS, repetitions: int = 7) -> tuple[float, float]:
    """CPU time of one read by plain `open` and by the tool: the least of *repetitions*, taken in turn."""
    files = FileSystem(root)

    def plain() -> str:
        with open(root / path, encoding="utf-8", newline="") as file:
            return file.read()

    assert plain() == files.read_file(path)
    pairs = [
        (microseconds(plain, reads), microseconds(lambda: files.read_file(path), reads)) for _ in range(repetitions)
    ]
    return min(one for one, _ in pairs), min(other for _, other in pairs)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "a" / "b").mkdir(parents=True)
        for size, words in SIZES:
            (root / "a" / "b" / f"{size}.txt").write_text("tide and moon\n" * (size // 14), "utf-8")
            plain, ours = compare(root, f"a/b/{size}.txt")
            way = "openat2" if _openat2.opener() else "walk"
            yield Row(f"read {words} two folders down by open: CPU", plain, "us")
            yield Row(f"... by read_file ({way})", ours, "us")
            yield Row("... against it", ours / plain, "x")
        here = _openat2.opener
        try:
            _openat2.opener = lambda: None  # type: ignore[assignment]
            plain, ours = compare(root, f"a/b/{SIZES[0][0]}.txt")
        finally:
            _openat2.opener = here
        yield Row(f"read {SIZES[0][1]} by read_file, as without openat2, against open", ours / plain, "x")
