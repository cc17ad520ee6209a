"""What all runs of a workspace may spend together in a day (UTC), also when several run at once.

A run draws a part of the day's budget before it spends it; a finished or dead run is charged what its ledger says.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from afs.errors import DataError, boundary
from afs.model_calls.ledger_reader import reading, spent_since
from afs.model_calls.store import NANO
from afs.sqlite import open_database

FILE = "spending.db"
LEDGERS = ("campaigns/*/calls.db", "runs/*/calls.db")
"""Where the runs of a workspace keep their ledgers."""
_DAY_S = 86400.0
_CALLS_AT_ONCE = 32
"""A run draws for so many calls, so that the shared file is not written for each of them."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS drawn (
    day INTEGER NOT NULL, ledger TEXT NOT NULL, nano INTEGER NOT NULL, PRIMARY KEY (day, ledger)
) WITHOUT ROWID;
"""


class DayBudget:
    """One run's share in the day's budget."""

    def __init__(self, root: Path, ledger: Path, cap: int, clock: Callable[[], float] = time.time) -> None:
        self.cap, self.used = cap, 0
        self._root, self._ledger, self._clock = root, ledger.relative_to(root).as_posix(), clock
        self._drawn = self._in_flight = 0
        self._day = -1
        self._db = open_database(root / FILE, _SCHEMA, self)
        self._begin_day()

    def reserve(self, worst: int) -> bool:
        """Set the worst case of a call aside; False when the day's budget does not hold it."""
        if int(self._clock() // _DAY_S) != self._day:
            self._begin_day()
        need = self.used + self._in_flight + worst - self._drawn
        if need > 0 and not self._draw(need, need + (_CALLS_AT_ONCE - 1) * worst):
            return False
        self._in_flight += worst
        return True

    def settle(self, worst: int, paid: int) -> None:
        """A call ended."""
        self._in_flight -= worst
        self.used += paid

    def left(self) -> int:
        """What nobody has spent or drawn today, and this run's own part."""
        with self._shared() as total:
            return self.cap - total() + self._drawn - self.used - self._in_flight

    def close(self) -> None:
        """Give back what was drawn and not spent."""
        with self._shared():
            self._write(self._ledger, self._spent(self._ledger) or 0)
        self._db.close()

    def _begin_day(self) -> None:
        self._day = int(self._clock() // _DAY_S)
        self.used = self._drawn = self._spent(self._ledger) or 0
        with self._shared():
            self._write(self._ledger, self._drawn)
            known = {row[0] for row in self._rows()} - {self._ledger}
            found = (path for pattern in LEDGERS for path in self._root.glob(pattern))
            for path in found:
                name = path.relative_to(self._root).as_posix()
                if name not in known and path.stat().st_mtime >= self._day * _DAY_S:
                    self._write(name, self._spent(name) or 0)

    def _draw(self, need: int, wish: int) -> bool:
        with self._shared() as total:
            if self.cap - total() < need:
                self._charge_the_dead()
            left = self.cap - total()
            if left < need:
                return False
            self._drawn += min(wish, max(need, left // 8))
            self._write(self._ledger, self._drawn)
        return True

    def _charge_the_dead(self) -> None:
        """Runs that ended without giving back: their ledgers say what they spent, calls in flight at the worst case."""
        for (name,) in [row[:1] for row in self._rows() if row[0] != self._ledger]:
            if not _is_owned(self._root / name) and (spent := self._spent(name)) is not None:
                self._write(name, spent)

    def _spent(self, name: str) -> int | None:
        path = self._root / name
        if not path.is_file():
            return None
        with reading(path) as database:
            return spent_since(database, self._day * _DAY_S)

    @contextmanager
    def _shared(self) -> Iterator[Callable[[], int]]:
        """The shared file while no other run changes it; gives what is drawn in all."""
        with boundary(DataError, str(self._root / FILE)):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._total
            finally:
                self._db.execute("COMMIT")

    def _total(self) -> int:
        row = self._db.execute("SELECT COALESCE(SUM(nano), 0) FROM drawn WHERE day = ?", (self._day,)).fetchone()
        return int(row[0])

    def _rows(self) -> list[tuple[str, int]]:
        return self._db.execute("SELECT ledger, nano FROM drawn WHERE day = ?", (self._day,)).fetchall()

    def _write(self, ledger: str, nano: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO drawn VALUES (?, ?, ?)", (self._day, ledger, nano))


def _is_owned(ledger: Path) -> bool:
    """Whether a living process owns a ledger."""
    try:
        handle = os.open(ledger.with_name(ledger.name + ".lock"), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def spelled(nano: int) -> str:
    """Billionths of a dollar as dollars."""
    return f"${nano / NANO:.4f}"
