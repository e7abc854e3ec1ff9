"""
Copies of the tasks under the keys that the original documents, for people and tools that read them.

``teams:<pool>:unclaimed:<id>``, ``claimed``, ``completed``: each says by its fence which claim it is
about. They are written after the fact and mended by whoever lists the pool next; nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from cloudllm_core import Item, Store

from .rules import Task

SHELF = {"ready": "unclaimed", "claimed": "claimed", "done": "completed"}


def copy_of(task: Task) -> tuple[str, dict[str, Any]] | None:
    """On which shelf the copy of *task* belongs, and what it says; a dead task has none."""
    if task.state == "ready":
        text = task.item.description or task.item.title
        if task.item.acceptance_criteria:
            text += f"\n\nAcceptance criteria: {task.item.acceptance_criteria}"
        return "unclaimed", {"fence": task.fence, "text": text}
    if task.state == "claimed":
        return "claimed", {"fence": task.fence, "text": f"{task.owner}:{int(task.claimed_at or 0)}"}
    if task.state == "done":
        return "completed", {"fence": task.fence, "result": task.result}
    return None


@attrs.frozen
class Copies:
    """The copies of one pool."""

    store: Store
    root: str
    """What all keys of the pool begin with."""

    async def follow(self, before: Task | None, after: Task) -> None:
        """Write the copy of *after*, and take away that of *before*."""
        if before is not None and copy_of(before) == copy_of(after):
            return
        if copy := copy_of(after):
            await self.store.put(f"{self.root}{copy[0]}:{after.id}", copy[1])
        if before is not None and before.state != after.state and before.state in SHELF:
            await self.store.delete(f"{self.root}{SHELF[before.state]}:{after.id}")

    async def mend(self, found: Iterable[Item], tasks: Iterable[Task]) -> None:
        """Let the copies say what the *tasks* do; *found* is what there was beside them at the same moment."""
        shelves = tuple(f"{self.root}{shelf}:" for shelf in SHELF.values())
        stale = {item.key: item for item in found if item.key.startswith(shelves)}
        for task in tasks:
            if copy := copy_of(task):
                key, value = f"{self.root}{copy[0]}:{task.id}", copy[1]
                there = stale.pop(key, None)
                if there is None or there.value != value:
                    await self.store.compare_and_set(key, there.version if there else 0, value)
        for item in stale.values():
            await self.store.delete(item.key, item.version)
