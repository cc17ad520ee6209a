"""Consecutive streaming steps share one pass: records flow through them and are stored after the last.

A later step's workers are busy while an earlier step keeps reading. Every step counts its own records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from afs import plugins
from afs.config import Plugin
from afs.curate.step_context import Records, RecordStream, Spill, Step, StepContext
from afs.errors import ConfigError, DataError
from afs.gc_pause import pause_collector
from afs.types import Dropped, FunnelStage, Record

SINGLE_PASS_STEPS = frozenset({"redact", "validate", "score"})
"""Steps that handle each record once, in order, without looking at others."""


class NamedStep(NamedTuple):
    """A step with its name in the config."""

    name: str
    step: Step


class StepOutput:
    """The records a step yields; what it drops is counted and stored."""

    def __init__(self, named: NamedStep, source: RecordStream, dropped: Spill[Dropped], context: StepContext) -> None:
        self.named, self.source, self.dropped, self.context = named, source, dropped, context
        self.reasons: Counter[str] = Counter()
        self.kept = 0

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Record]:
        for item in self.named.step(self.source, self.context):
            if isinstance(item, Dropped):
                self.dropped.add(item)
                self.reasons[item.reason] += 1
            else:
                self.kept += 1
                yield item

    def frame_of(self, value: Record) -> memoryview | None:
        """The encoding of a record that passed unchanged."""
        return self.source.frame_of(value)

    def stage(self, read: int, added: int) -> FunnelStage:
        """The counts of the step; everything read or added is kept or dropped."""
        name, dropped_count = self.named.name, self.reasons.total()
        if self.kept + dropped_count != read + added:
            raise DataError(f"step {name}: {read} in + {added} added, {self.kept} out + {dropped_count} dropped")
        return FunnelStage(step=name, records=self.kept, dropped=dict(self.reasons.most_common()), added=added)


_STEPS = plugins.OptionTable[Step]("step")


def parse_steps(specs: Sequence[Plugin], profile: str) -> list[NamedStep]:
    """Steps from their tables; `score` takes the profile of the curation unless it names one."""
    found = []
    for number, spec in enumerate(specs):
        name = spec.get("use")
        if not isinstance(name, str):
            raise ConfigError(f"steps[{number}].use", "missing; want the name of a step")
        if name == "score" and "profile" not in spec:
            spec = {**spec, "profile": profile}
        found.append(NamedStep(name, _STEPS.build(name, spec, prefix=f"steps[{number}]")))
    return found


def group_passes(steps: Sequence[NamedStep]) -> list[tuple[NamedStep, ...]]:
    """The steps in their order; those in one tuple share a pass."""
    found: list[tuple[NamedStep, ...]] = []
    for once, group in groupby(steps, key=lambda named: named.name in SINGLE_PASS_STEPS):
        together = tuple(group)
        found += [together] if once else [(named,) for named in together]
    return found


def run_pass(
    steps: Sequence[NamedStep], records: Records, dropped: Spill[Dropped], out: Records, context: StepContext
) -> list[FunnelStage]:
    """One pass over all records; the funnel's lines of its steps."""
    context.added = 0
    parts: list[StepOutput] = []
    for named in steps:
        parts.append(StepOutput(named, parts[-1] if parts else records, dropped, context))
    last = parts[-1]
    with pause_collector():
        for record in context.run.track(last, " + ".join(named.name for named in steps), len(records)):
            out.add(record, last.frame_of(record))
    stages: list[FunnelStage] = []
    for part in parts:
        read = stages[-1].records if stages else len(records)
        stages.append(part.stage(read, context.added))
    records.close()
    return stages
