"""What the quick start shows, read from runs and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from afs import jsonl, runs
from afs.manifests import read_manifest
from afs.pages import format_percent
from afs.pipeline import StepOutcome
from afs.types import Interval, Report, Value
from afs.workspace import MANIFEST, Workspace


class BeforeAfter(Value, frozen=True, kw_only=True):
    """One row of the table: a model on a suite, next to its base."""

    title: str
    model: str
    suite: str
    before: Interval
    after: Interval
    items: int
    report: str
    is_rival: bool = False
    """One of several models measured together: how much of the base's knowledge each kept."""

    @property
    def before_text(self) -> str:
        """The base's share with its interval."""
        return format_percent(self.before)

    @property
    def after_text(self) -> str:
        """The model's share with its interval."""
        return format_percent(self.after)


class CouncilAnswer(Value, frozen=True, kw_only=True):
    """A question to the council and its answer."""

    question: str
    answer: str
    expert: str
    probability: float | None
    checked: str
    seconds: float


class QuickstartResults(Value, frozen=True, kw_only=True):
    """Everything on the page."""

    pack: str
    steps: tuple[StepOutcome, ...]
    exams: tuple[BeforeAfter, ...]
    answers: tuple[CouncilAnswer, ...]
    losses: dict[str, list[tuple[int, float]]]


def read_before_after(workspace: Workspace, steps: list[StepOutcome]) -> Iterator[BeforeAfter]:
    """One row per model of every evaluation."""
    for step in steps:
        if step.verb != "eval run" or not step.result.startswith("report:"):
            continue
        report = _report(workspace, step.result.removeprefix("report:"))
        shares = _shares(report)
        base = str(report.environment.get("base", ""))
        rivals = [model for model in shares if model != base and not model.startswith(f"{base}+")]
        for model in rivals:
            interval = shares[model]
            yield BeforeAfter(
                title=f"{model} on {report.suite}",
                model=model,
                suite=report.suite,
                before=shares.get(base, Interval(value=None)),
                after=interval,
                items=interval.n,
                report=report.ref,
                is_rival=len(rivals) > 1,
            )


def _report(workspace: Workspace, ref: str) -> Report:
    name, _, version = ref.partition("@")
    path = workspace.folder("report") / name / version / MANIFEST
    return read_manifest(path, Report)


def _shares(report: Report) -> Mapping[str, Interval]:
    """Every model's share of solved items over the whole suite."""
    shares = cast("dict[str, dict[str, object]]", report.environment["shares"])
    return {model: msgspec.convert(scopes["all"], Interval) for model, scopes in shares.items()}


def read_losses(workspace: Workspace, steps: list[StepOutcome]) -> dict[str, list[tuple[int, float]]]:
    """The loss of every training run, step by step, from its events."""
    found = {}
    for step in steps:
        if step.verb != "train":
            continue
        run = runs.get(workspace, step.run)
        rows = (cast("dict[str, Any]", row) for row in jsonl.read(run.folder / "events.jsonl", None, lambda *_: None))
        found[step.step] = [(row["step"], row["loss"]) for row in rows if row.get("event") == "train.step"]
    return found
