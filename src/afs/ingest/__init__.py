"""Ingest: a source -> records, streaming, redacted before anything is written, incremental.

`afs ingest KIND PATH…` reads files that are new or changed; unchanged files come from the cache, and their records stay
even after the file is deleted. The result is one version of records with exact counts: every input is a record, a
dropped record, or an unreadable entry that is kept beside them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

import msgspec

from afs import datasets, jsonl, licenses, work_division
from afs.checks.check_parser import read_check, require_check
from afs.config import Plugin, to_table
from afs.errors import ConfigError, DataError, UsageError
from afs.ingest.base import Source, Unit, Unknown, Unreadable, open_balance
from afs.ingest.read_unit import (
    UnitJob,
    UnitOutcome,
    get_redactor,
    make_source,
    read_outcome,
    read_unit,
    run_job,
    unit_key,
)
from afs.ingest.unit_lists import ListedUnit, UnitEntry, UnitLists, stamp_files
from afs.redaction import Redaction, load_salt, rules_digest
from afs.runs import Run
from afs.types import Dataset, Dropped, Record, digest
from afs.work_division import DividedWork, ShardNumber, ShardReport
from afs.workspace import Workspace

__all__ = ["IngestConfig", "ingest", "ingest_share"]

NAME = r"[A-Za-z0-9][A-Za-z0-9._:-]*"
"""Names that a set of records may have."""
_INLINE_BYTES = 8 << 20
"""New input below this size is read in this process: starting workers would take longer."""
_UNIT_TIMEOUT_S = 3600.0
_UNITS = "units.json"


class IngestConfig(DividedWork, frozen=True, kw_only=True):
    """Read a source into records."""

    positional: ClassVar[tuple[str, ...]] = ("kind", "paths")

    kind: str
    """The reader: auto, jsonl, chats, claude-code, codex, gemini, git, asm …"""
    paths: tuple[Path, ...]
    """Files or folders to read."""
    name: str = ""
    """Name of the records to write; empty: the kind."""
    source: str = ""
    """Source name stored in the origin of each record; empty: the name of the records."""
    domain: str = ""
    """Domain pack of the records, unless a row names its own; empty: the pack that recognizes a tree of assembly, else
    `general`."""
    license: str = ""
    """SPDX identifier; empty: detected from the tree, else unknown."""
    options: Plugin = {}
    """Options of the reader, e.g. `mapping = { instruction = "q", output = "a" }`."""
    names: tuple[str, ...] = ()
    """Additional names of people, accounts and hosts to redact."""
    allow: tuple[str, ...] = ()
    """Values that are never redacted."""
    also: tuple[str, ...] = ()
    """Optional redaction rules to apply: `phone`, `card`."""
    rules: str = ""
    """A gitleaks configuration file with additional rules."""
    check: str = ""
    """How answers are judged: a check such as `pytest -q {file}` or `schema:FILE`, or a name of `[checks]` in afs.toml.
    Every record becomes a task; `curate` keeps what passes. Rows may bring `spec.files`, and need no answer."""
    check_kinds: tuple[str, ...] = ()
    """Kinds of records that `check` judges, such as `code`; empty: all."""
    system: str = ""
    """System prompt of every conversation that has none: the one the model will have when it serves."""
    keep_gone: bool = True
    """Keep records of files that were deleted, or are not named in this run."""


def ingest_share(config: IngestConfig, run: Run) -> Dataset | ShardReport:
    """The verb: all of the work, or the share that `shards` names."""
    share = work_division.parse_shards(config)
    return ingest(config, run) if share is None or share.is_join else _read_share(config, run, share)


def ingest(config: IngestConfig, run: Run) -> Dataset:
    """Read new input, or join what shards have read, and write one version of records."""
    name, share = _check_names(config), work_division.parse_shards(config)
    plan = _Plan(config, run)
    with run.phase(f"read {config.kind}"):
        if share is None:
            units = _read_new_units([plan.build_job(*one) for one in plan.units()], config, run)
        else:
            units = list(plan.lists(share).join(plan.units()))
    before = _load_units(run.workspace, name)
    kept = units + (_find_missing_units(units, before, plan.folder) if config.keep_gone else [])
    if not kept:
        raise UsageError(f"nothing to read for {config.kind!r} in {', '.join(map(str, config.paths))}")
    if before == kept:
        return _require_records(datasets.load(run.workspace, name, "records"))
    with run.phase(f"write {name}"):
        return _require_records(_write_version(config, name, kept, plan.folder, run))


def _read_share(config: IngestConfig, run: Run, share: ShardNumber) -> ShardReport:
    """Read the units of one shard into the cache and list them."""
    name = _check_names(config)
    plan = _Plan(config, run)
    own = [unit for number, unit in enumerate(plan.units()) if share.takes(number)]
    stamps = [stamp_files(unit) for _, unit in own]
    jobs = [plan.build_job(*one) for one in own]
    waiting = sum(not Path(job.target).exists() for _, job in jobs)
    with run.phase(f"read {config.kind}"):
        entries = _read_new_units(jobs, config, run)
    listed = [ListedUnit(entry=entry, stamps=stamp) for entry, stamp in zip(entries, stamps, strict=True)]
    plan.lists(share).write(listed)
    join = f"afs ingest … --name {name} --shards all/{share.total}"
    return ShardReport(shards=str(share), pieces=len(jobs), done=waiting, unit="units", join=join)


def _check_names(config: IngestConfig) -> str:
    """The name of the records, after the names and the license were checked."""
    name = config.name or config.kind
    if not re.fullmatch(NAME, name):
        raise ConfigError("name", f"want letters, digits and . _ : -, got {name!r}")
    if config.license and not licenses.is_identifier(config.license):
        raise ConfigError(
            "license",
            f"want an SPDX identifier such as MIT, or LicenseRef-… for one of your own, got {config.license!r}",
        )
    return name


class _Plan:
    """What is read, by which reader, and where the outcomes lie."""

    def __init__(self, config: IngestConfig, run: Run) -> None:
        self.config = config
        self.reader: Source = make_source(config.kind, config.options)
        self.check = read_check(config.check, Path.cwd(), run.workspace.named_checks) if config.check else {}
        if self.check:
            require_check(self.check)
        self.folder = run.workspace.root / "cache" / "ingest"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._salt = load_salt(run.workspace.root).hex()
        self._version = f"{self.reader.version} {rules_digest(config.rules, config.also)}"

    def units(self) -> Iterator[tuple[str, Unit]]:
        """(a digest of its path, unit), each once."""
        seen: set[str] = set()
        for place in self.config.paths:
            for unit in self.reader.units(place):
                path = f"{unit.path.resolve()}!{unit.member}".encode("utf-8", "surrogateescape")
                identity = blake2b(path, digest_size=16).hexdigest()
                if identity not in seen:
                    seen.add(identity)
                    yield identity, unit

    def build_job(self, identity: str, unit: Unit) -> tuple[UnitEntry, UnitJob]:
        """The entry of a unit, and what a worker needs to read it; its files are hashed here."""
        config = self.config
        job = msgspec.structs.replace(
            _build_job(config, unit, self._salt), check=self.check, check_kinds=config.check_kinds, system=config.system
        )
        key = unit_key(job, self._version)
        label = get_redactor(self._salt, config.names, config.allow, config.rules, config.also).text(unit.label)
        target = msgspec.structs.replace(job, target=str(self.folder / f"{key}.jsonl.zst"))
        return UnitEntry(place=identity, label=label, key=key), target

    def lists(self, share: ShardNumber) -> UnitLists:
        """The lists of all shards of the same work."""
        plain = to_table(msgspec.structs.replace(self.config, shards="", engine="embedded", address=""))
        return UnitLists(self.folder / "shards" / digest([plain, self._version, str(Path.cwd())])[:32], share)


def _build_job(config: IngestConfig, unit: Unit, salt: str) -> UnitJob:
    folder = unit.path.parent.resolve()
    return UnitJob(
        kind=config.kind,
        options=dict(config.options),
        path=os.fsencode(unit.path),
        label=unit.label,
        beside=tuple(map(os.fsencode, unit.beside)),
        problem=unit.problem,
        recognized=unit.kind,
        member=unit.member,
        source=config.source or config.name or config.kind,
        domain=config.domain or unit.domain,
        license=config.license or licenses.find_license(folder),
        commit=licenses.find_commit(folder),
        target="",
        salt=salt,
        names=config.names,
        allow=config.allow,
        also=config.also,
        rules=config.rules,
    )


def _read_new_units(jobs: list[tuple[UnitEntry, UnitJob]], config: IngestConfig, run: Run) -> list[UnitEntry]:
    """Read every unit that is not in the cache, in this process or, when there is much to read, in workers."""
    waiting = [job for _, job in jobs if not Path(job.target).exists()]
    size = sum(Path(os.fsdecode(job.path)).lstat().st_size for job in waiting)
    run.event("ingest.units", units=len(jobs), new=len(waiting), bytes=size)
    is_small = size < _INLINE_BYTES or len(waiting) < 2 or run.workspace.jobs < 2
    if not waiting or (is_small and config.engine == "embedded"):
        for job in run.track(waiting, "files read", len(waiting)):
            run.check_stop()
            read_unit(job)
        return [kept for kept, _ in jobs]
    function = f"{run_job.__module__}:{run_job.__name__}"
    with work_division.open_workers(config, function, jobs=run.workspace.jobs, timeout_s=_UNIT_TIMEOUT_S) as workers:
        outcomes = workers.map(msgspec.msgpack.encode(job) for job in waiting)
        for job, result in zip(waiting, run.track(outcomes, "files read", len(waiting)), strict=True):
            run.check_stop()
            if result.problem:
                raise DataError(f"{job.label}: the reader failed: {result.problem}")
    return [kept for kept, _ in jobs]


def _load_units(workspace: Workspace, name: str) -> list[UnitEntry]:
    """The units of the newest version."""
    if not workspace.versions("records", name):
        return []
    records = datasets.load(workspace, name, "records")
    path = datasets.folder_of(workspace, records) / _UNITS
    datasets.refuse_changed_file(records, path)
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[UnitEntry])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return []


def _find_missing_units(units: list[UnitEntry], before: list[UnitEntry], folder: Path) -> list[UnitEntry]:
    present = {unit.place for unit in units}
    return [unit for unit in before if unit.place not in present and (folder / f"{unit.key}.jsonl.zst").exists()]


def _write_version(config: IngestConfig, name: str, kept: list[UnitEntry], folder: Path, run: Run) -> Dataset:
    seen: set[str] = set()
    totals: Counter[str] = Counter()
    with datasets.write_dataset(run.workspace, name, "records", run=run.id) as pending:
        side = _SideFiles(pending.writer.folder)
        for unit in run.track(kept, "files written", len(kept)):
            for line in read_outcome(folder / f"{unit.key}.jsonl.zst"):
                _write_outcome(line, pending, side, seen, totals)
        side.close()
        _check_sums(totals)
        pending.writer.counts.update({key: n for key, n in totals.items() if not key.startswith("out:")})
        jsonl.replace(pending.writer.folder / _UNITS, msgspec.json.encode(kept))
    run.event("ingest.counts", **pending.dataset.counts)
    return pending.dataset


class _SideFiles:
    """The files beside the records: unreadable entries, unknown entries, and the log of redactions."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            "U": (folder / "unreadable.jsonl").open("wb"),
            "A": (folder / "unknown.jsonl").open("wb"),
            "X": (folder / "redactions.jsonl").open("wb"),
        }

    def write(self, kind: str, value: object) -> None:
        self._files[kind].write(msgspec.json.encode(value) + b"\n")

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _write_outcome(
    line: UnitOutcome, pending: datasets.PendingDataset, side: _SideFiles, seen: set[str], totals: Counter[str]
) -> None:
    value = line.value
    if isinstance(value, Record):
        if value.id in seen:
            totals["out:dropped"] += 1
            pending.drop(Dropped(record=value, reason="duplicate"))
            return
        seen.add(value.id)
        pending.add("all", value)
        totals["out:records"] += 1
        _count_record(value, totals)
    elif isinstance(value, Dropped):
        totals["out:dropped"] += 1
        pending.drop(value)
    elif isinstance(value, Unreadable | Unknown | Redaction):
        side.write(line.kind, value)
        totals["unreadable"] += isinstance(value, Unreadable)
    else:
        totals.update(value)


def _require_records(dataset: Dataset) -> Dataset:
    """The dataset, unless it holds no record: then an error that says what became of the input."""
    if any(split.count for split in dataset.splits):
        return dataset
    counts = dataset.counts
    reasons = {key: n for key, n in counts.items() if key.startswith(("dropped:", "typed turns set aside", "unknown:"))}
    if counts.get("unreadable"):
        reasons["unreadable entries"] = counts["unreadable"]
    listed = ", ".join(f"{key} {n}" for key, n in sorted(reasons.items(), key=lambda item: -item[1])[:6])
    raise DataError(
        f"{dataset.ref} holds no record: {counts.get('files', 0)} files read, {counts.get('found', 0)} candidates found"
        + (f" ({listed})" if listed else "; is this the right kind of reader? Try `afs ingest auto`")
        + f". Dropped and unreadable entries are in records/{dataset.ref.replace('@', '/')}"
    )


def _count_record(record: Record, totals: Counter[str]) -> None:
    totals[f"records:{record.kind}"] += 1
    totals["messages"] += len(record.messages)
    for message in record.messages:
        totals["tool calls"] += len(message.tool_calls)
        totals["tool results"] += message.role == "tool"


def _check_sums(totals: Counter[str]) -> None:
    """Raise unless every candidate that was found is a record, a drop, or unreadable."""
    out = totals["out:records"] + totals["out:dropped"] + totals["unreadable"]
    if totals["found"] != out:
        raise DataError(
            f"the account does not add up: {totals['found']} found, {totals['out:records']} records + "
            f"{totals['out:dropped']} dropped + {totals['unreadable']} unreadable = {out}"
        )
    for name in ("calls", "typed turns"):
        left = open_balance(totals, name)
        if left:
            raise DataError(f"the account does not add up: {left} of {totals[f'{name} found']} {name} unaccounted for")
