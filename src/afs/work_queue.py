"""A work queue in SQLite: each item is claimed under a lease and completed once.

The lease of a process that dies expires; a completed item is never done or paid for twice.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from afs.sqlite import open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    key TEXT PRIMARY KEY, payload BLOB NOT NULL, state TEXT NOT NULL DEFAULT 'open',
    lease REAL NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, result BLOB, position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_state ON items (state, position);
"""


class ClaimedItem(NamedTuple):
    """An item under a lease."""

    key: str
    payload: bytes
    attempts: int


class WorkQueue:
    """The items of one database file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._db = open_database(path, _SCHEMA, self)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def add(self, items: Iterable[tuple[str, bytes]]) -> int:
        """Add items that are not in the queue yet; returns how many were new."""
        with self._transaction() as db:
            (start,) = db.execute("SELECT COUNT(*) FROM items").fetchone()
            rows = ((key, payload, start + number) for number, (key, payload) in enumerate(items))
            before = db.total_changes
            db.executemany("INSERT OR IGNORE INTO items (key, payload, position) VALUES (?, ?, ?)", rows)
            return db.total_changes - before

    def claim(self, count: int, lease_s: float) -> list[ClaimedItem]:
        """Claim up to `count` items that are open or whose lease has expired."""
        now = self.clock()
        with self._transaction() as db:
            rows = db.execute(
                "SELECT key, payload, attempts FROM items WHERE state = 'open' OR (state = 'leased' AND lease < ?) "
                "ORDER BY position LIMIT ?",
                (now, count),
            ).fetchall()
            db.executemany(
                "UPDATE items SET state = 'leased', lease = ?, attempts = attempts + 1 WHERE key = ?",
                [(now + lease_s, key) for key, _, _ in rows],
            )
        return [ClaimedItem(key, payload, attempts + 1) for key, payload, attempts in rows]

    def complete(self, results: Iterable[tuple[str, bytes]]) -> None:
        """Store results durably; an item that is complete keeps its first result."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE items SET state = 'done', result = ? WHERE key = ? AND state != 'done'",
                [(result, key) for key, result in results],
            )

    def release(self, keys: Iterable[str]) -> None:
        """Return items to the queue before their lease expires."""
        with self._transaction() as db:
            db.executemany("UPDATE items SET state = 'open' WHERE key = ? AND state = 'leased'", [(k,) for k in keys])

    def results(self) -> Iterator[tuple[str, bytes]]:
        """Every completed item, in the order items were added."""
        yield from self._db.execute("SELECT key, result FROM items WHERE state = 'done' ORDER BY position")

    def names(self) -> Iterator[str]:
        """The key of every item."""
        yield from (key for (key,) in self._db.execute("SELECT key FROM items"))

    def counts(self) -> dict[str, int]:
        """Number of items by state."""
        return dict(self._db.execute("SELECT state, COUNT(*) FROM items GROUP BY state").fetchall())

    def close(self) -> None:
        self._db.close()
