"""Re-judges stored answers with the current checkers."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from afs import answer_verifier
from afs.config import Config
from afs.evaluate import report, report_store
from afs.evaluate.result_rows import ResultRow, Table
from afs.evaluate.score import score_rows
from afs.runs import Run
from afs.types import Report


class RescoreConfig(Config, frozen=True, kw_only=True):
    """Re-judge the answers of a report without asking any model."""

    positional: ClassVar[tuple[str, ...]] = ("report",)
    report: str
    """The report to re-judge; the result is its next version."""


def rescore(config: RescoreConfig, run: Run) -> Report:
    """A new version of a report from the same answers."""
    old = report_store.load(run.workspace, config.report)
    items = report_store.items(run.workspace, old)
    rows = [_unjudged(row) for row in report_store.table(run.workspace, old).rows]
    facts = report.facts_of(old, items, f"afs eval rescore {old.ref}", run.id)
    return judge_and_store(run, facts, rows, old.ref.partition("@")[0])


def _unjudged(row: ResultRow) -> ResultRow:
    return msgspec.structs.replace(row, score=None, ok=None, scorer="", stage="", reason="", facts={})


def judge_and_store(run: Run, facts: report.Facts, rows: list[ResultRow], name: str) -> Report:
    by_id = {item.id: item for item in facts.suite.items}
    with (
        run.phase("judge the answers"),
        answer_verifier.open_verifier(run.workspace.root, run.workspace.jobs) as verifier,
    ):
        judged = list(score_rows(verifier, by_id, rows))
    with run.phase("write the report"):
        made = report.build_report(facts, Table(judged))
        return report_store.store(run.workspace, name, facts.suite, judged, made.report, made.pages)
