"""The step `dedup`: equal records once, the best of each group kept, with who replaced whom."""

from __future__ import annotations

from collections.abc import Iterator

from afs.config import Config
from afs.curate.normal import record_key
from afs.curate.work import Records, Work
from afs.types import Dropped, Json, Record


class Dedup(Config, frozen=True, kw_only=True):
    """Find copies."""

    def __call__(self, records: Records, work: Work) -> Iterator[Record | Dropped]:
        """The best record of every group of copies."""
        best: dict[bytes, tuple[float, str]] = {}
        for record in records:
            key, rank = record_key(record), (rank_of(record), record.id)
            if key not in best or rank > best[key]:
                best[key] = rank
        groups: list[Json] = []
        for record in records:
            kept = best[record_key(record)][1]
            if kept == record.id:
                yield record
            else:
                groups.append({"dropped": record.id, "kept": kept, "rule": "equal", "similarity": 1.0})
                yield Dropped(record=record, reason="duplicate: equal", detail=f"same as {kept}")
        work.keep("duplicates.jsonl", groups)
        work.note("dedup", equal=len(groups))


def rank_of(record: Record) -> float:
    """What decides which copy stays: the total score."""
    return next((s.value for s in record.scores if s.id == "total" and s.value is not None), 0.0)
