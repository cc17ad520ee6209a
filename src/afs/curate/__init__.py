"""Curate: records -> a dataset one can trust, with every drop kept and counted.

The road is redact, validate, score, dedup, decontaminate, select, split. Each step sees the whole set and gives every
record back: as itself, changed, or dropped with its reason. Planted bad records prove the gate in every run.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from heapq import nsmallest
from itertools import takewhile
from typing import ClassVar, cast

import msgspec

from afs import datasets, jsonl, plugins, process, runs
from afs.config import Config, Plugin, options
from afs.curate.mixture import FROM_TAG
from afs.curate.negative_controls import Controls, Outcome, by_chance, prove
from afs.curate.score import Gate
from afs.curate.split import SCHEMA, Sides, SplitRule, divide, shortfall
from afs.curate.step_context import Records, Spill, Step, Stream, Work
from afs.curate.step_runner import NamedStep, Passing, Stage, passes, take
from afs.errors import ConfigError, DataError, UsageError
from afs.runs import Run
from afs.types import Dataset, Dropped, Json, Record, RefKind, RefText, Value
from afs.workspace import Workspace

__all__ = ["CurateConfig", "curate"]

ROAD = ("redact", "validate", "score", "dedup", "decontaminate")
"""The steps when none are named."""
_SPARE = 4
"""Records looked at for each that controls are made of: some do not come as far as the gate."""


class CurateConfig(Config, frozen=True, kw_only=True):
    """Make a dataset of records."""

    positional: ClassVar[tuple[str, ...]] = ("sources",)

    sources: tuple[RefText, ...]
    """Records to curate, e.g. `sums-raw@2`; of a dataset the training side is taken, for rehearsal."""
    name: str
    """Name of the dataset to write."""
    profile: str = "auto"
    """Score profile: verified, dialogue, tools, asm, code, docs, founding, a TOML file, or `auto` by record."""
    steps: tuple[Plugin, ...] = ()
    """What to do, in order: `use` and that step's own options; empty: the whole road."""
    split: SplitRule = SplitRule()
    """How the dataset is divided."""
    controls: Controls = Controls()
    """The proof of the gate by planted records; a sample of 0 skips it, and the report says so."""


class Curation(Value, frozen=True, kw_only=True):
    """The file `curation.json` beside a dataset: how it came about."""

    schema: int = 1
    config: Json
    sources: tuple[str, ...]
    read: int
    funnel: tuple[Stage, ...]
    controls: tuple[Outcome, ...]
    notes: dict[str, Json]
    shortfall: dict[str, int] = {}
    sides: dict[str, str] = {}
    """Groups that are not on the side their hash says: the next version keeps them there."""


def curate(config: CurateConfig, run: Run) -> Dataset:
    """Take records down the road and write the dataset."""
    if not config.sources:
        raise UsageError("name at least one set of records to curate")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]*", config.name):
        raise ConfigError("name", f"want letters, digits and . _ : -, got {config.name!r}")
    sources = [_source(run, text) for text in config.sources]
    runs.sweep(run.workspace)
    sides = Sides(config.split)
    sides.follow(run.workspace, config.name)
    try:
        with closing(Work(run, config.name, sides, tuple(s.ref for s in sources))) as work:
            return _carried_out(config, run, sources, work)
    finally:
        shutil.rmtree(run.scratch, ignore_errors=True)


def _carried_out(config: CurateConfig, run: Run, sources: list[Dataset], work: Work) -> Dataset:
    """The road, step by step."""
    steps = _steps(config)
    with process.pause_collector():
        records = _gather(sources, work)
    read, funnel = len(records), [Stage(step="read", records=len(records))]
    if not read:
        raise UsageError(f"{', '.join(config.sources)}: no records")
    work.side.settle(work.workspace)
    dropped = work.spill_dropped()
    outcomes = None
    for number, together in enumerate(passes(steps)):
        run.check_stop()
        if outcomes is None and any(named.name == "score" for named in together):
            outcomes = _controls(config, together, records, work)
        with run.phase(" + ".join(named.name for named in together), records=len(records)):
            out = work.spill(f"{number}-{together[-1].name}")
            funnel += take(together, records, dropped, out, work)
            records = out
    if not outcomes:
        work.note("controls", skipped=True)
    with run.phase(f"write {config.name}"), process.pause_collector():
        return _write(config, work, records, dropped, Curation(
            schema=SCHEMA, config=cast(Json, run.config), sources=work.sources, read=read, funnel=tuple(funnel),
            controls=tuple(outcomes or ()), notes=work.notes,
        ))  # fmt: skip


def _steps(config: CurateConfig) -> list[NamedStep]:
    specs = config.steps or tuple({"use": name} for name in ROAD)
    found = []
    for number, spec in enumerate(specs):
        name = spec.get("use")
        if not isinstance(name, str):
            raise ConfigError(f"steps[{number}].use", "missing; want the name of a step")
        if name == "score" and "profile" not in spec:
            spec = {**spec, "profile": config.profile}
        cls = cast(type[msgspec.Struct], plugins.find("step", name))
        found.append(NamedStep(name, cast(Step, options(cls, spec, prefix=f"steps[{number}]"))))
    return found


def _source(run: Run, text: str) -> Dataset:
    """Records by this name; else a dataset, whose training side is taken for rehearsal."""
    kind: RefKind = "records"
    name = text.partition("@")[0]
    if not run.workspace.versions("records", name) and run.workspace.versions("dataset", name):
        kind = "dataset"
    return datasets.load(run.workspace, text, kind)


def _gather(sources: list[Dataset], work: Work) -> Records:
    """Every record of every source once."""
    records = work.spill("read")
    seen: set[str] = set()
    twice = 0
    for record in _read(sources, work.workspace):
        if record.id in seen:
            twice += 1
            continue
        seen.add(record.id)
        work.saw(record)
        records.add(record)
    work.note("read", sources=list(work.sources), named_twice=twice)
    return records


def _read(sources: list[Dataset], workspace: Workspace) -> Iterator[Record]:
    """Every record of every source; of a dataset its training side, marked."""
    for source in sources:
        whole = source.kind == "records"
        for record in datasets.read(workspace, source, "" if whole else "train"):
            yield record if whole else _marked(record, source.ref)


def _marked(record: Record, ref: str) -> Record:
    """A record of another dataset, with a tag that says so."""
    return msgspec.structs.replace(record, tags=(*record.tags, f"{FROM_TAG}{ref}"))


def _controls(config: CurateConfig, together: Sequence[NamedStep], records: Records, work: Work) -> list[Outcome]:
    """The proof of the gate, on records as they come to it: a sample goes through what stands before."""
    if not config.controls.sample:
        return []
    count = config.controls.sample
    with work.run.phase("controls"), closing(work.apart()) as trial:
        sample = trial.spill("sample")
        for record in nsmallest(_SPARE * count, records, key=by_chance):
            sample.add(record)
        dropped = trial.spill_dropped("trial")
        coming: Stream = sample
        for named in takewhile(lambda named: named.name != "score", together):
            coming = Passing(named, coming, dropped, trial)
        outcomes = prove(Gate(config.profile, work), coming, config.controls)
    bad, good = ([row for row in outcomes if row.good is kind] for kind in (False, True))
    planted, rejected = sum(r.planted for r in bad), sum(r.rejected for r in bad)
    whole = sum(r.planted for r in good)
    kept = whole - sum(r.rejected for r in good)
    work.note("controls", planted=planted, rejected=rejected, good=whole, kept=kept)
    told = f"controls: {rejected} of {planted} planted bad records turned away, {kept} of {whole} good ones kept"
    work.run.event("notice", text=told)
    return outcomes


def _write(config: CurateConfig, work: Work, records: Records, dropped: Spill[Dropped], curation: Curation) -> Dataset:
    kept: Counter[str] = Counter()
    late: Counter[str] = Counter()
    names = [name for name, share in config.split.shares() if share > 0]
    with datasets.write_dataset(
        work.workspace, config.name, "dataset", splits=sorted(names, key=_order), parents=work.sources, run=work.run.id
    ) as pending:
        for item in dropped:
            pending.drop(item)
        for side, record in divide(records, config.split, work.side):
            if isinstance(record, Dropped):
                pending.drop(record)
                late[record.reason] += 1
            else:
                pending.add(side, record)
                kept[side] += 1
        missing = shortfall(kept, config.split)
        short = {f"shortfall:{name}": n for name, n in (*work.short.items(), *missing.items())}
        pending.writer.counts.update(read=curation.read, **short)
        done = Stage(step="split", records=sum(kept.values()), dropped=dict(late))
        _beside(
            pending,
            work,
            msgspec.structs.replace(
                curation, funnel=(*curation.funnel, done), shortfall=missing, sides=work.side.moved()
            ),
        )
    _told(work, curation.read + sum(s.added for s in curation.funnel), kept, missing, len(dropped) + sum(late.values()))
    records.close()
    dropped.close()
    return pending.dataset


def _order(side: str) -> int:
    return ("train", "val", "test").index(side)


def _beside(pending: datasets.PendingDataset, work: Work, curation: Curation) -> None:
    folder = pending.writer.folder
    jsonl.replace(folder / "curation.json", msgspec.json.format(msgspec.json.encode(curation), indent=2))
    for file, rows in work.aside.items():
        jsonl.write(folder / file, rows)


def _told(work: Work, read: int, kept: Counter[str], missing: dict[str, int], dropped: int) -> None:
    """The last account: what was read is kept or dropped."""
    if read != sum(kept.values()) + dropped:
        raise DataError(f"the account does not add up: {read} read, {sum(kept.values())} kept + {dropped} dropped")
    work.run.event("curate.done", read=read, dropped=dropped, kept=dict(kept), shortfall=missing)
