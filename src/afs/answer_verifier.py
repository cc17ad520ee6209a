"""`verify(task, answer) -> Verdict`: the pack's check, run in worker processes and cached on disk.

An answer that crashes, hangs or exhausts its checker is a wrong answer's verdict (`stage="limit"`, ok=False) only when
the checker itself survived its planted controls; a checker that cannot run at all gives an unknown (`ok=None`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import msgspec

from afs.domains.base import DOMAINS, Domain
from afs.errors import DataError, UsageError
from afs.process import Workers
from afs.sqlite import open_database, remove_database
from afs.types import Task, Verdict, digest

TIMEOUT_S = 20.0
MEMORY_MB = 4096
MOST_CHARACTERS = 400_000
"""A longer answer is no answer to a task: a model that never stops writes a few tokens more than its limit."""
_CHUNK = 64
"""Answers per message to a worker: a check takes about a millisecond, so that messages cost little beside it."""
_LIMITS = ("took longer", "out of memory", "worker died")
"""How the problems begin that an answer can cause."""
_KILLED = "worker died (signal 9)"
"""Nothing in a check ends this way by itself: the system or a person killed the worker."""
_SEAL = 8
"""Bytes of a row's seal."""
_SCHEMA = "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, verdict BLOB) WITHOUT ROWID"


def load_pack(name: str) -> Domain:
    """The pack called `name`."""
    return DOMAINS.find(name)


def check_seconds(task: Task) -> float:
    """How long one check may take by the pack's word; 0: it does not say, and checks take milliseconds."""
    try:
        longest = getattr(load_pack(task.domain), "check_seconds", None)
        return float(longest(task)) if longest is not None else 0.0
    except UsageError:  # the check itself will say what is wrong with the task
        return 0.0


def refuse_long(task: Task, answer: str) -> Verdict | None:
    """The verdict on an answer that is longer than any that is read."""
    if len(answer) <= MOST_CHARACTERS:
        return None
    reason = f"an answer of {len(answer)} characters; at most {MOST_CHARACTERS} are read"
    return Verdict(task=task.id, ok=False, score=0.0, stage="limit", reason=reason)


def check_answer(task: Task, answer: str) -> Verdict:
    """The pack's verdict computed in this process: for trusted answers and for workers."""
    if (verdict := refuse_long(task, answer)) is not None:
        return verdict
    pack = load_pack(task.domain)
    verdict = pack.check(task, answer)
    return msgspec.structs.replace(verdict, checker=f"{pack.name}/{pack.version}") if not verdict.checker else verdict


_Pairs = list[tuple[Task, str]]
_decode_pairs = msgspec.msgpack.Decoder(_Pairs).decode
_decode_verdicts = msgspec.msgpack.Decoder(list[Verdict]).decode


def check_many(payload: bytes) -> bytes:
    """A worker's entry: pairs in, verdicts out."""
    return msgspec.msgpack.encode([check_answer(task, answer) for task, answer in _decode_pairs(payload)])


class Verifier:
    """Judges answers in worker processes, in order, and caches verdicts in a file."""

    def __init__(self, *, jobs: int = 1, cache: Path | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._workers = Workers(f"{__name__}:check_many", jobs=jobs, timeout_s=timeout_s, memory_mb=MEMORY_MB)
        self._cache = VerdictCache(cache) if cache is not None else None
        self._one_batch = threading.Lock()

    def verify(self, task: Task, answer: str) -> Verdict:
        """One verdict."""
        return next(self.verify_all([(task, answer)]))

    def verify_all(self, pairs: Iterable[tuple[Task, str]]) -> Iterator[Verdict]:
        """Verdicts in the order of the pairs; large batches are divided among the workers."""
        source = iter(pairs)
        while batch := list(islice(source, _CHUNK * self._workers.jobs * 4)):
            with self._one_batch:  # workers and the cache's transactions belong to one caller at a time
                found = self._batch(batch)
            yield from found

    def _batch(self, batch: _Pairs) -> list[Verdict]:
        keys = [_cache_key(task, answer) for task, answer in batch]
        known = self._cache.get(keys) if self._cache else {}
        fresh = [(key, pair) for key, pair in dict(zip(keys, batch, strict=True)).items() if key not in known]
        slow = any(check_seconds(task) for _, (task, _) in fresh)
        size = 1 if slow else max(1, min(_CHUNK, -(-len(fresh) // self._workers.jobs)))
        chunks = [fresh[i : i + size] for i in range(0, len(fresh), size)]
        calls = [self._payload([pair for _, pair in chunk]) for chunk in chunks]
        new: dict[str, Verdict] = {}
        for chunk, outcome in zip(chunks, self._workers.map_timed(calls), strict=True):
            verdicts = self._one_by_one(chunk) if outcome.problem else _decode_verdicts(outcome.value)
            new |= {key: verdict for (key, _), verdict in zip(chunk, verdicts, strict=True)}
        if self._cache:
            self._cache.put({key: verdict for key, verdict in new.items() if verdict.ok is not None})
        return [known.get(key) or new[key] for key in keys]

    def _one_by_one(self, chunk: Sequence[tuple[str, tuple[Task, str]]]) -> list[Verdict]:
        """Judge a chunk that broke its worker one answer at a time, so that a bad answer affects only itself."""
        return [self._judge_alone(task, answer) for _, (task, answer) in chunk]

    def _judge_alone(self, task: Task, answer: str) -> Verdict:
        """One answer in a worker of its own. A failure is the answer's only when it repeats and a control passes.

        The control is the task's own reference under the same limits: when it fails too, the machine is overloaded or
        the checker broken, and nothing is known of the answer.
        """
        first = self._call(task, answer)
        if isinstance(first, Verdict):
            return first
        if not first.startswith(_LIMITS):
            return _unknown(task, f"the checker failed: {first}")
        control = self._call(task, task.reference)
        again = self._call(task, answer)
        if isinstance(again, Verdict):
            return again
        if not isinstance(control, Verdict):
            return _unknown(task, f"the check {first}, and so does that of the reference answer")
        if not again.startswith(_LIMITS) or _KILLED in (first, again):
            return _unknown(task, f"the checker failed: {again}")
        return Verdict(task=task.id, ok=False, score=0.0, stage="limit", reason=f"the answer's check {again}")

    def _call(self, task: Task, answer: str) -> Verdict | str:
        """The verdict, or the problem that the worker died of."""
        outcome = self._workers.call(*self._payload([(task, answer)]))
        return outcome.problem or _decode_verdicts(outcome.value)[0]

    def _payload(self, pairs: _Pairs) -> tuple[bytes, float]:
        """What a worker is sent, and how long it may take."""
        own = max((check_seconds(task) for task, _ in pairs), default=0.0)
        return msgspec.msgpack.encode(pairs), max(self.timeout_s, own)

    def close(self) -> None:
        self._workers.close()
        if self._cache:
            self._cache.close()

    def __enter__(self) -> Verifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_verifier(root: Path, jobs: int, verdicts: str = "verdicts.db") -> Verifier:
    """The verifier of a workspace: what one command judged, the next one knows."""
    return Verifier(jobs=jobs, cache=root / "cache" / verdicts)


def _unknown(task: Task, reason: str) -> Verdict:
    return Verdict(task=task.id, ok=None, score=None, stage="checker", reason=reason)


def _cache_key(task: Task, answer: str) -> str:
    pack = load_pack(task.domain)
    return digest((pack.name, pack.version, task, answer))


def _row_seal(key: str, verdict: bytes) -> bytes:
    """What stands before a stored verdict."""
    return blake2b(verdict, key=key.encode()[:64], digest_size=_SEAL).digest()


def _is_sealed(key: object, row: object) -> bool:
    """Whether a row is as it was written; one that is not, or is of an earlier version, is judged again."""
    return isinstance(key, str) and isinstance(row, bytes) and row[:_SEAL] == _row_seal(key, row[_SEAL:])


class VerdictCache:
    """Verdicts by the digest of checker, task and answer; each row is sealed, since SQLite keeps no checksums."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = open_database(path, _SCHEMA, self)
        except DataError:
            self._start_over()
        self._decode = msgspec.json.Decoder(Verdict).decode
        self._lock = threading.Lock()  # one connection, and answers are judged by several threads

    def get(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """The verdicts known for these keys."""
        found: dict[str, Verdict] = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            with self._lock:
                try:
                    query = f"SELECT key, verdict FROM verdicts WHERE key IN ({marks})"
                    rows = self._db.execute(query, part).fetchall()
                    found |= {key: self._decode(row[_SEAL:]) for key, row in rows if _is_sealed(key, row)}
                except (sqlite3.DatabaseError, msgspec.DecodeError):
                    self._start_over()
                    return {}
        return found

    def _start_over(self) -> None:
        """A damaged cache is deleted: verdicts are computed again."""
        if db := getattr(self, "_db", None):
            db.close()
        remove_database(self._path)
        self._db = open_database(self._path, _SCHEMA, self)

    def put(self, verdicts: dict[str, Verdict]) -> None:
        encoded = {key: msgspec.json.encode(verdict) for key, verdict in verdicts.items()}
        rows = [(key, _row_seal(key, raw) + raw) for key, raw in encoded.items()]
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", rows)
                self._db.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    self._start_over()
                elif error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
                    raise DataError(f"{self._path}: {error}") from error

    def close(self) -> None:
        self._db.close()
