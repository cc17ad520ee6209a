"""`afs data list`, `show`, `stats` and `redactions`: stored records, one by one and summarized."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from itertools import islice, zip_longest
from statistics import quantiles
from typing import ClassVar

from afs import datasets, jsonl
from afs.config import Config
from afs.data.record_text import LINES, leave_plain, paint_ansi, render_record
from afs.redaction import Redaction
from afs.types import Dataset, Dropped, Record, RefKind, Value
from afs.workspace import Workspace


class ListConfig(Config, frozen=True, kw_only=True):
    """List stored records and datasets."""

    all: bool = False
    """Every version, not only the newest."""


class ListedSet(Value, frozen=True, kw_only=True):
    """One line of the list."""

    ref: str
    kind: str
    records: int
    splits: dict[str, int]
    dropped: int
    licenses: dict[str, int]
    parents: tuple[str, ...]


def list_sets(config: ListConfig, workspace: Workspace) -> list[ListedSet]:
    """Records first, then datasets."""
    kinds: tuple[RefKind, ...] = ("records", "dataset")
    found = []
    for kind in kinds:
        for name in workspace.names(kind):
            versions = workspace.versions(kind, name)
            for version in versions if config.all else versions[-1:]:
                found.append(_describe(datasets.load(workspace, f"{name}@{version}", kind)))
    return found


def _describe(dataset: Dataset) -> ListedSet:
    return ListedSet(
        ref=dataset.ref,
        kind=dataset.kind,
        records=sum(s.count for s in dataset.splits),
        splits=dict(datasets.split_counts(dataset)),
        dropped=sum(n for key, n in dataset.counts.items() if key.startswith("dropped:")),
        licenses=dataset.licenses,
        parents=dataset.parents,
    )


class ShowConfig(Config, frozen=True, kw_only=True):
    """Show records."""

    positional: ClassVar[tuple[str, ...]] = ("ref",)
    ref: str
    """Records or a dataset."""
    split: str = ""
    """One side only."""
    n: int = 3
    """How many."""
    skip: int = 0
    """How many to skip."""
    id: str = ""
    """Records whose id begins with this."""
    find: str = ""
    """Records with this text in them."""
    family: str = ""
    """Records of this task family or kind."""
    dropped: str = ""
    """Show what was dropped for a reason that begins with this (`all`: any)."""
    lines: int = LINES
    """Most lines of a turn; 0: all of them."""


class ShownRecords(Value, frozen=True, kw_only=True):
    """Matching records."""

    ref: str
    records: tuple[Record, ...]
    reasons: tuple[str, ...] = ()
    lines: int = LINES

    def text(self) -> str:
        """The records, readable; with colors on a terminal."""
        if not self.records:
            return f"{self.ref}: no matching record"
        reasons = self.reasons or ("",) * len(self.records)
        paint = paint_ansi if sys.stdout.isatty() else leave_plain
        pairs = zip(self.records, reasons, strict=True)
        return "\n\n".join(render_record(r, reason, paint, self.lines) for r, reason in pairs)


def show(config: ShowConfig, workspace: Workspace) -> ShownRecords:
    """The first matching records."""
    dataset = datasets.load(workspace, config.ref)
    if config.split:
        datasets.find_split(dataset, config.split)
    if config.dropped:
        fitting = (d for d in datasets.read_dropped(workspace, dataset) if _drop_matches(d, config))
        chosen = list(islice(fitting, config.skip, config.skip + config.n))
        reasons = tuple(f"{d.reason}: {d.detail}" if d.detail else d.reason for d in chosen)
        return ShownRecords(
            ref=dataset.ref, records=tuple(d.record for d in chosen), reasons=reasons, lines=config.lines
        )
    records = (r for r in datasets.read(workspace, dataset, config.split) if _matches(r, config))
    shown = tuple(islice(records, config.skip, config.skip + config.n))
    return ShownRecords(ref=dataset.ref, records=shown, lines=config.lines)


def _drop_matches(dropped: Dropped, config: ShowConfig) -> bool:
    return (config.dropped == "all" or dropped.reason.startswith(config.dropped)) and _matches(dropped.record, config)


def _matches(record: Record, config: ShowConfig) -> bool:
    family = record.task.family if record.task else record.kind
    return (
        record.id.startswith(config.id)
        and (not config.family or family == config.family)
        and (not config.find or any(config.find in m.text for m in record.messages))
    )


class StatsConfig(Config, frozen=True, kw_only=True):
    """Count a dataset."""

    positional: ClassVar[tuple[str, ...]] = ("ref",)
    ref: str
    """Records or a dataset."""


class Stats(Value, frozen=True, kw_only=True):
    """Summary of a dataset."""

    ref: str
    splits: dict[str, int]
    kinds: dict[str, int]
    families: dict[str, int]
    sources: dict[str, int]
    licenses: dict[str, int]
    messages: int
    tool_calls: int
    answer_chars: dict[str, int]
    """Median, 95th percentile and longest."""
    distinct_questions: int
    questions_on_two_sides: int
    counts: dict[str, int]


def stats(config: StatsConfig, workspace: Workspace) -> Stats:
    """Read everything once and count it."""
    dataset = datasets.load(workspace, config.ref)
    kinds, families, sources = Counter[str](), Counter[str](), Counter[str]()
    sides: dict[str, set[str]] = defaultdict(set)
    sizes: list[int] = []
    messages = calls = 0
    for split in dataset.splits:
        for record in datasets.read(workspace, dataset, split.name):
            kinds[record.kind] += 1
            families[record.task.family if record.task else record.kind] += 1
            sources[record.origin.source] += 1
            sides[" ".join(datasets.question_text(record).split())].add(split.name)
            sizes.append(len(datasets.answer_text(record)))
            messages += len(record.messages)
            calls += sum(len(m.tool_calls) for m in record.messages)
    return Stats(
        ref=dataset.ref,
        splits=dict(datasets.split_counts(dataset)),
        kinds=dict(kinds.most_common()),
        families=dict(families.most_common()),
        sources=dict(sources.most_common()),
        licenses=dataset.licenses,
        messages=messages,
        tool_calls=calls,
        answer_chars=_summarize_sizes(sizes),
        distinct_questions=len(sides),
        questions_on_two_sides=sum(len(found) > 1 for found in sides.values()),
        counts=dataset.counts,
    )


def _summarize_sizes(sizes: list[int]) -> dict[str, int]:
    if len(sizes) < 2:
        return {"longest": max(sizes, default=0)}
    cuts = quantiles(sizes, n=20)
    return {"median": round(cuts[9]), "p95": round(cuts[18]), "longest": max(sizes)}


class RedactionsConfig(Config, frozen=True, kw_only=True):
    """Review what was redacted and where; the redacted values themselves are not stored anywhere."""

    positional: ClassVar[tuple[str, ...]] = ("ref",)
    ref: str
    """Records or a dataset."""
    rule: str = ""
    """One rule only."""
    n: int = 20
    """How many to show, of every rule in turn."""


class Redactions(Value, frozen=True, kw_only=True):
    """Counts by rule, and samples."""

    ref: str
    counts: dict[str, int]
    samples: tuple[Redaction, ...]

    def text(self) -> str:
        """Counts first, then the places."""
        counts = [f"{rule}: {n}" for rule, n in self.counts.items()] or ["nothing was redacted"]
        places = [f"{s.record[:12]}  {s.where}  {s.rule}  …{s.context}…" for s in self.samples]
        return "\n".join([*counts, *places])


def redactions(config: RedactionsConfig, workspace: Workspace) -> Redactions:
    """The log of replacements beside a set."""
    dataset = datasets.load(workspace, config.ref)
    path = datasets.folder_of(workspace, dataset) / "redactions.jsonl"
    found = list(jsonl.read(path, Redaction)) if path.exists() else []
    by_rule: dict[str, list[Redaction]] = defaultdict(list)
    for row in found:
        by_rule[row.rule].append(row)
    counts = Counter({rule: len(found) for rule, found in by_rule.items()})
    chosen = [by_rule[rule] for rule, _ in counts.most_common() if config.rule in ("", rule)]
    turns = (row for rows_at in zip_longest(*chosen) for row in rows_at if row is not None)
    return Redactions(ref=dataset.ref, counts=dict(counts.most_common()), samples=tuple(islice(turns, config.n)))
