"""
Re-enacts a run of a random program in a process of its own.

``python -m tests.kernel.reenact SEED`` reads a journal from standard input, replays it with a fresh team, simulates
the same seed once more, and prints what came of both.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from cloudllm_core import load_records
from cloudllm_core.testing import simulate
from tests.kernel.programs import team


def told(result: Any) -> dict[str, Any]:
    """A result without what a replay leaves out: it reaches no sink and keeps no session."""
    return {key: value for key, value in result.to_json().items() if key not in ("sinks", "sessions_kept")}


def main() -> None:
    seed = int(sys.argv[1])
    records = load_records(tuple(sys.stdin.buffer.read().splitlines()), "standard input")
    orchestration = team(seed)
    result = asyncio.run(orchestration.replay(records))
    again = simulate(lambda: team(seed), seed=seed)
    mode: Any = orchestration.mode
    json.dump(
        {
            "replayed": told(result),
            "log": json.loads(json.dumps(mode.log, default=lambda value: value.to_json())),
            "hashes": [record.hash for record in again.records],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
