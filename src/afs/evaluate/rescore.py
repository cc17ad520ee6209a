"""Re-judges stored answers with the current checkers, and imports answers collected by other programs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

from afs import answer_verifier
from afs.config import Config
from afs.errors import DataError
from afs.evaluate import report, report_store
from afs.evaluate.import_answers import read_foreign
from afs.evaluate.result_rows import ResultRow, Table
from afs.evaluate.score import score_rows
from afs.evaluate.suites import open_suite
from afs.providers.base import Sampling
from afs.runs import Run
from afs.types import Report


class RescoreConfig(Config, frozen=True, kw_only=True):
    """Re-judge the answers of a report without asking any model."""

    positional: ClassVar[tuple[str, ...]] = ("report",)
    report: str
    """The report to re-judge; the result is its next version."""


class ImportAnswersConfig(Config, frozen=True, kw_only=True):
    """Make a report from answers that another program collected."""

    positional: ClassVar[tuple[str, ...]] = ("files",)
    files: tuple[Path, ...]
    """One file per model: JSON lines `{id, output}`, lm-eval's `--log_samples`, or our results table."""
    suite: str
    """The suite the answers belong to; its scorers judge them."""
    model: tuple[str, ...]
    """Model names, in the order of the files. The first is the subject."""
    base: str = ""
    """Which of them is the base."""
    name: str
    """Name of the report."""
    seed: int = 0
    """Seed of a generated suite."""
    count: int = 0
    """Items per family of a generated suite."""
    sampling: Sampling = Sampling(max_tokens=1024)
    """Sampling settings, as far as known."""


def rescore(config: RescoreConfig, run: Run) -> Report:
    """A new version of a report from the same answers."""
    old = report_store.load(run.workspace, config.report)
    items = report_store.items(run.workspace, old)
    rows = [_unjudged(row) for row in report_store.table(run.workspace, old).rows]
    facts = report.facts_of(old, items, f"afs eval rescore {old.ref}", run.id)
    return _finish(run, facts, rows, old.ref.partition("@")[0])


def _unjudged(row: ResultRow) -> ResultRow:
    return msgspec.structs.replace(row, score=None, ok=None, scorer="", stage="", reason="", facts={})


def _finish(run: Run, facts: report.Facts, rows: list[ResultRow], name: str) -> Report:
    by_id = {item.id: item for item in facts.suite.items}
    with (
        run.phase("judge the answers"),
        answer_verifier.open_verifier(run.workspace.root, run.workspace.jobs) as verifier,
    ):
        judged = list(score_rows(verifier, by_id, rows))
    with run.phase("write the report"):
        made = report.build_report(facts, Table(judged))
        return report_store.store(run.workspace, name, facts.suite, judged, made.report, made.pages)


def import_results(config: ImportAnswersConfig, run: Run) -> Report:
    """Import answers, judge them, write a report."""
    if len(config.files) != len(config.model):
        raise DataError(f"{len(config.files)} files but {len(config.model)} names of models")
    suite = open_suite(run.workspace, config.suite, seed=config.seed, count=config.count)
    rows = [
        row
        for path, model in zip(config.files, config.model, strict=True)
        for row in read_foreign(path, model, suite, config.sampling)
    ]
    facts = report.Facts(
        suite=suite,
        models=tuple({"model": m, "digest": "", "base": "", "form": "imported"} for m in config.model),
        subject=config.model[0],
        base=config.base,
        metric="solved",
        cut="unsolved",
        sampling=config.sampling,
        command=report.reproduce_command(config, "import"),
        run=run.id,
    )
    return _finish(run, facts, rows, config.name)
