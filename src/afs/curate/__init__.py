"""Curate: records -> a dataset one can trust, with every drop kept and counted.

The default pipeline is redact, validate, score, dedup, decontaminate, split. Every step returns each record unchanged,
changed, or dropped with a reason. Planted bad and good records test the gate in every run.
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

from afs import datasets, jsonl, runs, work_division
from afs.config import Plugin
from afs.curate.block_work import BlockWork, list_specs
from afs.curate.dataset_warnings import DropCounter, find_warnings
from afs.curate.mixture import tag_source
from afs.curate.negative_controls import Controls, by_chance, prove
from afs.curate.score import Gate
from afs.curate.split import SCHEMA, Sides, SplitRule, divide_records, shortfall
from afs.curate.step_context import Records, RecordStream, Spill, StepContext
from afs.curate.step_runner import NamedStep, StepOutput, group_passes, parse_steps, run_pass
from afs.errors import ConfigError, DataError, RefusedError, UsageError
from afs.gc_pause import pause_collector
from afs.runs import Run
from afs.types import ControlOutcome, Curation, Dataset, Dropped, FunnelStage, Json, Record, RefKind, RefText
from afs.work_division import DividedWork, ShardReport
from afs.workspace import Workspace

__all__ = ["CurateConfig", "curate", "curate_share"]

DEFAULT_STEPS = ("redact", "validate", "score", "dedup", "decontaminate")
"""The pipeline when no steps are named."""
_CANDIDATES_PER_CONTROL = 4
"""Records sampled for each one that controls are made from: earlier steps drop some before the gate."""


class CurateConfig(DividedWork, frozen=True, kw_only=True):
    """Make a dataset from records."""

    positional: ClassVar[tuple[str, ...]] = ("sources",)

    sources: tuple[RefText, ...]
    """Records to curate, e.g. `sums-raw@2`; for a dataset its training side is used, as rehearsal data."""
    name: str
    """Name of the dataset to write."""
    profile: str = "auto"
    """Score profile: verified, dialogue, tools, asm, code, docs, founding, a TOML file, or `auto` by record."""
    steps: tuple[Plugin, ...] = ()
    """What to do, in order: `use` and that step's own options; empty: the full pipeline."""
    split: SplitRule = SplitRule()
    """How the dataset is divided."""
    controls: Controls = Controls()
    """How the gate is tested with planted records; a sample of 0 skips the test, and the report says so."""


def curate_share(config: CurateConfig, run: Run) -> Dataset | ShardReport:
    """The verb: all of the work, or the share that `shards` names."""
    share = work_division.parse_shards(config)
    if share is None or share.is_join:
        return curate(config, run)
    return _find_blocks(config, _load_sources(config, run), run).do_share(config, share)


def curate(config: CurateConfig, run: Run) -> Dataset:
    """Run the pipeline over the records, or join what shards have prepared, and write the dataset."""
    sources, share = _load_sources(config, run), work_division.parse_shards(config)
    blocks = None
    if share is not None or config.engine != "embedded":
        blocks = _find_blocks(config, sources, run)
        if share is not None:
            blocks.require(share)
        else:
            blocks.prepare(config)
    runs.sweep(run.workspace)
    sides = Sides(config.split)
    sides.follow(run.workspace, config.name)
    try:
        with closing(StepContext(run, config.name, sides, tuple(s.ref for s in sources))) as context:
            return _run_steps(config, run, sources, context, blocks)
    finally:
        shutil.rmtree(run.scratch, ignore_errors=True)


def _load_sources(config: CurateConfig, run: Run) -> list[Dataset]:
    """The sources, after the names were checked."""
    if not config.sources:
        raise UsageError("name at least one set of records to curate")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]*", config.name):
        raise ConfigError("name", f"want letters, digits and . _ : -, got {config.name!r}")
    return [_load_source(run, text) for text in config.sources]


def _list_specs(config: CurateConfig) -> list[Plugin]:
    return list_specs(config.steps or tuple({"use": name} for name in DEFAULT_STEPS))


def _find_blocks(config: CurateConfig, sources: list[Dataset], run: Run) -> BlockWork:
    return BlockWork(run, config.name, sources, _list_specs(config), config.profile)


def _run_steps(
    config: CurateConfig, run: Run, sources: list[Dataset], context: StepContext, blocks: BlockWork | None
) -> Dataset:
    """Run every step in order and write what is left."""
    steps = blocks.steps if blocks is not None else parse_steps(_list_specs(config), config.profile)
    known = blocks.replace_steps() if blocks is not None else steps
    with pause_collector():
        records = _collect_records(sources, context)
    read, funnel = len(records), [FunnelStage(step="read", records=len(records))]
    if not read:
        raise UsageError(f"{', '.join(config.sources)}: no records")
    context.side.settle(context.workspace)
    dropped = context.new_dropped()
    outcomes = None
    for number, (together, replayed) in enumerate(zip(group_passes(steps), group_passes(known), strict=True)):
        run.check_stop()
        if outcomes is None and any(named.name == "score" for named in together):
            outcomes = _prove_gate(config, together, records, context)
        with run.phase(" + ".join(named.name for named in together), records=len(records)):
            out = context.new_records(f"{number}-{together[-1].name}")
            funnel += run_pass(replayed, records, dropped, out, context)
            records = out
    if not outcomes:
        context.note("controls", skipped=True)
    with run.phase(f"write {config.name}"), pause_collector():
        return _write_dataset(
            config,
            context,
            records,
            dropped,
            Curation(
                schema=SCHEMA,
                config=cast(Json, run.config),
                sources=context.sources,
                read=read,
                funnel=tuple(funnel),
                controls=tuple(outcomes or ()),
                notes=context.notes,
            ),
        )


def _load_source(run: Run, text: str) -> Dataset:
    """The records of this name, else the dataset."""
    kind: RefKind = "records"
    name = text.partition("@")[0]
    if not run.workspace.versions("records", name) and run.workspace.versions("dataset", name):
        kind = "dataset"
    return datasets.load(run.workspace, text, kind)


def _collect_records(sources: list[Dataset], context: StepContext) -> Records:
    """Every record of every source, each once."""
    records = context.new_records("read")
    seen: set[str] = set()
    repeated = 0
    for record in _iter_records(sources, context.workspace):
        if record.id in seen:
            repeated += 1
            continue
        seen.add(record.id)
        context.count_read(record)
        records.add(record)
    context.note("read", sources=list(context.sources), named_twice=repeated)
    return records


def _iter_records(sources: list[Dataset], workspace: Workspace) -> Iterator[Record]:
    """Every record of every source; for a dataset, its training side, tagged."""
    for source in sources:
        whole = source.kind == "records"
        for record in datasets.read(workspace, source, "" if whole else "train"):
            yield record if whole else tag_source(record, source.ref)


def _prove_gate(
    config: CurateConfig, together: Sequence[NamedStep], records: Records, context: StepContext
) -> list[ControlOutcome]:
    """Test the gate on a sample of the records as they reach it, after the steps before `score`."""
    if not config.controls.sample:
        return []
    count = config.controls.sample
    with context.run.phase("controls"), closing(context.for_trial()) as trial:
        sample = trial.new_records("sample")
        for record in nsmallest(_CANDIDATES_PER_CONTROL * count, records, key=by_chance):
            sample.add(record)
        dropped = trial.new_dropped("trial")
        incoming: RecordStream = sample
        for named in takewhile(lambda named: named.name != "score", together):
            incoming = StepOutput(named, incoming, dropped, trial)
        outcomes = prove(Gate(config.profile, context), incoming, config.controls)
    bad, good = ([row for row in outcomes if row.good is kind] for kind in (False, True))
    planted, rejected = sum(r.planted for r in bad), sum(r.rejected for r in bad)
    whole = sum(r.planted for r in good)
    kept = whole - sum(r.rejected for r in good)
    context.note("controls", planted=planted, rejected=rejected, good=whole, kept=kept)
    summary = f"controls: {rejected} of {planted} planted bad records rejected, {kept} of {whole} good ones kept"
    context.run.event("notice", text=summary)
    return outcomes


def _write_dataset(
    config: CurateConfig, context: StepContext, records: Records, dropped: Spill[Dropped], curation: Curation
) -> Dataset:
    kept, split_drops, drops = Counter[str](), Counter[str](), DropCounter()
    if not len(records):
        raise RefusedError(_explain_empty(context, dropped, drops))
    names = sorted((name for name, share in config.split.shares() if share > 0), key=_side_order)
    with datasets.write_dataset(
        context.workspace, config.name, "dataset", splits=names, parents=context.sources, run=context.run.id
    ) as pending:
        for item in drops.count(dropped):
            pending.drop(item)
        for side, record in divide_records(records, config.split, context.side):
            if isinstance(record, Dropped):
                pending.drop(record)
                split_drops[record.reason] += 1
            else:
                pending.add(side, record)
                kept[side] += 1
        missing = shortfall(kept, config.split)
        short = {f"shortfall:{name}": n for name, n in (*context.short.items(), *missing.items())}
        pending.writer.counts.update(read=curation.read, **short)
        if config.split.by == "wording":
            pending.writer.counts["split by wording"] = kept.total()
        done = FunnelStage(step="split", records=kept.total(), dropped=dict(split_drops))
        warnings = find_warnings(context, config.split, kept, pending.writer.licenses, drops)
        curation = msgspec.structs.replace(
            curation,
            funnel=(*curation.funnel, done),
            shortfall=missing,
            sides=context.side.moved_groups(),
            warnings=warnings,
        )
        _write_notes(pending, context, curation)
    _check_account(context, curation, kept, len(dropped) + split_drops.total())
    for warning in warnings:
        context.run.event("notice", text=f"{config.name}: {warning}")
    records.close()
    dropped.close()
    return pending.dataset


def _explain_empty(context: StepContext, dropped: Spill[Dropped], drops: DropCounter) -> str:
    """Why nothing is left; what was dropped lies in the folder of the run."""
    path = context.run.folder / "dropped.jsonl"
    jsonl.write(path, drops.count(dropped))
    causes = "; ".join(drops.describe(context.sources_read))
    return f"no record is left, so no dataset was written: {causes}; the dropped records are in {path}"


def _side_order(side: str) -> int:
    return ("train", "val", "test").index(side)


def _write_notes(pending: datasets.PendingDataset, context: StepContext, curation: Curation) -> None:
    folder = pending.writer.folder
    jsonl.replace(folder / datasets.CURATION, msgspec.json.format(msgspec.json.encode(curation), indent=2))
    for file, rows in context.aside.items():
        jsonl.write(folder / file, rows)


def _check_account(context: StepContext, curation: Curation, kept: Counter[str], dropped: int) -> None:
    """Every record that was read or added is kept or dropped."""
    read = curation.read + sum(stage.added for stage in curation.funnel)
    if read != kept.total() + dropped:
        raise DataError(f"records do not add up: {read} read, {kept.total()} kept + {dropped} dropped")
    context.run.event("curate.done", read=read, dropped=dropped, kept=dict(kept), shortfall=curation.shortfall)
