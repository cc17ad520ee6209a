"""Reads one unit and stores its redacted outcome in the cache, so that unchanged input is never read twice.

The cached file has one line per item; its first byte is the kind: R record, D dropped, U unreadable, A unknown entry,
X redaction, C counts.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeVar, cast

import msgspec
from backports import zstd

from afs import jsonl, plugins
from afs.config import Plugin
from afs.errors import AfsError, DataError, boundary
from afs.gc_pause import pause_collector
from afs.ingest.base import KEPT, PREVIEW, Reading, Source, Unit, Unknown, Unreadable, open_balance
from afs.ingest.source_domains import GENERAL
from afs.ingest.system_prompt_and_check import attach_check, attach_system
from afs.manifests import file_sha256
from afs.redaction import Redaction, Redactor, load_rules
from afs.types import Dropped, Record, Value, digest

T = TypeVar("T", bound=Value)
_TRIES = 3
_encode = msgspec.json.Encoder().encode


class UnitJob(Value, frozen=True, kw_only=True):
    """Everything a worker needs to read one unit."""

    kind: str
    options: dict[str, object]
    path: bytes
    """In the encoding of the file system: a file name need not be text."""
    label: str
    beside: tuple[bytes, ...] = ()
    member: str = ""
    problem: str = ""
    recognized: str = ""
    source: str
    domain: str
    """Empty: the reader may find the pack itself, else general."""
    license: str = ""
    commit: str = ""
    """The work tree's newest commit when the file was first read; not part of the key."""
    target: str
    redact: bool = True
    salt: str = ""
    names: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    rules: str = ""
    check: Plugin = {}
    """The user's own check, which makes every record a task."""
    check_kinds: tuple[str, ...] = ()
    system: str = ""


def make_source(kind: str, values: Plugin) -> Source:
    """The reader of a kind, with its options."""
    return plugins.OptionTable[Source]("source").build(kind, values, prefix="options")


def unit_key(job: UnitJob, version: str) -> str:
    """A digest of everything the outcome depends on: bytes, name, reader and options."""
    paths = () if job.problem else (job.path, *job.beside)
    files = [file_sha256(Path(os.fsdecode(path))) for path in paths]
    plain = msgspec.structs.replace(job, path=b"", beside=(), target="", commit="")
    return digest([plain, version, files])[:40]


def run_job(payload: bytes) -> bytes:
    """Entry point of a worker: reads one job and writes the outcome to its target."""
    read_unit(msgspec.msgpack.decode(payload, type=UnitJob))
    return b""


def read_unit(job: UnitJob) -> None:
    """Read a unit and write its outcome; a file that grows meanwhile is read again.

    The garbage collector is paused: rows hold no cycles, and it would scan a long session over and over.
    """
    beside = tuple(Path(os.fsdecode(path)) for path in job.beside)
    unit = Unit(Path(os.fsdecode(job.path)), job.label, beside, job.member, job.problem, job.recognized)
    target = Path(job.target)
    with pause_collector():
        for attempt in range(1, _TRIES + 1):
            before = _file_stamp(unit.path)
            with jsonl.open_replacement(target) as file:
                changed = _write_outcome(job, unit, file, before, last=attempt == _TRIES)
            if not changed:
                return


def _file_stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _write_outcome(job: UnitJob, unit: Unit, file: BinaryIO, before: tuple[int, int], *, last: bool) -> bool:
    packer = zstd.ZstdFile(file, "wb", options=jsonl.ZSTD_OPTIONS)
    redactor = get_redactor(job.salt, job.names, job.allow, job.rules, job.also) if job.redact else None
    reading = Reading(unit, source=job.source, domain=job.domain or GENERAL, license=job.license, commit=job.commit)
    reading.is_domain_open = not job.domain
    reading.has_check = bool(job.check)
    for item in _read_items(job, unit, reading):
        packer.write(_encode_lines(item, redactor, reading))
    for name in ("calls", "typed turns"):
        if left := open_balance(reading.counts, name):
            reading.counts[f"{name} set aside: not reached"] += left
    changed = _file_stamp(unit.path) != before
    if changed and last:
        reading.counts["files:changed while read"] += 1
    for row in reading.unreadable:
        clean = _redact_row(row, redactor, reading)
        packer.write(b"U" + _encode(msgspec.structs.replace(clean, preview=clean.preview[:PREVIEW])) + b"\n")
    for entry in reading.aside:
        kept = _redact_row(entry, redactor, reading)
        packer.write(b"A" + _encode(msgspec.structs.replace(kept, entry=kept.entry[:KEPT])) + b"\n")
    reading.counts["files"] += 1 + len(unit.beside)
    packer.write(b"C" + _encode(dict(reading.counts)) + b"\n")
    packer.close()
    return changed


def _read_items(job: UnitJob, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
    """The reader's records; an exception in the reader becomes one unreadable entry, never a crash."""
    source = make_source(job.kind, job.options)
    if unit.problem:
        reading.add_unreadable("", unit.problem)
        return
    try:
        with boundary(DataError, unit.label):
            for item in source.read(unit, reading):
                asked = attach_system(item, job.system) if job.system else item
                yield attach_check(asked, job.check, job.check_kinds) if job.check else asked
    except DataError as error:
        reading.add_unreadable("", f"reading stopped: {error}")


def _encode_lines(item: Record | Dropped, redactor: Redactor | None, reading: Reading) -> bytes:
    record = item.record if isinstance(item, Dropped) else item
    hits: list[Redaction] = []
    if redactor is not None:
        record, hits = redactor.record(record)
        for hit in hits:
            reading.counts[f"redacted:{hit.rule}"] += 1
    if isinstance(item, Dropped):
        dropped = _redact_row(item, redactor, reading)
        head = b"D" + _encode(msgspec.structs.replace(dropped, record=record)) + b"\n"
    else:
        head = b"R" + _encode(record) + b"\n"
    return head + b"".join(b"X" + _encode(hit) + b"\n" for hit in hits)


def _redact_row(row: T, redactor: Redactor | None, reading: Reading) -> T:
    """A row with redacted strings; the redactions are counted."""
    if redactor is None:
        return row
    before = redactor.counts.copy()
    texts = {name: value for name in row.__struct_fields__ if isinstance(value := getattr(row, name), str)}
    clean = msgspec.structs.replace(row, **{name: redactor.text(text) for name, text in texts.items()})
    for rule, number in (redactor.counts - before).items():
        reading.counts[f"redacted:{rule}"] += number
    return clean


def get_redactor(
    salt: str, names: tuple[str, ...], allow: tuple[str, ...], rules: str, also: tuple[str, ...] = ()
) -> Redactor:
    """The redactor of a run's options; a changed rule file is read again."""
    return _cached_redactor(salt, names, allow, (rules, *also), _file_stamp(Path(rules)) if rules else (0, 0))


@functools.lru_cache(maxsize=4)
def _cached_redactor(
    salt: str, names: tuple[str, ...], allow: tuple[str, ...], rules: tuple[str, ...], _stamped: tuple[int, int]
) -> Redactor:
    file, *also = rules
    return Redactor(load_rules(Path(file) if file else None, also), salt=bytes.fromhex(salt), names=names, allow=allow)


UnitValue = Record | Dropped | Unreadable | Unknown | Redaction | dict[str, int]


class UnitOutcome(NamedTuple):
    """One line of a cached outcome."""

    kind: Literal["R", "D", "U", "A", "X", "C"]
    value: UnitValue


_DECODERS: dict[int, Callable[[bytes], UnitValue]] = {
    ord("R"): jsonl.decoder(Record),
    ord("D"): jsonl.decoder(Dropped),
    ord("U"): jsonl.decoder(Unreadable),
    ord("A"): jsonl.decoder(Unknown),
    ord("X"): jsonl.decoder(Redaction),
    ord("C"): jsonl.decoder(dict[str, int]),
}


def read_outcome(path: Path) -> Iterator[UnitOutcome]:
    """The cached outcome of a unit."""
    last = 0
    for number, line in jsonl.read_lines(path):
        last = line[0]
        if last not in _DECODERS:
            raise DataError(f"{path}:{number}: damaged cache entry; delete it and ingest again")
        yield UnitOutcome(cast(Literal["R", "D", "U", "A", "X", "C"], chr(last)), _DECODERS[last](line[1:]))
    if last != ord("C"):
        raise AfsError(f"{path}: incomplete; delete it and ingest again")
