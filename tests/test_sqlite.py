"""SQLite is opened durably, closed with its owner, and foreign files are only read."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from afs.errors import DataError
from afs.sqlite import open_database, open_untrusted

SCHEMA = "CREATE TABLE IF NOT EXISTS t (k TEXT)"


class _Owner:
    def __init__(self, path: Path) -> None:
        self.database = open_database(path, SCHEMA, self)


def test_a_database_is_durable_and_closed_with_its_owner(tmp_path: Path) -> None:
    owner = _Owner(tmp_path / "a.db")
    database = owner.database
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)
    del owner
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.execute("SELECT 1")


def test_a_torn_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database" * 99)
    with pytest.raises(DataError, match=r"a\.db: file is not a database"):
        _Owner(tmp_path / "a.db")


def test_a_foreign_file_is_not_written(tmp_path: Path) -> None:
    owner = _Owner(tmp_path / "a.db")
    owner.database.execute("INSERT INTO t VALUES ('x')")
    owner.database.close()
    with open_untrusted(tmp_path / "a.db") as database:
        assert database.execute("SELECT k FROM t").fetchall() == [(b"x",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("DELETE FROM t")
