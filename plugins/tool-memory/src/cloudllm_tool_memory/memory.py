"""Memory that agents share: a store, or one namespace of it, and the tools over it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import attrs

from cloudllm_core import Item, Store, ToolContext, ToolDefinition, ToolProtocol
from cloudllm_core.errors import SettingsError

from ._faults import MemoryFault
from ._grammar import Order, read
from ._keys import POOLS, Keys, check_life, checked_namespace, items_of
from ._tools import VERBS, WRITES, specification, text_tool, typed_tools


def _own(store: Store | None) -> Store:
    if store is None:
        from cloudllm_store_memory import MemoryStore

        store = MemoryStore()
    return store


def _checked_store(_: Any, __: Any, store: Any) -> None:
    if not isinstance(store, Store):
        hint = "Make one of its class; in a team file its name will do: 'sqlite:team.db'."
        raise SettingsError("store", repr(store), "an instance of Store", hint)


@attrs.define(eq=False)
class Memory(ToolProtocol):
    """
    Memory that agents share, by the original's text commands and by typed tools.

    The text form writes and reads text; the typed form, any JSON. What either wrote the other reads: text is
    the same in both, and any other JSON is read by the text form as its JSON text.

    Without a *namespace*, keys are the store's own. A namespace's keys stand in the store below ``memory:``
    and its name; it sees nothing else, and nobody else sees them.
    """

    name: ClassVar[str] = "memory"

    store: Store = attrs.field(default=None, converter=_own, validator=_checked_store)
    """Where it is kept; without one, in a `MemoryStore` of its own."""

    namespace: str = attrs.field(default="", kw_only=True, validator=checked_namespace)
    allow_clear: bool = attrs.field(default=False, kw_only=True)
    """Whether CLEAR may delete all its keys."""

    read_only: bool = attrs.field(default=False, kw_only=True)
    """Whether nothing can be changed through it, and only the tools that read are offered."""

    form: Literal["both", "text", "typed"] = attrs.field(
        default="both", kw_only=True, validator=attrs.validators.in_(("both", "text", "typed"))
    )
    """Which tools are offered: ``memory``, the ``memory_...`` ones, or both."""

    # -- as tools --

    def tools(self) -> Sequence[ToolDefinition]:
        text = [] if self.form == "typed" else [text_tool(self._verbs, beside=self.form == "both")]
        return [*text, *([] if self.form == "text" else typed_tools(not self.read_only))]

    async def call(self, tool: str, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        offered = [definition.name for definition in self.tools()]
        if tool not in offered:
            raise MemoryFault("Unknown Tool", f"{tool!r} is no tool of this memory. There are {', '.join(offered)}.")
        try:
            if tool == "memory":
                return await self._obey(read(**arguments))
            return await getattr(self, f"_{tool}")(**arguments)
        except SettingsError as problem:  # key and lifetime have been seen to: it is the value
            raise MemoryFault("Invalid Value", str(problem)) from problem

    async def aclose(self) -> None:
        """Close the store; it opens again when it is used again."""
        await self.store.aclose()

    @property
    def _verbs(self) -> tuple[str, ...]:
        kept_back = () if self.allow_clear else ("C",)
        return tuple(verb for verb in VERBS if verb not in (WRITES if self.read_only else kept_back))

    async def _obey(self, order: Order) -> dict[str, Any]:
        """Carry out a text command; the answers' shapes are the original's."""
        match order:
            case Order("P", key, value, ttl):
                await self.put(key, value, ttl)
            case Order("G", key):
                item = _there(await self.get(key))
                return {"value": _text(item.value)} | ((await self._lives(item))[0] if order.meta else {})
            case Order("L", prefix):
                items = await self.list(prefix)
                if not order.meta:
                    return {"keys": [item.key for item in items]}
                lives = zip(items, await self._lives(*items), strict=True)
                return {"keys": [{"key": item.key} | life for item, life in lives]}
            case Order("D", key):
                _there(await self.delete(key))
            case Order("C"):
                await self.clear()
            case Order("T", scope):
                keys, values = await self.bytes_stored()
                totals = {"A": ("total_bytes", keys + values), "K": ("keys_bytes", keys), "V": ("values_bytes", values)}
                return dict([totals[scope]])
            case Order("SPEC"):
                return {"specification": specification(self._verbs)}
        return {"status": "OK"}

    async def _memory_get(self, key: str) -> dict[str, Any]:
        item = await self.get(key)
        if item is None:
            raise MemoryFault("NOT_FOUND", f"Nothing is stored under {key!r}. memory_list shows the keys there are.")
        return {"value": item.value} | (await self._lives(item))[0]

    async def _memory_list(self, prefix: str = "") -> dict[str, Any]:
        return {"keys": [item.key for item in await self.list(prefix)]}

    async def _memory_put(self, key: str, value: Any, ttl: float | None = None) -> dict[str, Any]:
        await self.put(key, value, ttl)
        return {"status": "OK"}

    async def _memory_delete(self, key: str) -> dict[str, Any]:
        return {"deleted": await self.delete(key)}

    async def _lives(self, *items: Item) -> Sequence[dict[str, Any]]:
        """When each was written, and how many seconds it has left, by the store's clock."""
        now = await self.store.now() if any(item.expires is not None for item in items) else 0.0
        return [
            {
                "added_utc": datetime.fromtimestamp(item.written, UTC).isoformat(),
                "expires_in": None if item.expires is None else max(0, math.ceil(item.expires - now)),
            }
            for item in items
        ]

    # -- from Python --

    async def get(self, key: str) -> Item | None:
        """What *key* holds. Raises: MemoryFault: it cannot be a key here."""
        item = await self.store.get(self._keys.place(key))
        return None if item is None else self._keys.shown(item)

    async def put(self, key: str, value: Any, ttl: float | None = None) -> Item:
        """
        Let *key* hold *value* (JSON), for *ttl* seconds or for good.

        Raises:
            MemoryFault: it may not be written, or cannot be a key or a lifetime. SettingsError: it is no JSON.
        """
        self._may_change()
        check_life(ttl)
        return self._keys.shown(await self.store.put(self._keys.place(key, changing=True), value, ttl))

    async def delete(self, key: str) -> bool:
        """Let *key* hold nothing. Whether it held something till then. Raises: MemoryFault: as `put`."""
        self._may_change()
        return await self.store.delete(self._keys.place(key, changing=True))

    async def list(self, prefix: str = "") -> tuple[Item, ...]:
        """All that keys beginning with *prefix* hold, by key; a ``*`` at its end changes nothing."""
        items = await self.store.list(self._keys.root + prefix.removesuffix("*"))
        return tuple([self._keys.shown(item) for item in items if self._keys.shows(item.key)])

    async def clear(self) -> int:
        """
        Delete all that it holds now, but for what only teams may change; how many keys.

        Raises:
            MemoryFault: it is not allowed.
        """
        self._may_change()
        if not self.allow_clear:
            remedy = "Delete single keys with: D key. Whoever set it up allows it with allow_clear=True."
            raise MemoryFault("Clear Not Allowed", f"This memory cannot be cleared at once. {remedy}")
        items = [item for item in await self.list() if not item.key.startswith(POOLS)]
        # by version: what somebody writes meanwhile is not what was to be cleared
        return sum([await self.store.delete(self._keys.place(item.key), item.version) for item in items])

    async def bytes_stored(self) -> tuple[int, int]:
        """The UTF-8 bytes of its keys, and of its values as the text form reads them."""
        items = await self.list()
        return sum([_bytes(item.key) for item in items]), sum([_bytes(_text(item.value)) for item in items])

    async def snapshot(self) -> dict[str, Any]:
        """
        What it holds at one moment, as JSON: ``{"items": [{"key", "value", "ttl"} ...]}``.

        Without a namespace, that is the whole store, with its namespaces and pools.
        """
        whole: dict[str, Any] = await self.store.snapshot()
        root = self._keys.root
        items = [item for item in whole["items"] if item["key"].startswith(root)]
        return whole | {"items": [item | {"key": item["key"].removeprefix(root)} for item in items]}

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        """
        Let it hold what *snapshot* says and nothing else.

        Without a namespace, that is the whole store, at once or not at all. A namespace is restored key by key,
        after all of them have been looked at.

        Raises:
            SettingsError: *snapshot* is none. MemoryFault: something may not be written here.
        """
        self._may_change()
        if not self.namespace:
            await self.store.restore(snapshot)
            return
        wanted = {item["key"]: item for item in items_of(snapshot)}
        for key, item in wanted.items():
            self._keys.place(key, changing=True)
            check_life(item.get("ttl"))
        for key, item in wanted.items():
            await self.put(key, item["value"], item.get("ttl"))
        for there in await self.list():
            if there.key not in wanted:
                await self.store.delete(self._keys.place(there.key))

    @property
    def _keys(self) -> Keys:
        return Keys(self.namespace)

    def _may_change(self) -> None:
        if self.read_only:
            raise MemoryFault("Read Only", "This memory can only be read.")


def _there(found: Any) -> Any:
    if not found:
        raise MemoryFault("NOT_FOUND")
    return found


def _text(value: Any) -> str:
    """*value* as the text form reads it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
