"""The contract of stores: memory that agents, runs and processes share, with compare-and-set."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import attrs

from ._messages import Json, JsonObject
from ._settings import Configurable
from .storing import matches


@attrs.frozen(kw_only=True)
class Item:
    """A value in a store, as it stood when it was read."""

    key: str
    value: Json
    version: int
    """Greater than any the store gave before, whatever the key: no version comes twice, also after a deletion."""

    written: float
    """When, by the store's clock: seconds since 1970."""

    expires: float | None = None
    """When it will be gone, by the store's clock; None is never."""

    def to_json(self) -> dict[str, Json]:
        return attrs.asdict(self, recurse=False)

    @classmethod
    def from_json(cls, body: JsonObject) -> Item:
        return cls(**body)


Items: TypeAlias = tuple[Item, ...]


class Store(Configurable, abc.ABC):
    """
    Memory that agents share.

    Write a store::                                 Offer it::

        class Shelf(Store):                             @hookimpl
            name = "shelf"                              def cloudllm_register_store() -> type[Shelf]:
            ...                                             return Shelf

    *Values* are JSON, and nobody else's objects: what comes out may be changed freely. *Keys* are text
    of 1 to 512 printable characters, sorted by code point. Each operation is atomic,
    also among processes where the store is shared by them; what has expired is gone for every
    operation. A lifetime (*ttl*) is given in seconds; an overwritten key has the new write's lifetime,
    or none. A store connects when it is first used, and again when it is used after `aclose`.
    `cloudllm_core.storing` has the checks.
    ``name:location`` in a team file is short for ``{name = ..., location = ...}``.

    Every operation raises `SettingsError` for what cannot be a key, a lifetime or JSON, and
    `StoreError` where the store cannot be reached or cannot do it; then nothing is half done.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    async def get(self, key: str) -> Item | None:
        """What *key* holds."""

    @abc.abstractmethod
    async def put(self, key: str, value: Json, ttl: float | None = None) -> Item:
        """Let *key* hold *value*, whatever it held."""

    @abc.abstractmethod
    async def compare_and_set(
        self, key: str, expected: int, value: Json, op: str = "", ttl: float | None = None
    ) -> Item | None:
        """
        Let *key* hold *value* if its version is *expected*; 0 means that it holds nothing.

        The store keeps *op* beside the version: a repetition of the write that stands there already
        (the same *op*, not empty) succeeds and changes nothing. So whoever never got the answer asks again.

        Returns:
            What stands there now; None if somebody else wrote meanwhile.
        """

    @abc.abstractmethod
    async def delete(self, key: str, expected: int | None = None) -> bool:
        """Let *key* hold nothing, if its version is *expected* (None: any). Whether it held something till then."""

    @abc.abstractmethod
    async def list(self, prefix: str = "") -> Items:
        """All that keys beginning with *prefix* hold at one moment, by key."""

    async def first(self, prefix: str, where: Mapping[str, Json]) -> Item | None:
        """
        The first item of `list` whose value is an object with the fields *where* (texts, whole numbers,
        true, false or null). For stores that find it without listing; this one lists.
        """
        return next((item for item in await self.list(prefix) if matches(item.value, where)), None)

    @abc.abstractmethod
    async def now(self) -> float:
        """The time by the store's clock, which all who share it go by: seconds since 1970."""

    @abc.abstractmethod
    async def snapshot(self) -> dict[str, Json]:
        """All it holds, as JSON: ``{"items": [{"key", "value", "ttl"} ...]}`` with the seconds left to live."""

    @abc.abstractmethod
    async def restore(self, snapshot: JsonObject) -> None:
        """Let the store hold what *snapshot* says and nothing else, at once or not at all."""

    async def aclose(self) -> None:
        """Let go of connections and files; the next operation opens them again."""
