"""The quick start's page: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources

import afs
from afs import datasets
from afs.quickstart.results import BeforeAfter, QuickstartResults, percent
from afs.types import Interval
from afs.workspace import Workspace

_STYLE = resources.files("afs.quickstart").joinpath("page.css").read_text()


def render(workspace: Workspace, story: QuickstartResults) -> str:
    """The whole page."""
    parts = [
        f"<h1>{escape(_verdict(story.exams))}</h1>",
        f'<p class="soft">afs {afs.__version__}, pack <code>{escape(story.pack)}</code>. Every figure is read from a '
        "stored report or a run's events; answers are judged by execution.</p>",
        "<h2>What the experts learned: before and after training, on held-out questions</h2>",
        _exams([exam for exam in story.exams if not exam.is_rival]),
        "<h2>What they kept of the base's knowledge: with rehearsal and without</h2>",
        _exams([exam for exam in story.exams if exam.is_rival]),
        "<h2>Questions to the council</h2>",
        _answers(story),
        "<h2>Training loss</h2>",
        _losses(story),
        "<h2>Pipeline</h2>",
        _pipeline(workspace, story),
        '<p class="soft">Reproduce with: <code>afs quickstart --pack ' + escape(story.pack) + "</code></p>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    head += "<title>afs quick start</title>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"


def _exams(exams: Sequence[BeforeAfter]) -> str:
    return _bars(exams) + _exam_table(exams) if exams else '<p class="soft">Not measured.</p>'


def _verdict(exams: Sequence[BeforeAfter]) -> str:
    exams = [exam for exam in exams if not exam.is_rival]
    better = [e for e in exams if (e.after.low or 0) > (e.before.high if e.before.high is not None else 1)]
    return (
        f"{len(better)} of {len(exams)} experts are clearly better than their base" if exams else "Nothing was measured"
    )


def _bars(exams: Sequence[BeforeAfter]) -> str:
    rows, height = [], 44
    for number, exam in enumerate(exams):
        y = number * height
        rows.append(
            f'<text x="0" y="{y + 20}">{escape(exam.model)}</text><text x="0" y="{y + 34}">{escape(exam.suite)}</text>'
        )
        rows += [_bar(y + 10, exam.before, "before"), _bar(y + 24, exam.after, "after")]
    grid = "".join(
        f'<line x1="{_x(s)}" x2="{_x(s)}" y1="0" y2="{len(exams) * height}" stroke="var(--line)"/>'
        f'<text x="{_x(s)}" y="{len(exams) * height + 16}" text-anchor="middle">{s:.0%}</text>'
        for s in (0, 0.25, 0.5, 0.75, 1)
    )
    label = "Share solved before (gray) and after (green), with 95 % intervals"
    return (
        f'<svg viewBox="0 0 800 {len(exams) * height + 24}" role="img" aria-label="{label}">{grid}{"".join(rows)}</svg>'
    )


def _x(share: float) -> float:
    return round(220 + 560 * share, 1)


def _bar(y: float, interval: Interval, kind: str) -> str:
    if interval.value is None:
        return f'<text x="{_x(0) + 4}" y="{y + 8}">unknown</text>'
    width = max(2.0, _x(interval.value) - _x(0))
    bar = f'<rect x="{_x(0)}" y="{y}" width="{width:.1f}" height="10" rx="2" fill="var(--{kind})"/>'
    if interval.low is None or interval.high is None:
        return bar
    low, high = _x(interval.low), _x(interval.high)
    return bar + f'<line x1="{low}" x2="{high}" y1="{y + 5}" y2="{y + 5}" stroke="var(--ink)" stroke-width="1.5"/>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join("<tr>" + "".join(f'<td class="n">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="wrap"><table><tr>{top}</tr>{cells}</table></div>'


def _exam_table(exams: Sequence[BeforeAfter]) -> str:
    rows = (
        (
            escape(e.model),
            escape(e.suite),
            percent(e.before),
            percent(e.after),
            str(e.items),
            f"<code>{e.report}</code>",
        )
        for e in exams
    )
    return _table(("model", "held-out suite", "before (base)", "after", "items", "report"), rows)


def _answers(story: QuickstartResults) -> str:
    rows = (
        (
            f"<code>{escape(a.question)}</code>",
            f"<code>{escape(a.answer)}</code>",
            escape(a.expert) + (f" ({a.probability:.0%})" if a.probability is not None else ""),
            f'<span class="{"good" if a.checked.startswith("passes") else "bad"}">{escape(a.checked)}</span>',
            f"{a.seconds:.2f} s",
        )
        for a in story.answers
    )
    return _table(("question", "answer", "expert", "verdict", "time"), rows)


def _losses(story: QuickstartResults) -> str:
    lines = {name: points for name, points in story.losses.items() if len(points) > 1}
    if not lines:
        return '<p class="soft">No training run recorded its steps.</p>'
    charts = "".join(_curve(name, points) for name, points in lines.items())
    return (
        f'<div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:1rem">{charts}</div>'
    )


def _curve(name: str, points: Sequence[tuple[int, float]]) -> str:
    smooth = list(_smoothed(points))
    top = max(loss for _, loss in smooth) or 1.0
    last = smooth[-1][0] or 1
    path = " ".join(f"{40 + 250 * step / last:.1f},{10 + 100 * (1 - loss / top):.1f}" for step, loss in smooth)
    text = (
        f'<text x="40" y="130">{escape(name)}: {last} steps, loss {smooth[0][1]:.2f} → {smooth[-1][1]:.3f}</text>'
        f'<text x="34" y="16" text-anchor="end">{top:.1f}</text><text x="34" y="112" text-anchor="end">0</text>'
    )
    axis = '<line x1="40" x2="290" y1="110" y2="110" stroke="var(--line)"/>'
    line = f'<polyline points="{path}" fill="none" stroke="var(--after)" stroke-width="1.5"/>'
    return f'<svg viewBox="0 0 300 140" role="img" aria-label="loss of {escape(name)}">{axis}{line}{text}</svg>'


def _smoothed(points: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Means over about a hundred parts of the run."""
    size = max(1, len(points) // 100)
    for start in range(0, len(points), size):
        part = points[start : start + size]
        yield part[-1][0], sum(loss for _, loss in part) / len(part)


def _pipeline(workspace: Workspace, story: QuickstartResults) -> str:
    rows = []
    for step in story.steps:
        kind, _, ref = step.result.partition(":")
        counts = ""
        if kind in ("records", "dataset"):
            dataset = datasets.load(workspace, ref, "records" if kind == "records" else "dataset")
            dropped = sum(n for key, n in dataset.counts.items() if key.startswith("dropped:"))
            counts = ", ".join(f"{name} {n}" for name, n in datasets.split_counts(dataset).items())
            counts += f"; {dropped} dropped" if dropped else ""
        rows.append((escape(step.step), escape(step.verb), f"<code>{escape(ref or step.run)}</code>", escape(counts)))
    return _table(("step", "verb", "result", "records"), rows)
