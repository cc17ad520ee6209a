"""What to know before using a dataset: empty sides, unknown licenses, sources that lost most of their records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from afs.curate.split import SplitRule
from afs.curate.step_context import StepContext
from afs.types import Dropped

_MOST_DROPPED = 0.5
"""Share of a source above which its drops are named."""
_CAUSES = 3
_FEW_HELD_OUT = 20
"""Fewer records of a held-out side say nothing about a model."""


class DropCounter:
    """Dropped records by source and cause, counted while they are written."""

    def __init__(self) -> None:
        self._causes: dict[str, Counter[str]] = defaultdict(Counter)

    def count(self, dropped: Iterable[Dropped]) -> Iterator[Dropped]:
        """The same records, counted."""
        for item in dropped:
            self._causes[item.record.origin.source][_name_cause(item)] += 1
            yield item

    def describe(self, read: Mapping[str, int]) -> list[str]:
        """A line for every source that lost more than half."""
        lines = []
        for source, causes in sorted(self._causes.items()):
            total = causes.total()
            if total > _MOST_DROPPED * read.get(source, 0):
                common = ", ".join(f"{cause} {count:,}" for cause, count in causes.most_common(_CAUSES))
                lines.append(f"{source}: {total:,} of {read.get(source, 0):,} records dropped ({common})")
        return lines


def _name_cause(item: Dropped) -> str:
    """The reason, with the rule that gave it where there is one."""
    rule = item.detail.partition(":")[0] if item.reason.startswith("score: lint") else ""
    return f"{item.reason} [{rule}]" if rule else item.reason


def find_warnings(
    context: StepContext, split: SplitRule, kept: Mapping[str, int], licenses: Mapping[str, int], drops: DropCounter
) -> tuple[str, ...]:
    """Every warning, the worst first."""
    total = sum(kept.values())
    found = [f"the side {side} is empty" for side, share in split.shares() if share > 0 and not kept.get(side)]
    found += [
        f"the side {side} holds only {kept[side]} records: too few to compare models by"
        for side in ("test",)
        if 0 < kept.get(side, 0) < _FEW_HELD_OUT and total >= _FEW_HELD_OUT
    ]
    found += drops.describe(context.sources_read)
    if unknown := licenses.get("unknown", 0):
        found.append(f"the license of {unknown:,} of {total:,} records is unknown: they are not exported unless named")
    if context.side.unlinked:
        found.append("most records share questions or near copies with each other: some of them are on two sides")
    if split.by == "wording":
        found.append("divided by wording: held-out sides ask facts of the training side in other words")
    return tuple(found)
