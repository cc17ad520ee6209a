"""`afs expert report NAME`: what became of an expert's recipe, on one HTML page, read from stored runs and reports."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar, Final

import msgspec

from afs import artifacts, datasets, jsonl, runs
from afs.config import Config
from afs.errors import DataError, boundary
from afs.evaluate import report_store
from afs.evaluate.report_store import StoredReport
from afs.evaluate.result_rows import ResultRow
from afs.pages import Html, format_percent, join, render_page, render_table
from afs.pages.charts import BarPair, draw_bars, draw_line
from afs.registry import Registry
from afs.runs import Run
from afs.types import Artifact, Curation, Interval, Value
from afs.workspace import Workspace

_SHOWN: Final = 6
"""Answers of the exam on the page."""
_NOT_MEASURED: Final = Html('<p class="soft">Not measured.</p>')


class ExpertReportConfig(Config, frozen=True, kw_only=True):
    """Write an expert's page."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """Name of the expert, as in its recipe."""
    unverified: tuple[str, ...] = ()
    """What nothing checks by execution, as `afs expert new` found it."""


class ExpertPage(Value, frozen=True, kw_only=True):
    """Where the page is, and its headline."""

    page: str
    headline: str

    def text(self) -> str:
        """Both."""
        return f"{self.headline}\n{self.page}"


def write_report(config: ExpertReportConfig, run: Run) -> ExpertPage:
    """Read what is stored and write `reports/NAME-expert.html`."""
    workspace, name = run.workspace, config.name
    exam = _find_exam(workspace, name)
    made = _find_artifact(workspace, f"{name}-lora") or _find_artifact(workspace, f"{name}-model")
    headline = write_headline(name, exam)
    body = [
        join([Html("<h1>"), headline, Html("</h1>")]),
        Html('<p class="soft">Every figure is read from a stored report, dataset or run.</p>'),
        Html("<h2>Exam on held-out questions</h2>"),
        *_render_exam(exam),
        Html("<h2>What it was made from</h2>"),
        *_render_data(workspace, name),
        Html("<h2>Training</h2>"),
        *_render_training(workspace, made),
        Html("<h2>Not verified, and why</h2>"),
        _render_list(config.unverified),
        Html("<h2>In service</h2>"),
        _render_service(workspace, name),
        Html("<h2>Answers of the exam</h2>"),
        _render_answers(workspace, exam),
    ]
    page = workspace.root / "reports" / f"{name}-expert.html"
    jsonl.replace(page, render_page(f"Expert {name}", body).encode())
    run.event("notice", text=f"page: {page}")
    return ExpertPage(page=str(page), headline=headline)


def _find_exam(workspace: Workspace, name: str) -> StoredReport | None:
    return report_store.load(workspace, f"{name}-exam") if workspace.versions("report", f"{name}-exam") else None


def _find_artifact(workspace: Workspace, name: str) -> Artifact | None:
    return artifacts.load(workspace, name) if workspace.versions("artifact", name) else None


def shares(exam: StoredReport) -> dict[str, Interval]:
    """Every model's result over the whole exam."""
    found = msgspec.convert(exam.environment.get("shares", {}), dict[str, dict[str, Interval]])
    return {model: scopes["all"] for model, scopes in found.items()}


def write_headline(name: str, exam: StoredReport | None) -> str:
    """The outcome in one sentence; never better without an interval that says so."""
    if exam is None:
        return f"{name}: no exam was taken"
    found, base = shares(exam), str(exam.environment.get("base", ""))
    after, before = found.get(exam.subject), found.get(base)
    if after is None or after.value is None:
        return f"{name}: the exam measured nothing"
    if before is None or before.value is None:
        return f"{name}: {format_percent(after)}, and no base to compare with"
    if after.low is not None and before.high is not None and after.low > before.high:
        return f"{name} is better than its base: {format_percent(before)} → {format_percent(after)}"
    return f"{name} is not shown to be better than its base: {format_percent(before)} → {format_percent(after)}"


def _render_exam(exam: StoredReport | None) -> list[Html]:
    if exam is None:
        return [_NOT_MEASURED]
    found, base = shares(exam), str(exam.environment.get("base", ""))
    before = found.get(base, Interval(value=None))
    rows = [(model, format_percent(value), value.n) for model, value in found.items()]
    bars = [BarPair(model, exam.suite, before, value) for model, value in found.items() if model != base]
    label = "Score of the base (gray) and the expert (green), with 95 % intervals"
    return [draw_bars(bars, label), render_table(("model", "score", "items"), rows)]


def _render_data(workspace: Workspace, name: str) -> Iterator[Html]:
    if not workspace.versions("dataset", f"{name}-data"):
        yield _NOT_MEASURED
        return
    dataset = datasets.load(workspace, f"{name}-data")
    rows = [(split.name, split.count) for split in dataset.splits]
    yield render_table(("split", "records"), rows)
    licenses = ", ".join(f"{license or 'unknown'} {count}" for license, count in dataset.licenses.items())
    yield join([Html('<p class="soft">Licenses: '), licenses or "none recorded", Html("</p>")])
    path = workspace.path(workspace.resolve(f"{name}-data", "dataset")) / "curation.json"
    if path.is_file():
        with boundary(DataError, str(path)):
            curation = msgspec.json.decode(path.read_bytes(), type=Curation)
        funnel = [
            (stage.step, stage.records, ", ".join(f"{why} {count}" for why, count in stage.dropped.items()))
            for stage in curation.funnel
        ]
        yield render_table(("step", "records left", "dropped"), funnel)


def _render_training(workspace: Workspace, made: Artifact | None) -> Iterator[Html]:
    if made is None or not made.run:
        yield _NOT_MEASURED
        return
    facts = made.facts
    names = ("method", "steps", "tokens_trained", "seconds", "last_loss")
    values = ((name.replace("_", " "), facts[name]) for name in names if name in facts)
    rows = [(name, f"{value:.3g}" if isinstance(value, float) else value) for name, value in values]
    yield render_table((made.ref, made.base or "from nothing"), rows)
    path = runs.get(workspace, made.run).folder / "events.jsonl"
    points = [
        (row.step, row.loss) for row in jsonl.read(path, _TrainStep, lambda *_: None) if row.event == "train.step"
    ]
    if len(points) > 1:
        title = f"{len(points)} steps, loss {points[0][1]:.2f} → {points[-1][1]:.2f}"
        yield join([Html('<div class="grid">'), draw_line(points, title, "training loss"), Html("</div>")])


class _TrainStep(msgspec.Struct):
    """The fields of an event that the curve needs."""

    event: str = ""
    step: int = 0
    loss: float = 0.0


def _render_list(lines: tuple[str, ...]) -> Html:
    items = [join([Html("<li>"), line, Html("</li>")]) for line in lines]
    return join([Html("<ul>"), *items, Html("</ul>")]) if items else Html("<p>Nothing was listed.</p>")


def _render_service(workspace: Workspace, name: str) -> Html:
    entry = Registry(workspace).entries().get(name)
    if entry is None:
        return Html("<p>Not registered.</p>")
    rows = [(alias, ref) for alias, ref in entry.aliases.items()]
    return render_table(("alias", "model"), rows)


def _render_answers(workspace: Workspace, exam: StoredReport | None) -> Html:
    if exam is None:
        return _NOT_MEASURED
    items = {item.id: item for item in report_store.items(workspace, exam)}
    mine = (row for row in report_store.table(workspace, exam).rows if row.model == exam.subject)
    rows = [
        (_short(items[row.item].task.prompt), _short(row.output), _verdict(row))
        for row in islice((row for row in mine if row.item in items), _SHOWN)
    ]
    return render_table(("question", "answer", "judged"), rows)


def _short(text: str) -> Html:
    return join([Html("<code>"), text if len(text) <= 400 else text[:400] + "…", Html("</code>")])


def _verdict(row: ResultRow) -> Html:
    if row.outcome != "answered" or row.ok is None:
        return join([Html('<span class="soft">'), row.reason or row.outcome, Html("</span>")])
    mark = Html('<span class="good">right') if row.ok else Html('<span class="bad">wrong')
    score = "" if row.score is None else f" ({row.score:.2f})"
    return join([mark, score, f" {row.reason}", Html("</span>")])
