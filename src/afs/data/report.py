"""`afs data report`: one HTML file with the funnel from raw to dataset and samples of every reason to drop."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from afs import datasets, jsonl
from afs.config import Config
from afs.data import card
from afs.data.record_text import Color, render_record
from afs.pages import Html, escape_text, join, render_page, render_table
from afs.types import Curation, Dataset, Dropped, Record, Value
from afs.workspace import Workspace

_STYLE = """.bar{background:var(--link);height:.8rem;display:inline-block;border-radius:2px}
.k{color:var(--link)}.c{opacity:.6}.b{font-weight:600}.r{color:var(--bad)}.g{color:var(--good)}.v{color:var(--odd)}"""


_CLASSES = {
    Color.CODE: "k",
    Color.DIM: "c",
    Color.BOLD: "b",
    Color.BAD: "r",
    Color.GOOD: "g",
    Color.VALUE: "v",
}


class ReportConfig(Config, frozen=True, kw_only=True):
    """Write the report of a dataset."""

    positional: ClassVar[tuple[str, ...]] = ("ref",)
    ref: str
    """Dataset."""
    to: Path | None = None
    """File to write; default: `exports/` in the workspace."""
    samples: int = 3
    """Samples per reason."""


class PageWritten(Value, frozen=True, kw_only=True):
    """Where the report lies."""

    file: str


def write_report(config: ReportConfig, workspace: Workspace) -> PageWritten:
    """Render the page and write it."""
    dataset = datasets.load(workspace, config.ref)
    path = config.to or workspace.root / "exports" / f"{dataset.ref.replace('@', '-')}.html"
    jsonl.replace(path, render_report(workspace, dataset, config.samples).encode())
    return PageWritten(file=str(path))


def render_report(workspace: Workspace, dataset: Dataset, samples: int) -> str:
    """The whole page; no script, nothing from elsewhere."""
    curation = datasets.load_curation(workspace, dataset)
    sums = card.Composition()
    kept: list[Record] = []
    for record in datasets.read(workspace, dataset):
        sums.add(record)
        if len(kept) < samples:
            kept.append(record)
    body = [
        join([Html("<h1>"), dataset.ref, Html("</h1>")]),
        Html(f"<p class=soft>{sums.lengths.total():,} records · digest <code>{dataset.digest}</code></p>"),
        *(_warning_section(curation.warnings) if curation is not None else ()),
        *(_funnel_section(card.funnel_rows(workspace, curation)) if curation is not None else ()),
        *_composition(dataset, sums),
        *(_curation_sections(workspace, curation) if curation is not None else ()),
        *(part for chart in sums.charts() for part in _chart(*chart)),
        Html("<h2>Samples kept</h2>"),
        *(_sample(r) for r in kept),
        Html("<h2>Samples of every reason to drop</h2>"),
        *_dropped(workspace, dataset, curation, samples),
    ]
    return render_page(dataset.ref, body, style=_STYLE)


def _warning_section(warnings: Sequence[str]) -> list[Html]:
    """What to know before using the dataset."""
    if not warnings:
        return []
    items = [join([Html("<li>"), warning, Html("</li>")]) for warning in warnings]
    return [Html("<h2>Warnings</h2>"), join([Html("<ul>"), *items, Html("</ul>")])]


def _composition(dataset: Dataset, sums: card.Composition) -> list[Html]:
    """What the dataset is made of, in tables side by side."""
    tables = (
        ("Sides", [(s.name, s.count) for s in dataset.splits]),
        ("Sources", sums.sources.most_common()),
        ("Families", sums.families.most_common()),
        ("Licenses", sorted(dataset.licenses.items())),
    )
    cells = (Html(f"<div><h2>{head}</h2>{render_table(('', 'records'), rows)}</div>") for head, rows in tables)
    return [Html('<div class="row">'), *cells, Html("</div>")]


def _curation_sections(workspace: Workspace, curation: Curation) -> list[Html]:
    """How the dataset was curated."""
    sections: list[tuple[str, Sequence[str], list[tuple[object, ...]]]] = [
        ("Mixture", card.MIXTURE, card.mixture_rows(curation)),
        ("Gate controls", ("control", "planted", "rejected"), card.control_rows(curation)),
        ("Redacted before anything was written", ("rule", "times"), card.redaction_rows(workspace, curation)),
    ]
    return [
        part for head, names, rows in sections if rows for part in (Html(f"<h2>{head}</h2>"), render_table(names, rows))
    ]


def _chart(name: str, caption: str, chart: Html) -> list[object]:
    return [Html(f"<h2>Histogram of {name}</h2>"), chart, Html(f"<p class=soft>{caption}</p>")]


def _dropped(workspace: Workspace, dataset: Dataset, curation: Curation | None, samples: int) -> list[Html]:
    """What curation left out, then what the readers of its sources had left out before."""
    parts: list[Html] = []
    sources = card.sources_of(workspace, curation) if curation is not None else []
    for place in (dataset, *sources):
        found: dict[str, list[Dropped]] = defaultdict(list)
        counts = Counter[str]()
        for dropped in datasets.read_dropped(workspace, place):
            counts[dropped.reason] += 1
            if len(found[dropped.reason]) < samples:
                found[dropped.reason].append(dropped)
        where = "" if place is dataset else f" <span class=soft>when {escape_text(place.ref)} was read</span>"
        for reason, number in counts.most_common():
            parts.append(Html(f"<details><summary>{escape_text(reason)}: {number:,}{where}</summary>"))
            parts += [_sample(d.record, d.detail or d.reason) for d in found[reason]]
            parts.append(Html("</details>"))
    return parts or [Html("<p>Nothing was dropped.</p>")]


def _sample(record: Record, reason: str = "") -> Html:
    return Html(f"<pre>{render_record(record, reason, _markup, 0)}</pre>")


def _markup(color: Color, text: str) -> str:
    """A painted piece of text as HTML."""
    kind = _CLASSES.get(color)
    return f"<span class={kind}>{escape_text(text)}</span>" if kind and text else escape_text(text)


def _funnel_section(rows: Sequence[Sequence[object]]) -> list[Html]:
    """Records left after each step, as bars."""
    top = max((int(str(row[1])) for row in rows), default=1) or 1
    cells = [
        (row[0], row[1], Html(f"<span class=bar style='width:{int(str(row[1])) / top * 14:.2f}rem'></span>"), row[2])
        for row in rows
    ]
    return [Html("<h2>From raw to dataset</h2>"), render_table(("step", "records left", "", "dropped"), cells)]
