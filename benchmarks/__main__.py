"""``python -m benchmarks``: prints every figure of docs/explanation/performance.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys

from . import files, http_tool, memory, providers, sandbox, startup, tools, traffic, turns


def main() -> None:
    today = dt.datetime.now(dt.UTC).date()
    print(f"{today}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
    for title, rows in (
        ("Import", startup.rows),
        ("Turns and events", turns.rows),
        ("Bytes", traffic.rows),
        ("Claims and thoughts", memory.rows),
        ("Providers", providers.rows),
        ("Tools", tools.rows),
        ("Files", files.rows),
        ("HTTP", http_tool.rows),
        ("Sandbox", sandbox.rows),
    ):
        print(f"\n{title}")
        for row in rows():
            print(row, flush=True)


if __name__ == "__main__":
    sys.exit(main())
