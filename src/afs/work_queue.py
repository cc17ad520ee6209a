"""Piecewise work in SQLite (WAL, synchronous=FULL): each item is claimed under a lease and completed once.

A process that dies leaves its lease to run out; what was completed is never done or paid for again.
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
    """A claimed piece of work."""

    key: str
    payload: bytes
    attempts: int


class WorkQueue:
    """The list of pieces in one database file."""

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
        """Add pieces that are not there yet; how many were new."""
        with self._transaction() as db:
            (start,) = db.execute("SELECT COUNT(*) FROM items").fetchone()
            rows = ((key, payload, start + number) for number, (key, payload) in enumerate(items))
            before = db.total_changes
            db.executemany("INSERT OR IGNORE INTO items (key, payload, position) VALUES (?, ?, ?)", rows)
            return db.total_changes - before

    def claim(self, count: int, lease_s: float) -> list[ClaimedItem]:
        """Take up to `count` open pieces, or ones whose lease ran out."""
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
        """Store results, durably; a piece that was completed before keeps its first result."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE items SET state = 'done', result = ? WHERE key = ? AND state != 'done'",
                [(result, key) for key, result in results],
            )

    def release(self, keys: Iterable[str]) -> None:
        """Give pieces back before their lease runs out."""
        with self._transaction() as db:
            db.executemany("UPDATE items SET state = 'open' WHERE key = ? AND state = 'leased'", [(k,) for k in keys])

    def results(self) -> Iterator[tuple[str, bytes]]:
        """Every completed piece in the order the pieces were added."""
        yield from self._db.execute("SELECT key, result FROM items WHERE state = 'done' ORDER BY position")

    def names(self) -> Iterator[str]:
        """The key of every piece."""
        yield from (key for (key,) in self._db.execute("SELECT key FROM items"))

    def counts(self) -> dict[str, int]:
        """Pieces by state."""
        return dict(self._db.execute("SELECT state, COUNT(*) FROM items GROUP BY state").fetchall())

    def close(self) -> None:
        """Close the file."""
        self._db.close()
