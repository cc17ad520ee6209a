"""Reading a ledger of calls without owning it: what `status`, reports, a dashboard and the day's budget use."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from afs.errors import DataError, boundary
from afs.manifests import refuse_changed
from afs.sealed_files import read_sealed
from afs.types import FileEntry


class Bill(NamedTuple):
    """What a target's calls cost so far, in billionths of a dollar."""

    target: str
    calls: int
    failed: int
    unknown: int
    cost: int
    """Of the calls whose cost is known."""
    at_most: int
    """The worst case of those whose cost is not known."""
    input_tokens: int
    output_tokens: int


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The file without owning it: what `status` and a dashboard use while a campaign runs."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    refuse_damaged(path)
    with boundary(DataError, str(path)):
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        yield db
    finally:
        db.close()


def piece_counts(db: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """Pieces by cell and state."""
    found: dict[str, dict[str, int]] = {}
    for cell, state, count in db.execute("SELECT cell, state, COUNT(*) FROM pieces GROUP BY cell, state"):
        found.setdefault(cell, {})[state] = count
    return found


def bills(db: sqlite3.Connection) -> list[Bill]:
    """Calls and money by target."""
    rows = db.execute(
        "SELECT target, COUNT(*), SUM(state = 'failed'), SUM(cost IS NULL AND state != 'asked'), "
        "COALESCE(SUM(cost), 0), COALESCE(SUM(CASE WHEN cost IS NULL THEN worst END), 0), "
        "COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0) FROM calls GROUP BY target ORDER BY target"
    )
    return [Bill(*row) for row in rows]


def spent_since(db: sqlite3.Connection, moment: float) -> int:
    """Billionths of a dollar of the calls since then; an unknown cost counts as its worst case."""
    row = db.execute("SELECT SUM(COALESCE(cost, worst, 0)) FROM calls WHERE sent >= ?", (moment,)).fetchone()
    return int(row[0] or 0)


def seal_of(path: Path) -> Path:
    """The file beside a closed store that holds its hash; SQLite keeps no checksums of its own."""
    return path.with_name(f"{path.name}.seal")


def refuse_damaged(path: Path) -> None:
    """Raise when a closed store changed since; one whose owner was killed has no seal and is trusted."""
    try:
        entry = msgspec.json.decode(read_sealed(seal_of(path)), type=FileEntry)
    except (DataError, msgspec.DecodeError, UnicodeDecodeError):
        return
    try:
        refuse_changed(path, entry)
    except DataError:
        if seal_of(path).exists():
            raise
