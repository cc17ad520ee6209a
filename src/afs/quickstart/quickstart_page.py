"""The quick start's page: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import afs
from afs import datasets
from afs.pages import Html, format_percent, join, render_page, render_table
from afs.pages.charts import BarPair, draw_bars, draw_line
from afs.quickstart.results import BeforeAfter, QuickstartResults
from afs.workspace import Workspace

_NOT_MEASURED = Html('<p class="soft">Not measured.</p>')


def render(workspace: Workspace, results: QuickstartResults) -> str:
    """The whole page."""
    learned = [exam for exam in results.exams if not exam.is_rival]
    kept = [exam for exam in results.exams if exam.is_rival]
    body = [
        join([Html("<h1>"), _headline(learned), Html("</h1>")]),
        join(
            [
                Html('<p class="soft">'),
                f"afs {afs.__version__}, pack ",
                _code(results.pack),
                ". Every figure is read from a stored report or a run's events; answers are judged by execution.",
                Html("</p>"),
            ]
        ),
        Html("<h2>What the experts learned: before and after training, on held-out questions</h2>"),
        *_render_exams(learned),
        Html("<h2>What they kept of the base's knowledge: with rehearsal and without</h2>"),
        *_render_exams(kept),
        Html("<h2>Questions to the council</h2>"),
        _render_answers(results),
        Html("<h2>Training loss</h2>"),
        _render_losses(results),
        Html("<h2>Pipeline</h2>"),
        render_table(("step", "verb", "result", "records"), _pipeline_rows(workspace, results)),
        join([Html('<p class="soft">Reproduce with: '), _code(f"afs quickstart --pack {results.pack}"), Html("</p>")]),
    ]
    return render_page("afs quick start", body)


def _code(text: object) -> Html:
    return join([Html("<code>"), text, Html("</code>")])


def _headline(exams: Sequence[BeforeAfter]) -> str:
    if not exams:
        return "Nothing was measured"
    better = [e for e in exams if (e.after.low or 0) > (e.before.high if e.before.high is not None else 1)]
    return f"{len(better)} of {len(exams)} experts are clearly better than their base"


def _render_exams(exams: Sequence[BeforeAfter]) -> list[Html]:
    if not exams:
        return [_NOT_MEASURED]
    label = "Share solved before (gray) and after (green), with 95 % intervals"
    rows = [
        (e.model, e.suite, format_percent(e.before), format_percent(e.after), e.items, _code(e.report)) for e in exams
    ]
    head = ("model", "held-out suite", "before (base)", "after", "items", "report")
    return [draw_bars([BarPair(e.model, e.suite, e.before, e.after) for e in exams], label), render_table(head, rows)]


def _render_answers(results: QuickstartResults) -> Html:
    rows = []
    for answer in results.answers:
        kind = "good" if answer.checked.startswith("passes") else "bad"
        verdict = join([Html(f'<span class="{kind}">'), answer.checked, Html("</span>")])
        chance = f" ({answer.probability:.0%})" if answer.probability is not None else ""
        rows.append(
            (_code(answer.question), _code(answer.answer), answer.expert + chance, verdict, f"{answer.seconds:.2f} s")
        )
    return render_table(("question", "answer", "expert", "verdict", "time"), rows)


def _render_losses(results: QuickstartResults) -> Html:
    charts = [
        draw_line(
            points, f"{name}: {points[-1][0]} steps, loss {points[0][1]:.2f} → {points[-1][1]:.3f}", f"loss {name}"
        )
        for name, points in results.losses.items()
        if len(points) > 1
    ]
    if not charts:
        return Html('<p class="soft">No training run recorded its steps.</p>')
    return join([Html('<div class="grid">'), *charts, Html("</div>")])


def _pipeline_rows(workspace: Workspace, results: QuickstartResults) -> Iterator[tuple[object, ...]]:
    for step in results.steps:
        kind, _, ref = step.result.partition(":")
        counts = ""
        if kind in ("records", "dataset"):
            dataset = datasets.load(workspace, ref, "records" if kind == "records" else "dataset")
            dropped = sum(n for key, n in dataset.counts.items() if key.startswith("dropped:"))
            counts = ", ".join(f"{name} {n}" for name, n in datasets.split_counts(dataset).items())
            counts += f"; {dropped} dropped" if dropped else ""
        yield step.step, step.verb, _code(ref or step.run), counts
