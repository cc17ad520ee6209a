"""A report as one page that opens from disk and asks nobody for anything: style and script inside, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

import msgspec

from afs.evaluate.compare import ALL, Comparison, points
from afs.evaluate.report.markdown import chance, number, share
from afs.evaluate.report.report_facts import Flip, Told
from afs.evaluate.result_rows import LOST, ResultRow, Table
from afs.pages import Html, render_page, render_table
from afs.pages.charts import ForestRow, draw_forest

SHOWN_FLIPS = 150
"""Flips with their whole texts, of each kind; the results table holds all of them."""
SHOWN_TEXT = 4000
"""Letters of a text shown."""
_MARKS = {"answered": "?", "cut": "c", "empty": "e", "template": "t", "filtered": "f"}


def page(told: Told, table: Table, extra: Sequence[tuple[str, str]] = ()) -> bytes:
    """The page; `extra` are further sections (title, HTML)."""
    folder = resources.files("afs.evaluate.report")
    style, script = ((folder / name).read_text("utf-8") for name in ("page.css", "page.js"))
    tone = told.comparisons[0].verdict if told.comparisons else "unknown"
    sections = [
        _section("Models", _models(told)),
        _section(f"Difference to {told.base}", _draw_forest([*told.comparisons, *told.others]) + _differences(told))
        if told.comparisons else "",
        *(_section(title, body) for title, body in extra),
        *(_flips(told, kind) for kind in ("broken", "fixed")),
        _section("Every item", _matrix(told, table)),
        _section("Items that tell nothing", _silent(told)) if any(told.silent.values()) else "",
        _section("Found in the training data", _leaks(told)) if told.leaks else "",
        _section("How it was measured", _source(told)),
    ]  # fmt: skip
    notes = "".join(f"<li>{escape(note)}</li>" for note in told.notes)
    title = f"{told.subject} on {told.suite}"
    header = (
        f"<header><p class=kicker>{escape(title)}</p>"
        f'<h1 class="{tone}">{escape(told.verdict)}</h1><ul class=notes>{notes}</ul></header>'
    )
    return render_page(title, [Html(header), Html("".join(sections))], style=style, script=script).encode()


def _draw_forest(comparisons: Sequence[Comparison]) -> str:
    """The differences to the base as a forest plot."""
    rows = []
    for one in comparisons:
        d = one.difference
        note = f"unknown ({one.left_out} left out)"
        if d.value is not None and d.low is not None and d.high is not None:
            note = f"{points(d.value)}  [{points(d.low)}, {points(d.high)}]  n={d.n}"
        name = one.model if one.scope == ALL else one.scope
        rows.append(ForestRow(name, d, one.verdict, note, one.scope == ALL))
    return draw_forest(rows, "differences in points", "points better than the base")


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table; cells are HTML already."""
    return render_table(head, ([Html(cell) for cell in row] for row in rows), kind)


def _models(told: Told) -> str:
    categories = [scope for scope in told.shares[told.subject] if scope != ALL]
    rows = []
    for model, shares in told.shares.items():
        speed, tag = told.speed[model], " <em>base</em>" if model == told.base else ""
        odd = ", ".join(f"{count} {name}" for name, count in told.outcomes[model].items() if name != "answered")
        passes = " ".join(f"{k} {v:.2f}" for k, v in told.pass_at.get(model, {}).items())
        cells = [share(shares.get(ALL)), odd or "–", number(speed.median_s, " s"), number(speed.p95_s, " s"),
                 number(speed.tokens_per_s, "", 1), number(speed.output_tokens, "", 1), number(speed.cost_usd, " $", 4),
                 passes or "–"]  # fmt: skip
        rows.append([f"<b>{escape(model)}</b>{tag}", *map(escape, cells)])
    head = ["model", told.metric, "no answer", "median", "95th", "tokens/s", "tokens each", "cost", "pass@k"]
    text = grid(head, rows)
    if categories:
        per = [[escape(scope), *(escape(share(s.get(scope))) for s in told.shares.values())] for scope in categories]
        text += "<h3>By category</h3>" + grid(["category", *told.shares], per)
    return text


def _differences(told: Told) -> str:
    rows = [_difference(c) for c in (*told.comparisons, *told.others)]
    head = ["", "difference", "95 % interval", "p", "only it", "only base", "items", "left out", "verdict", "method"]
    return grid(head, rows)


def _difference(c: Comparison) -> list[str]:
    d = c.difference
    name = escape(c.model if c.scope == ALL else c.scope)
    span = f"{points(d.low)} to {points(d.high)}" if d.low is not None else "unknown"
    return [name, points(d.value), span, chance(c.p), str(c.better), str(c.worse), str(d.n), str(c.left_out),
            f'<span class="{c.verdict}">{c.verdict}</span>', escape(c.method)]  # fmt: skip


def _flips(told: Told, kind: str) -> str:
    chosen = [flip for flip in told.flips if flip.kind == kind]
    if not chosen:
        return ""
    more = f" — the first {SHOWN_FLIPS} are shown" if len(chosen) > SHOWN_FLIPS else ""
    body = "".join(_flip(flip, told) for flip in chosen[:SHOWN_FLIPS])
    return _section(f"{kind.capitalize()} ({len(chosen)}){more}", body)


def _flip(flip: Flip, told: Told) -> str:
    sides = ((told.base, flip.base), (told.subject, flip.subject))
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


def _matrix(told: Told, table: Table) -> str:
    """Every answer as one letter: 1 solved, 0 not, else how it ended; drawn by the page's script, readable without."""
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


def _leaks(told: Told) -> str:
    rows = [[escape(h.item), escape(h.kind), str(h.length), escape(h.record), escape(h.text)] for h in told.leaks[:200]]
    return grid(["item", "found as", "tokens", "record", "text"], rows, "source")


def _silent(told: Told) -> str:
    text = "<p>Every model solves them, or none does: they cost time and cannot move the comparison.</p>"
    for name, items in told.silent.items():
        if items:
            ids = f"<p class=ids>{escape(' '.join(items))}</p>"
            text += f"<details><summary>{len(items)} {escape(name)}</summary>{ids}</details>"
    return text


def _source(told: Told) -> str:
    s = told.sampling
    rows = [
        ["suite", f"{told.suite} {told.suite_version}, {told.items} items"],
        ["suite sha256", told.suite_digest],
        *[
            [str(m["model"]), f"{m['form']} {m['digest'] or '(behind an endpoint, files unknown)'}"]
            for m in told.models
        ],
        ["scorers", ", ".join(told.scorers) or "none"],
        [
            "sampling",
            f"temperature {s.temperature or 0:g}, top_p {s.top_p:g}, at most {s.max_tokens} tokens, seed {s.seed}",
        ],
        ["cut answers", f"count as {told.cut}"],
        ["run", told.run],
    ]
    cells = [[escape(name), f"<code>{escape(value)}</code>"] for name, value in rows]
    return grid(["", ""], cells, "source") + f"<p>The same again:</p><pre>{escape(told.command)}</pre>"
