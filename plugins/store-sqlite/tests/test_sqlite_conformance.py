"""The SQLite store keeps what every store promises, through two handles on one file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from cloudllm_core import Store
from cloudllm_core.testing.conformance import StoreContract
from cloudllm_store_sqlite import SqliteStore

YEAR_2100 = 4_102_444_800.0


class TestSqlite(StoreContract):
    """A file that has seen the year 2100: its time goes on only when it is told to."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        self.file = tmp_path / "team.db"
        store = SqliteStore(self.file, synchronous="normal")

        async def begin() -> None:
            await store.now()
            await store.aclose()
            self.set_clock(YEAR_2100)

        asyncio.run(begin())
        return store

    def another(self, store: Store) -> Store:
        return SqliteStore(self.file, synchronous="normal")

    async def advance(self, store: Store, seconds: float) -> None:
        self.set_clock(await store.now() + seconds)

    def set_clock(self, time: float) -> None:
        with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("UPDATE latest SET time = ?", (time,))
