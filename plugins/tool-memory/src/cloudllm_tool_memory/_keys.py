"""Where a memory's keys stand in its store, and what may be written there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from cloudllm_core import Item
from cloudllm_core.errors import SettingsError

from ._faults import MemoryFault

POOLS = "teams:"
"""Where teams keep their pools of tasks: only their own tools may write there, one compare-and-set at a time."""

NAMESPACES = "memory:"
"""Where namespaces keep their keys."""

LONGEST_KEY, LONGEST_LIFE = 512, 1e11
"""Characters of a key, and seconds of a lifetime, that every store takes."""


@attrs.frozen
class Keys:
    """The keys of one *namespace*; without one, those that the store itself has."""

    namespace: str

    @property
    def root(self) -> str:
        """What they begin with in the store."""
        return f"{NAMESPACES}{self.namespace}:" if self.namespace else ""

    def place(self, key: Any, *, changing: bool = False) -> str:
        """Where the store keeps *key*. Raises: MemoryFault: nowhere; or it may not be changed, for *changing*."""
        room = LONGEST_KEY - len(self.root)
        if not isinstance(key, str) or not 0 < len(key) <= room or not key.isprintable():
            raise MemoryFault("Invalid Key", f"A key is text of 1 to {room} printable characters.")
        if changing and key.startswith(POOLS):
            only = "can only be read here. The team's own tools change them, such as claim_task and complete_task"
            raise MemoryFault("Reserved Key", f"Keys that begin with {POOLS!r} {only}.")
        if not self.shows(key):
            whose = "belong to namespaces. Choose another key"
            raise MemoryFault("Reserved Key", f"Keys that begin with {NAMESPACES!r} {whose}.")
        return f"{self.root}{key}"

    def shows(self, key: str) -> bool:
        """Whether *key* is one of these: without a namespace, those of namespaces are not."""
        return bool(self.namespace) or not key.startswith(NAMESPACES)

    def shown(self, item: Item) -> Item:
        """*item* under the key that these keys know it by."""
        return attrs.evolve(item, key=item.key.removeprefix(self.root))


def checked_namespace(_: Any, __: Any, namespace: Any) -> None:
    """Raises: SettingsError: *namespace* cannot be one."""
    if not isinstance(namespace, str) or not re.fullmatch(r"[\w.-]{0,64}", namespace):
        raise SettingsError("namespace", repr(namespace), "up to 64 letters, digits, '.', '_' and '-'")


def check_life(ttl: float | None) -> None:
    """Raises: MemoryFault: *ttl* is no lifetime."""
    if ttl is not None and not 0 < ttl <= LONGEST_LIFE:
        bounds = f"more than 0 and at most {LONGEST_LIFE:.0f} seconds"
        raise MemoryFault("Invalid TTL", f"A lifetime is {bounds}. Without one, a value is kept for good.")


def items_of(snapshot: Any) -> list[Mapping[str, Any]]:
    """The items of *snapshot*. Raises: SettingsError: it is none."""
    items = snapshot.get("items") if isinstance(snapshot, Mapping) else None
    for item in items if isinstance(items, list) else [None]:
        if not isinstance(item, Mapping) or not {"key", "value"} <= set(item):
            raise SettingsError("snapshot", repr(item)[:80], "{'items': [{'key': ..., 'value': ..., 'ttl': ...}, ...]}")
    return list(items or ())
