"""The file: its tables, and how a connection to it begins."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal, TypeAlias

from cloudllm_core.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

Synchronous: TypeAlias = Literal["full", "normal"]

APPLICATION = 0x434C5354  # "CLST": tells a store from other databases
VERSION = 1

TABLES = """
CREATE TABLE items (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    op TEXT NOT NULL,
    written REAL NOT NULL,
    expires REAL
);
CREATE INDEX items_by_state ON items (json_extract(value, '$.state'), key);
CREATE INDEX items_by_end ON items (expires) WHERE expires IS NOT NULL;
CREATE TABLE latest (only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL, time REAL NOT NULL);
INSERT INTO latest VALUES (1, 0, 0);
"""

WHOSE = """
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
FROM pragma_application_id, pragma_user_version
"""  # in one statement: somebody else may be making the tables at this moment


def connect(path: str, timeout: float, synchronous: Synchronous) -> sqlite3.Connection:
    """
    Open *path*, and make the store in it if there is none.

    Raises:
        sqlite3.Error: it cannot be opened. StoreError: it is no store, or a newer one.
    """
    import sqlite3

    new = not os.path.exists(path)
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    try:
        if new:
            os.chmod(path, 0o600)
        _recognize(connection, path)
        _use_wal(connection, path, timeout)
        connection.execute(f"PRAGMA synchronous={'FULL' if synchronous == 'full' else 'NORMAL'}")
        connection.execute("PRAGMA fullfsync=ON")  # macOS: until the drive has it
        _make(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _recognize(connection: sqlite3.Connection, path: str) -> int:
    """The version of the store in the file; 0 if the file is empty."""
    application, version, tables = connection.execute(WHOSE).fetchone()
    if (application, version, tables) == (0, 0, 0):
        return 0
    if application != APPLICATION:
        raise StoreError(path, "is another program's database. Give the file of a store, or a name that is free.")
    if version > VERSION:
        raise StoreError(
            path,
            f"was made by a newer version of this plugin (format {version}, known is {VERSION}). "
            "Upgrade it: pip install --upgrade cloudllm-store-sqlite",
        )
    return int(version)


def _use_wal(connection: sqlite3.Connection, path: str, timeout: float) -> None:
    """Readers beside a writer, and one flush to the disk for a write. The change itself does not wait for others."""
    import sqlite3

    deadline = time.monotonic() + timeout
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise StoreError(path, f"cannot be shared: {mode!r} is its journal. Put it on a local disk.")
        return


def _make(connection: sqlite3.Connection, path: str) -> None:
    """The tables, made by whoever comes first."""
    if _recognize(connection, path):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _recognize(connection, path):
            for statement in filter(str.strip, TABLES.split(";\n")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
