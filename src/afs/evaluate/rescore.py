"""Judges stored answers again by today's checkers, and takes results measured by other programs into a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from afs import jsonl, verify
from afs.config import Config
from afs.errors import DataError
from afs.evaluate import asking, report, results, stored
from afs.evaluate.items import Suite, SuiteItem
from afs.evaluate.results import ResultRow, Table
from afs.evaluate.score import score_rows
from afs.evaluate.suites import open_suite
from afs.providers.base import Sampling
from afs.runs import Run
from afs.types import Completion, Report


class RescoreConfig(Config, frozen=True, kw_only=True):
    """Judge a report's answers again; nothing is asked."""

    positional: ClassVar[tuple[str, ...]] = ("report",)
    report: str
    """The report whose answers are judged; the outcome is its next version."""


class ImportConfig(Config, frozen=True, kw_only=True):
    """Make a report of answers that another program asked for."""

    positional: ClassVar[tuple[str, ...]] = ("files",)
    files: tuple[Path, ...]
    """A file per model: JSON lines `{id, output}`, lm-eval's `--log_samples`, or our own results table."""
    suite: str
    """The suite the answers belong to; answers are judged again by it."""
    model: tuple[str, ...]
    """Names of the models, in the order of the files. The first is the subject."""
    base: str = ""
    """Which of them is the base."""
    name: str
    """Name of the report."""
    seed: int = 0
    """Seed of a generated suite."""
    count: int = 0
    """Items per family of a generated suite."""
    sampling: Sampling = Sampling(max_tokens=1024)
    """How the models sampled, as far as it is known."""


def rescore(config: RescoreConfig, run: Run) -> Report:
    """A new version of a report from the same answers."""
    old = stored.load(run.workspace, config.report)
    items = stored.items(run.workspace, old)
    rows = [_unjudged(row) for row in stored.table(run.workspace, old).rows]
    facts = report.facts_of(old, items, f"afs eval rescore {old.ref}", run.id)
    return _finish(run, facts, rows, old.ref.partition("@")[0])


def _unjudged(row: ResultRow) -> ResultRow:
    return msgspec.structs.replace(row, score=None, ok=None, scorer="", stage="", reason="", facts={})


def _finish(run: Run, facts: report.Facts, rows: list[ResultRow], name: str) -> Report:
    cache = run.workspace.root / "cache" / "verdicts.db"
    by_id = {item.id: item for item in facts.suite.items}
    with run.phase("judge the answers"), verify.Verifier(jobs=run.workspace.jobs, cache=cache) as verifier:
        judged = list(score_rows(verifier, by_id, rows))
    with run.phase("write the report"):
        made = report.build(facts, Table(judged))
        return stored.store(run.workspace, name, facts.suite, judged, made.report, made.pages)


def import_results(config: ImportConfig, run: Run) -> Report:
    """Read foreign answers, judge them, write a report."""
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
        command=report.command(config, "import"),
        run=run.id,
    )
    return _finish(run, facts, rows, config.name)


def read_foreign(path: Path, model: str, suite: Suite, sampling: Sampling) -> Iterator[ResultRow]:
    """The answers in a foreign file as rows; an item that the suite does not know is an error."""
    items = {item.id: item for item in suite.items}
    by_prompt = {item.task.prompt: item for item in suite.items}
    digest = suite.digest
    for number, line in jsonl.lines(path):
        raw = _decoded(path, number, line)
        item = _item_of(raw, items, by_prompt, suite)
        if item is None:
            raise DataError(f"{path}:{number}: no item of {suite.name} has this id or this prompt")
        yield _row(raw, item, model, digest, sampling)


def _decoded(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise DataError(f"{path}:{number}: {error}") from error


def _item_of(
    raw: Mapping[str, Any], items: Mapping[str, SuiteItem], by_prompt: Mapping[str, SuiteItem], suite: Suite
) -> SuiteItem | None:
    for name in ("id", "item", "item_id"):
        if str(raw.get(name, "")) in items:
            return items[str(raw[name])]
    document = raw.get("doc")
    if isinstance(document, dict):
        for name in ("id", "prompt", "question", "instruction"):
            text = str(document.get(name))
            if text in items or text in by_prompt:
                return items.get(text) or by_prompt[text]
    place = raw.get("doc_id")
    if isinstance(place, int) and 0 <= place < len(suite.items):
        return suite.items[place]
    return by_prompt.get(str(raw.get("prompt") or raw.get("question") or ""))


def _row(raw: Mapping[str, Any], item: SuiteItem, model: str, digest: str, sampling: Sampling) -> ResultRow:
    text = raw.get("output", raw.get("answer", raw.get("response")))
    if text is None:
        found: Any = raw.get("resps") or raw.get("filtered_resps") or [""]
        while isinstance(found, list):
            found = found[0] if found else ""
        text = found
    completion = Completion(text=str(text), model=model, finish=str(raw.get("finish", "stop")))
    asked = asking.Asked(_Named(model), "", endpoint=False)
    outcome, problem = asking.outcome_of(completion, asked)
    named = raw.get("outcome")
    error = str(raw.get("error") or problem)
    return ResultRow(
        suite=digest,
        item=item.id,
        family=item.task.family,
        category=item.category,
        cluster=item.cluster,
        model=model,
        sampling=sampling,
        epoch=int(raw.get("epoch", 0)),
        outcome=named if named in results.OUTCOMES else "dead" if raw.get("error") else outcome,
        output=str(text),
        seconds=float(raw.get("seconds", 0.0)),
        output_tokens=int(raw.get("output_tokens", 0)),
        error=error,
    )


class _Named:
    """A model that is only a name: it was asked elsewhere."""

    def __init__(self, name: str) -> None:
        self.name = name

    def complete(self, *_: object) -> Completion:
        """Never called."""
        raise DataError(f"{self.name} was asked by another program")
