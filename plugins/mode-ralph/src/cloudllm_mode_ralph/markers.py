"""Which tasks a reply says are done: ``[TASK_COMPLETE:id]`` on a line of its own, outside code, and nothing else."""

from __future__ import annotations

import re

MARKER = re.compile(r" {0,3}\[TASK_COMPLETE:([^\]]*)\]\s*")
"""A line that says a task is done; with four spaces before it, it is code."""

FENCE = re.compile(r"\s*(`{3,}(?!.*`)|~{3,})(.*)")
"""A line that begins or ends a block of code."""


def ids_in(text: str) -> list[str]:
    """The ids that markers in *text* name, in order, each once; code blocks and quotes do not count."""
    ids: dict[str, None] = {}
    fence = ""
    for line in text.splitlines():
        mark = FENCE.fullmatch(line)
        if mark and not fence:
            fence = mark[1]
        elif mark:
            fence = "" if mark[1].startswith(fence) and not mark[2].strip() else fence
        elif not fence and (found := MARKER.fullmatch(line)):
            ids[found[1].strip()] = None
    return list(ids)
