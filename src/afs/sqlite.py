"""The one way to open SQLite: a write-ahead log, every commit on the disk, patience with other writers, and a close.

Not an object mapper: callers write their own SQL.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from afs.errors import DataError, boundary

BUSY_S = 30.0
"""Longest wait for another writer; our transactions take milliseconds, so a longer one means a stuck process."""


def open_database(path: Path, schema: str, owner: object) -> sqlite3.Connection:
    """A connection that any thread may use; it is closed when its owner is collected, if nobody closed it before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with boundary(DataError, f"{path}"):
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        weakref.finalize(owner, database.close)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.executescript(schema)
        except sqlite3.Error:
            database.close()
            raise
    return database


def remove_database(path: Path) -> None:
    """Delete a database with its log: for caches that cannot be read any more."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


@contextmanager
def open_untrusted(path: Path) -> Iterator[sqlite3.Connection]:
    """A foreign file to read: nothing is written, and no function or view of its own runs with our rights."""
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        database.execute("PRAGMA trusted_schema=OFF")
        database.text_factory = bytes
        yield database
