"""A report as one self-contained HTML page: style and script inline, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

import msgspec

from afs.evaluate.compare import ALL, Comparison, format_points
from afs.evaluate.report.markdown import format_number, format_p, format_share
from afs.evaluate.report.report_facts import Flip, ReportView
from afs.evaluate.result_rows import LOST, ResultRow, Table
from afs.pages import Html, render_page, render_table
from afs.pages.charts import ForestRow, draw_forest

SHOWN_FLIPS = 150
"""Flips of each kind shown in full; the results table has all of them."""
SHOWN_TEXT = 4000
"""Characters shown of a text."""
_MARKS = {"answered": "?", "cut": "c", "empty": "e", "template": "t", "filtered": "f"}


def render_html(view: ReportView, table: Table, extra: Sequence[tuple[str, str]] = ()) -> bytes:
    """The page; `extra` are further sections (title, HTML)."""
    folder = resources.files("afs.evaluate.report")
    style, script = ((folder / name).read_text("utf-8") for name in ("page.css", "page.js"))
    tone = view.comparisons[0].verdict if view.comparisons else "unknown"
    sections = [
        _section("Models", _models(view)),
        _section(f"Difference to {view.base}", _draw_forest([*view.comparisons, *view.others]) + _differences(view))
        if view.comparisons
        else "",
        *(_section(title, body) for title, body in extra),
        *(_flips(view, kind) for kind in ("broken", "fixed")),
        _section("Every item", _matrix(view, table)),
        _section("Uninformative items", _silent(view)) if any(view.silent.values()) else "",
        _section("Found in the training data", _leaks(view)) if view.leaks else "",
        _section("How it was measured", _source(view)),
    ]
    notes = "".join(f"<li>{escape(note)}</li>" for note in view.notes)
    title = f"{view.subject} on {view.suite}"
    header = (
        f"<header><p class=kicker>{escape(title)}</p>"
        f'<h1 class="{tone}">{escape(view.verdict)}</h1><ul class=notes>{notes}</ul></header>'
    )
    return render_page(title, [Html(header), Html("".join(sections))], style=style, script=script).encode()


def _draw_forest(comparisons: Sequence[Comparison]) -> str:
    """The differences to the base as a forest plot."""
    rows = []
    for one in comparisons:
        d = one.difference
        note = f"unknown ({one.left_out} left out)"
        if d.value is not None and d.low is not None and d.high is not None:
            note = f"{format_points(d.value)}  [{format_points(d.low)}, {format_points(d.high)}]  n={d.n}"
        name = one.model if one.scope == ALL else one.scope
        rows.append(ForestRow(name, d, one.verdict, note, one.scope == ALL))
    return draw_forest(rows, "differences in points", "points better than the base")


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table; cells are HTML already."""
    return render_table(head, ([Html(cell) for cell in row] for row in rows), kind)


def _models(view: ReportView) -> str:
    categories = [scope for scope in view.shares[view.subject] if scope != ALL]
    rows = []
    for model, shares in view.shares.items():
        speed, tag = view.speed[model], " <em>base</em>" if model == view.base else ""
        odd = ", ".join(f"{count} {name}" for name, count in view.outcomes[model].items() if name != "answered")
        passes = " ".join(f"{k} {v:.2f}" for k, v in view.pass_at.get(model, {}).items())
        cells = [
            format_share(shares.get(ALL)),
            odd or "–",
            format_number(speed.median_s, " s"),
            format_number(speed.p95_s, " s"),
            format_number(speed.tokens_per_s, "", 1),
            format_number(speed.output_tokens, "", 1),
            format_number(speed.cost_usd, " $", 4),
            passes or "–",
        ]
        rows.append([f"<b>{escape(model)}</b>{tag}", *map(escape, cells)])
    head = ["model", view.metric, "no answer", "median", "95th", "tokens/s", "tokens each", "cost", "pass@k"]
    text = html_table(head, rows)
    if categories:
        per = [
            [escape(scope), *(escape(format_share(s.get(scope))) for s in view.shares.values())] for scope in categories
        ]
        text += "<h3>By category</h3>" + html_table(["category", *view.shares], per)
    return text


def _differences(view: ReportView) -> str:
    rows = [_difference(c) for c in (*view.comparisons, *view.others)]
    head = ["", "difference", "95 % interval", "p", "only it", "only base", "items", "left out", "verdict", "method"]
    return html_table(head, rows)


def _difference(c: Comparison) -> list[str]:
    d = c.difference
    name = escape(c.model if c.scope == ALL else c.scope)
    span = f"{format_points(d.low)} to {format_points(d.high)}" if d.low is not None else "unknown"
    return [
        name,
        format_points(d.value),
        span,
        format_p(c.p),
        str(c.better),
        str(c.worse),
        str(d.n),
        str(c.left_out),
        f'<span class="{c.verdict}">{c.verdict}</span>',
        escape(c.method),
    ]


def _flips(view: ReportView, kind: str) -> str:
    chosen = [flip for flip in view.flips if flip.kind == kind]
    if not chosen:
        return ""
    more = f" — the first {SHOWN_FLIPS} are shown" if len(chosen) > SHOWN_FLIPS else ""
    body = "".join(_flip(flip, view) for flip in chosen[:SHOWN_FLIPS])
    return _section(f"{kind.capitalize()} ({len(chosen)}){more}", body)


def _flip(flip: Flip, view: ReportView) -> str:
    sides = ((view.base, flip.base), (view.subject, flip.subject))
    halves = "".join(_answer(name, row) for name, row in sides)
    head = f"<summary><span class={flip.kind}>{escape(flip.category)}</span> {escape(_line(flip.prompt))}</summary>"
    gold = f"<h4>right answer</h4><pre>{escape(flip.gold[:SHOWN_TEXT])}</pre>" if flip.gold else ""
    asked = f"<h4>{escape(flip.item)}</h4><pre>{escape(flip.prompt[:SHOWN_TEXT])}</pre>{gold}"
    return f"<details>{head}{asked}<div class=pair>{halves}</div></details>"


def _answer(name: str, row: ResultRow) -> str:
    state = "solved" if row.ok else row.outcome if row.outcome != "answered" else "not solved"
    facts = ", ".join(f"{key} {value}" for key, value in row.facts.items())
    why = " · ".join(part for part in (row.stage, row.reason or row.error, facts[:400]) if part)
    mark = "better" if row.ok else "worse"
    return (
        f'<div><h4>{escape(name)} <span class="{mark}">{escape(state)}</span></h4>'
        f"<pre>{escape(row.output[:SHOWN_TEXT]) or '(nothing)'}</pre><p class=why>{escape(why)}</p></div>"
    )


def _line(text: str, limit: int = 110) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _matrix(view: ReportView, table: Table) -> str:
    """Every answer as one character: 1 solved, 0 not, else its outcome; readable without the script."""
    models = table.models
    order = list(dict.fromkeys(row.item for row in table.rows))
    marks = {model: {row.item: _mark(row) for row in table.of(model) if row.epoch == 0} for model in models}
    categories = {row.item: row.category for row in table.rows}
    order.sort(key=lambda item: categories[item])
    lines = {model: "".join(marks[model].get(item, "-") for item in order) for model in models}
    data = {"items": order, "categories": [categories[item] for item in order], "models": lines}
    packed = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    plain = "".join(f"<tr><th>{escape(m)}</th><td class=marks>{line}</td></tr>" for m, line in lines.items())
    legend = "1 solved, 0 not solved, c cut, e empty, t wrong template, f filtered, x endpoint failed, ? not judged"
    return (
        f"<p class=legend>{legend}</p><div class=wide><table id=matrix><tbody>{plain}</tbody></table></div>"
        f'<script type="application/json" id=rows>{packed}</script>'
    )


def _mark(row: ResultRow) -> str:
    if row.outcome in LOST:
        return "x"
    return _MARKS[row.outcome] if row.ok is None else "1" if row.ok else "0"


def _leaks(view: ReportView) -> str:
    rows = [[escape(h.item), escape(h.kind), str(h.length), escape(h.record), escape(h.text)] for h in view.leaks[:200]]
    return html_table(["item", "found as", "tokens", "record", "text"], rows, "source")


def _silent(view: ReportView) -> str:
    text = "<p>All models solve these, or none does: they cost time and cannot change the comparison.</p>"
    for name, items in view.silent.items():
        if items:
            ids = f"<p class=ids>{escape(' '.join(items))}</p>"
            text += f"<details><summary>{len(items)} {escape(name)}</summary>{ids}</details>"
    return text


def _source(view: ReportView) -> str:
    s = view.sampling
    rows = [
        ["suite", f"{view.suite} {view.suite_version}, {view.items} items"],
        ["suite sha256", view.suite_digest],
        *[
            [str(m["model"]), f"{m['form']} {m['digest'] or '(behind an endpoint, files unknown)'}"]
            for m in view.models
        ],
        ["scorers", ", ".join(view.scorers) or "none"],
        [
            "sampling",
            f"temperature {s.temperature or 0:g}, top_p {s.top_p:g}, at most {s.max_tokens} tokens, seed {s.seed}",
        ],
        ["cut answers", f"count as {view.cut}"],
        ["run", view.run],
    ]
    cells = [[escape(name), f"<code>{escape(value)}</code>"] for name, value in rows]
    return html_table(["", ""], cells, "source") + f"<p>Reproduce with:</p><pre>{escape(view.command)}</pre>"
