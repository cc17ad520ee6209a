"""Pieces of work and the ledger of calls in one SQLite file (WAL, synchronous=FULL), owned by one living process.

The owner holds a lock that the system frees when it dies, so nobody waits for the dead: whoever opens the file next
finds what was in flight, files it as a call of unknown cost, and opens its pieces again. Everything is written in the
owner's transactions, many rows at a time; an answer and its row in the ledger are one transaction.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from afs.errors import DataError, WorkspaceError, boundary
from afs.jsonl import sync_folder
from afs.manifests import file_entry
from afs.model_calls.ledger_reader import Bill, bills, piece_counts, refuse_damaged, seal_of, spent_since
from afs.sealed_files import replace_sealed
from afs.sqlite import open_database
from afs.types import Completion, Usage

State = Literal["open", "asked", "answered", "waiting", "accepted", "rejected", "failed"]
"""waiting: answered, and no checker could judge it yet; failed: no usable answer within the attempts."""
NANO = 1_000_000_000
"""The ledger counts in billionths of a dollar: one token of a cheap model costs a few dozen."""


def to_nano(usd: float) -> int:
    """Dollars as the ledger counts them."""
    return round(usd * NANO)


_SCHEMA = """
CREATE TABLE IF NOT EXISTS pieces (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, cell TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open',
    tries INTEGER NOT NULL DEFAULT 0, payload BLOB NOT NULL, result BLOB, note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS pieces_by_cell ON pieces (cell, state, id);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, piece INTEGER NOT NULL, target TEXT NOT NULL, state TEXT NOT NULL, sent REAL NOT NULL,
    batch TEXT NOT NULL DEFAULT '',
    worst INTEGER, cost INTEGER, max_tokens INTEGER NOT NULL DEFAULT 0, seconds REAL, input_tokens INTEGER,
    output_tokens INTEGER, cached_tokens INTEGER, thinking_tokens INTEGER, answered_by TEXT, request_id TEXT,
    prices TEXT, finish TEXT, problem TEXT, completion BLOB
);
CREATE INDEX IF NOT EXISTS calls_by_piece ON calls (piece);
CREATE INDEX IF NOT EXISTS calls_by_batch ON calls (batch) WHERE state = 'batched';
CREATE INDEX IF NOT EXISTS calls_in_flight ON calls (piece) WHERE state = 'asked';
CREATE TABLE IF NOT EXISTS batches (
    key TEXT PRIMARY KEY, target TEXT NOT NULL, remote TEXT NOT NULL DEFAULT '', at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'intended'
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""
_encode = msgspec.msgpack.Encoder().encode
_decode_completion = msgspec.msgpack.Decoder(Completion).decode


@dataclass(slots=True)
class Piece:
    """A piece of work in the owner's hands."""

    id: int
    key: str
    cell: str
    payload: bytes
    tries: int = 0
    """Answers it had; failures of a provider are not among them."""
    result: bytes | None = None
    """What the work noted with it."""
    busy: int = 0
    """Failures since its last answer."""
    mark: int = 0
    """Answers its target had given when these failures began."""
    problem: str = ""
    """What the last failure said."""
    excluded: set[str] = field(default_factory=set)
    """Targets that rejected this very piece."""


class LedgerRow(NamedTuple):
    """A finished call as it is written."""

    call: int
    state: Literal["answered", "failed", "unknown"]
    cost: int | None
    seconds: float = 0.0
    completion: Completion | None = None
    problem: str = ""
    prices: str = ""
    usage: Usage | None = None
    """Tokens of a call that gave no usable answer."""


class StoredAnswer(NamedTuple):
    """An answer in the ledger."""

    call: int
    target: str
    cost: int | None
    completion: Completion


class CallStore:
    """The file of one campaign, evaluation or check, opened by its only owner."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = _own(path)
        try:
            refuse_damaged(path)
            seal_of(path).unlink(missing_ok=True)
            sync_folder(path.parent)
            self._db = open_database(path, _SCHEMA, self)
            with self.transaction():
                self.interrupted = self._release_the_dead()
        except BaseException:
            os.close(self._lock)
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable afterwards, or nothing is."""
        with boundary(DataError, f"{self.path}"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def _release_the_dead(self) -> int:
        """Calls a dead owner had in flight may have been charged: their worst case counts."""
        db = self._db
        db.execute(
            "UPDATE pieces SET state = 'open' WHERE id IN (SELECT piece FROM calls WHERE state = 'asked') "
            "AND state = 'asked'"
        )
        done = db.execute(
            "UPDATE calls SET state = 'unknown', problem = 'the program ended while the call was in flight' "
            "WHERE state = 'asked'"
        )
        return done.rowcount

    def add(self, cell: str, items: Iterable[tuple[str, bytes]]) -> int:
        """Add pieces that are not there yet; how many were new. Inside a transaction."""
        before = self._db.total_changes
        self._db.executemany(
            "INSERT OR IGNORE INTO pieces (key, cell, payload) VALUES (?, ?, ?)",
            ((key, cell, payload) for key, payload in items),
        )
        return self._db.total_changes - before

    def claim(self, cell: str, after: int, count: int, state: State = "open") -> list[Piece]:
        """The next pieces of a cell in a state, beyond the piece `after`: 0.1 ms however many there are."""
        rows = self._db.execute(
            "SELECT id, key, cell, payload, tries, result FROM pieces WHERE cell = ? AND state = ? AND id > ? "
            "ORDER BY id LIMIT ?",
            (cell, state, after, count),
        )
        return [Piece(*row) for row in rows]

    def reopen_failed(self, cell: str, note: str) -> int:
        """Open again what failed for a reason that a new run may have cured."""
        done = self._db.execute(
            "UPDATE pieces SET state = 'open', note = '' WHERE cell = ? AND state = 'failed' AND note = ?", (cell, note)
        )
        return done.rowcount

    def spent_since(self, moment: float) -> int:
        """Billionths of a dollar of the calls since then; an unknown cost counts as its worst case."""
        return spent_since(self._db, moment)

    def pieces(self, cell: str) -> dict[str, tuple[Piece, State]]:
        """Every piece of a cell by its key, with its state."""
        rows = self._db.execute(
            "SELECT id, key, cell, payload, tries, result, state FROM pieces WHERE cell = ?", (cell,)
        )
        return {row[1]: (Piece(*row[:-1]), row[-1]) for row in rows}

    def open_piece(self, number: int) -> Piece | None:
        """A piece that waits to be asked, by its number."""
        row = self._db.execute(
            "SELECT id, key, cell, payload, tries, result FROM pieces WHERE id = ? AND state = 'open'", (number,)
        ).fetchone()
        return Piece(*row) if row else None

    def reopen(self, cell: str, note: str, below_max_tokens: int) -> int:
        """Open again what ended for `note` with a smaller limit of tokens than there is now."""
        done = self._db.execute(
            "UPDATE pieces SET state = 'open', tries = 0, note = '' WHERE cell = ? AND state IN ('rejected', 'failed') "
            "AND note = ? AND ? > (SELECT COALESCE(MAX(max_tokens), 0) FROM calls WHERE piece = pieces.id)",
            (cell, note, below_max_tokens),
        )
        return done.rowcount

    def ask(self, piece: Piece, target: str, worst: int | None, max_tokens: int) -> int:
        """Note that a piece is about to be sent; the call's number."""
        self._db.execute("UPDATE pieces SET state = 'asked' WHERE id = ?", (piece.id,))
        done = self._db.execute(
            "INSERT INTO calls (piece, target, state, sent, worst, max_tokens) VALUES (?, ?, 'asked', ?, ?, ?)",
            (piece.id, target, time.time(), worst, max_tokens),
        )
        return int(done.lastrowid or 0)

    def enter(self, row: LedgerRow) -> None:
        """Write how a call ended."""
        got = row.completion
        used = got.usage if got is not None else row.usage
        kept = msgspec.structs.replace(got, provider_state={}) if got is not None and got.provider_state else got
        self._db.execute(
            "UPDATE calls SET state = ?, cost = ?, seconds = ?, input_tokens = ?, output_tokens = ?, "
            "cached_tokens = ?, thinking_tokens = ?, answered_by = ?, request_id = ?, prices = ?, finish = ?, "
            "problem = ?, completion = ? "
            "WHERE id = ?",
            (
                row.state,
                row.cost,
                row.seconds,
                used and used.input_tokens,
                used and used.output_tokens,
                used and used.cached_tokens,
                used and used.thinking_tokens,
                got and (got.answered_by or got.model),
                got and got.request_id,
                row.prices,
                got and got.finish,
                row.problem,
                _encode(kept) if kept is not None else None,
                row.call,
            ),
        )

    def settle(self, piece: Piece, state: State, note: str = "") -> None:
        """Write where a piece stands."""
        self._db.execute(
            "UPDATE pieces SET state = ?, tries = ?, result = ?, note = ? WHERE id = ?",
            (state, piece.tries, piece.result, note, piece.id),
        )

    def last_answer(self, piece: int) -> StoredAnswer | None:
        """The newest answer to a piece."""
        row = self._db.execute(
            "SELECT id, target, cost, completion FROM calls WHERE piece = ? AND completion IS NOT NULL "
            "ORDER BY id DESC LIMIT 1",
            (piece,),
        ).fetchone()
        return StoredAnswer(row[0], row[1], row[2], _decode_completion(row[3])) if row else None

    def close(self) -> None:
        """Close the file and let another process own it; from now on it must not change."""
        with suppress(sqlite3.Error):  # on a full disk the log stays beside the file, and there is no seal
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        try:
            if not self.path.with_name(f"{self.path.name}-wal").exists():
                replace_sealed(seal_of(self.path), msgspec.json.encode(file_entry(self.path.parent, self.path)))
        except OSError:  # a full disk: the file is whole, only its seal is missing
            seal_of(self.path).unlink(missing_ok=True)
        finally:
            os.close(self._lock)

    # What anybody may read

    def counts(self) -> dict[str, dict[str, int]]:
        """Pieces by cell and state."""
        return piece_counts(self._db)

    def bills(self) -> list[Bill]:
        """Calls and money by target."""
        return bills(self._db)

    def results(self, cell: str, states: Sequence[State]) -> Iterator[tuple[Piece, State, str]]:
        """Finished pieces of a cell in the order they were added, each with its state and note."""
        yield from piece_results(self._db, cell, states)

    def note(self, name: str, value: object) -> None:
        """Remember a fact."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, _encode(value)))

    def fact(self, name: str) -> object:
        """A remembered fact, or None."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return msgspec.msgpack.decode(row[0]) if row else None

    @property
    def database(self) -> sqlite3.Connection:
        """The connection, for questions of a report."""
        return self._db


def piece_results(db: sqlite3.Connection, cell: str, states: Sequence[State]) -> Iterator[tuple[Piece, State, str]]:
    """Finished pieces of a cell in the order they were added."""
    marks = ",".join("?" * len(states))
    rows = db.execute(
        f"SELECT id, key, cell, payload, tries, result, state, note FROM pieces WHERE cell = ? AND state IN ({marks}) "
        "ORDER BY id",
        (cell, *states),
    )
    for *piece, state, note in rows:
        yield Piece(*piece), state, note


def _own(path: Path) -> int:
    """A lock that ends with its holder's life."""
    try:
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise WorkspaceError(f"{path}: cannot write: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        os.close(handle)
        raise WorkspaceError(
            f"{path.parent.name} is in use by process {holder or '?'}; wait for it or stop it"
        ) from error
    os.truncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle
