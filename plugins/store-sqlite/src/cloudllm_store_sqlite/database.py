"""The store's operations, each one transaction; used by one thread."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from cloudllm_core import Item
from cloudllm_core.errors import StoreError
from cloudllm_core.storing import Entries, Written, matches

from .faults import told
from .schema import Synchronous, connect

if TYPE_CHECKING:
    import sqlite3

LATEST = "SELECT version, time, (julianday('now') - 2440587.5) * 86400.0 FROM latest"
"""The last version, the latest time, and the time by SQLite's clock: to the millisecond, also in old versions."""

ITEM = "SELECT key, value, version, written, expires FROM items"
WRITE = """
INSERT INTO items (key, value, version, op, written, expires) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, op = excluded.op,
    written = excluded.written, expires = excluded.expires
"""


@attrs.define(eq=False)
class Moment:
    """A transaction: when it is, and the last version that was given."""

    connection: sqlite3.Connection
    now: float
    version: int

    def rows(self, sql: str, *given: Any) -> sqlite3.Cursor:
        return self.connection.execute(sql, given)

    def find(self, key: str) -> Item | None:
        row = self.rows(f"{ITEM} WHERE key = ?", key).fetchone()
        return None if row is None else item(row)

    def write(self, key: str, value: Written, op: str, ttl: float | None) -> Item:
        self.version += 1
        expires = None if ttl is None else self.now + ttl
        self.rows(WRITE, key, value.text, self.version, json.dumps(op) if op else "", self.now, expires)
        return Item(key=key, value=value.copy, version=self.version, written=self.now, expires=expires)


class Database:
    """
    A connection, made when it is first needed.

    Time never goes back: the file holds the latest time of a write, and what a connection has told it
    does not take back. Each transaction first drops what has expired; a reading one that finds
    something becomes a writing one for that, so that nobody later can see it alive.
    """

    def __init__(self, path: str, timeout: float, synchronous: Synchronous) -> None:
        self._path, self._timeout, self._synchronous = path, timeout, synchronous
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._seen = 0.0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, key: str) -> Item | None:
        with self._transaction() as moment:
            return moment.find(key)

    def put(self, key: str, value: Written, ttl: float | None) -> Item:
        with self._transaction(write=True) as moment:
            return moment.write(key, value, "", ttl)

    def compare_and_set(self, key: str, expected: int, value: Written, op: str, ttl: float | None) -> Item | None:
        with self._transaction(write=True) as moment:
            version, by = moment.rows("SELECT version, op FROM items WHERE key = ?", key).fetchone() or (0, "")
            if op and by == json.dumps(op):
                return moment.find(key)
            return moment.write(key, value, op, ttl) if version == expected else None

    def delete(self, key: str, expected: int | None) -> bool:
        with self._transaction(write=True) as moment:
            found = moment.rows("SELECT version FROM items WHERE key = ?", key).fetchone()
            if found is None or expected not in (None, *found):
                return False
            moment.rows("DELETE FROM items WHERE key = ?", key)
            return True

    def list(self, prefix: str) -> tuple[Item, ...]:
        condition, given = under(prefix)
        with self._transaction() as moment:
            rows = moment.rows(f"{ITEM} WHERE {condition} ORDER BY key", *given).fetchall()
        return tuple(map(item, rows))

    def first(self, prefix: str, where: Mapping[str, Any]) -> Item | None:
        """SQLite narrows it down, by index where *where* has a ``state``; `matches` decides."""
        condition, given = under(prefix)
        for name, want in where.items():
            if plain(name, want):
                condition += f" AND json_extract(value, '$.{name}') IS ?"
                given += (want,)
        with self._transaction() as moment:
            found = map(item, moment.rows(f"{ITEM} WHERE {condition} ORDER BY key", *given))
            return next((one for one in found if matches(one.value, where)), None)

    def now(self) -> float:
        with self._transaction() as moment:
            return moment.now

    def snapshot(self) -> dict[str, Any]:
        with self._transaction() as moment:
            rows = moment.rows("SELECT key, value, expires - ? FROM items ORDER BY key", moment.now).fetchall()
        return {"items": [{"key": key, "value": json.loads(text), "ttl": ttl} for key, text, ttl in rows]}

    def restore(self, entries: Entries) -> None:
        with self._transaction(write=True) as moment:
            moment.rows("DELETE FROM items")
            for key, value, ttl in entries:
                moment.write(key, value, "", ttl)

    @contextlib.contextmanager
    def _transaction(self, write: bool = False) -> Iterator[Moment]:
        """All within is one moment; it is kept whole, or not at all if anything goes wrong."""
        with told(self._path, self._timeout):
            connection = self._connected()
            before = connection.total_changes
            try:
                moment = self._begin(connection, write)
                yield moment
                if connection.total_changes > before:
                    moment.rows("UPDATE latest SET version = ?, time = ?", moment.version, moment.now)
                moment.rows("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self._seen = moment.now

    def _begin(self, connection: sqlite3.Connection, write: bool) -> Moment:
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        version, latest, clock = connection.execute(LATEST).fetchone()
        moment = Moment(connection, max(latest, clock, self._seen), version)
        if moment.rows("SELECT 1 FROM items WHERE expires <= ? LIMIT 1", moment.now).fetchone():
            if not write:
                moment.rows("ROLLBACK")
                return self._begin(connection, write=True)
            moment.rows("DELETE FROM items WHERE expires <= ?", moment.now)
        return moment

    def _connected(self) -> sqlite3.Connection:
        """
        The connection, if the file is still the one it is to.

        Others would open a new file by its name, and each of the two would give the same task away.
        """
        if self._connection is None:
            self._connection = connect(self._path, self._timeout, self._synchronous)
            self._file = _which(self._path)
        elif _which(self._path) != self._file:
            self.close()
            raise StoreError(self._path, "was deleted or replaced while it was open. Ask again to use the new file.")
        return self._connection


def _which(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def item(row: tuple[Any, ...]) -> Item:
    key, text, version, written, expires = row
    return Item(key=key, value=json.loads(text), version=version, written=written, expires=expires)


def under(prefix: str) -> tuple[str, tuple[Any, ...]]:
    """The condition that a key begins with *prefix*: a range, in which no letter means more than itself."""
    if not prefix:
        return "1", ()
    if not prefix.isprintable():  # as no key is
        return "0", ()
    return "key >= ? AND key < ?", (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def plain(name: str, want: Any) -> bool:
    """Whether SQLite can look for it: no letters that its paths or its text would treat in ways of their own."""
    if isinstance(want, str):
        simple = want.isprintable()
    else:
        simple = want is None or (isinstance(want, int) and -(2**63) <= want < 2**63)
    return simple and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None
