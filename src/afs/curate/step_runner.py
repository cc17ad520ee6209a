"""Steps that look at each record once go together in one pass: records flow through, and are stored after the last.

A later step's workers are busy while an earlier step reads on. Every step's account is kept by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from afs import process
from afs.curate.step_context import Records, Spill, Step, Stream, Work
from afs.errors import DataError
from afs.types import Dropped, Record, Value

ONCE = frozenset({"redact", "validate", "score"})
"""Steps that take each record once, in order, and hold none back."""


class Stage(Value, frozen=True, kw_only=True):
    """One line of the funnel."""

    step: str
    records: int
    dropped: dict[str, int] = {}
    added: int = 0
    """Records the step made itself (augmentation)."""


class NamedStep(NamedTuple):
    """A step as the config calls it."""

    name: str
    step: Step


class Passing:
    """The records a step gives on, one by one; what it drops is counted and kept."""

    def __init__(self, named: NamedStep, source: Stream, dropped: Spill[Dropped], work: Work) -> None:
        self.named, self.source, self.dropped, self.work = named, source, dropped, work
        self.reasons: Counter[str] = Counter()
        self.kept = 0

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Record]:
        for item in self.named.step(self.source, self.work):
            if isinstance(item, Dropped):
                self.dropped.add(item)
                self.reasons[item.reason] += 1
            else:
                self.kept += 1
                yield item

    def frame_of(self, value: Record) -> memoryview | None:
        """The bytes of a record that came through unchanged."""
        return self.source.frame_of(value)

    def stage(self, came: int, added: int) -> Stage:
        """The account: what came is kept or dropped."""
        name, gone = self.named.name, self.reasons.total()
        if self.kept + gone != came + added:
            raise DataError(f"step {name}: {came} in + {added} made, {self.kept} out + {gone} dropped")
        return Stage(step=name, records=self.kept, dropped=dict(self.reasons.most_common()), added=added)


def passes(steps: Sequence[NamedStep]) -> list[tuple[NamedStep, ...]]:
    """The steps in their order; those in one tuple share a pass."""
    found: list[tuple[NamedStep, ...]] = []
    for once, group in groupby(steps, key=lambda named: named.name in ONCE):
        together = tuple(group)
        found += [together] if once else [(named,) for named in together]
    return found


def take(
    steps: Sequence[NamedStep], records: Records, dropped: Spill[Dropped], out: Records, work: Work
) -> list[Stage]:
    """One pass over all records; the funnel's lines of its steps."""
    work.added = 0
    parts: list[Passing] = []
    for named in steps:
        parts.append(Passing(named, parts[-1] if parts else records, dropped, work))
    last = parts[-1]
    with process.pause_collector():
        for record in work.run.track(last, " + ".join(named.name for named in steps), len(records)):
            out.add(record, last.frame_of(record))
    stages: list[Stage] = []
    for part in parts:
        came = stages[-1].records if stages else len(records)
        stages.append(part.stage(came, work.added))
    records.close()
    return stages
