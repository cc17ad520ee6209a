"""Flips of a report: items that only one of the two models solved, with both answers, from the stored results."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from afs.errors import AfsError
from afs.evaluate import report_store
from afs.evaluate.compare import measure
from afs.evaluate.result_rows import ResultRow
from afs.workspace import Workspace

MOST_FLIPS = 40
_EXCERPT = 160


class FlippedItem(NamedTuple):
    """An item whose outcome differs."""

    item: str
    family: str
    is_gain: bool
    answer: str
    """The model's answer, or why it has none."""
    base_answer: str
    reason: str
    """What the check said of the wrong one."""


class ReportFlips(NamedTuple):
    """The flips of one report."""

    base: str
    gained: int
    lost: int
    latest: tuple[FlippedItem, ...]
    """Losses first: they are what a reader looks for."""


@lru_cache(maxsize=64)
def find_flips(root: Path, ref: str) -> ReportFlips | None:
    """Model against base; None without a base, or where the results cannot be read. A stored report never changes."""
    workspace = Workspace(root)
    try:
        report = report_store.load(workspace, ref)
        table = report_store.table(workspace, report)
    except AfsError:
        return None
    base = str(report.environment.get("base", ""))
    own, others = table.of(report.subject), table.of(base) if base else []
    if not others:
        return None
    first, second = measure(own), measure(others)
    answers, base_answers = _first_rows(own), _first_rows(others)
    flips = []
    for item, found in first.items():
        before = second.get(item)
        if before is None or found.value is None or before.value is None or found.value == before.value:
            continue
        is_gain = found.value > before.value
        wrong = base_answers[item] if is_gain else answers[item]
        shown = (_excerpt(answers[item]), _excerpt(base_answers[item]))
        flips.append(FlippedItem(item, found.family, is_gain, *shown, wrong.reason or wrong.outcome))
    flips.sort(key=lambda flip: (flip.is_gain, flip.family, flip.item))
    gained = sum(flip.is_gain for flip in flips)
    return ReportFlips(base, gained, len(flips) - gained, tuple(flips[:MOST_FLIPS]))


def _first_rows(rows: list[ResultRow]) -> dict[str, ResultRow]:
    found: dict[str, ResultRow] = {}
    for row in rows:
        found.setdefault(row.item, row)
    return found


def _excerpt(row: ResultRow) -> str:
    text = row.output or row.error or row.outcome
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]} …"
