"""`afs data report`: one HTML file with the funnel from raw to dataset and samples of every reason to drop."""

from __future__ import annotations

import base64
import html
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from afs import datasets, jsonl
from afs.config import Config
from afs.data import card
from afs.data.record_text import Color, render_record
from afs.types import Curation, Dataset, Dropped, Record, Value
from afs.workspace import Workspace

_STYLE = """
:root{color-scheme:light dark;--ink:#2f6fb0;--line:#8883;--soft:#8881}
body{font:15px/1.55 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin:2.2rem 0 .6rem;font-size:1.15rem}.dim{opacity:.65;font-size:.9em}
table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.25rem 1rem .25rem 0}
tr+tr td{border-top:1px solid var(--line)}
th{font-weight:600;opacity:.65}td.n{text-align:right;font-variant-numeric:tabular-nums}
.row{display:flex;flex-wrap:wrap;gap:0 4rem}
.bar{background:var(--ink);height:.8rem;display:inline-block;border-radius:2px}
img{max-width:100%;border-radius:6px}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--soft);border-radius:6px;padding:.7rem .9rem;
max-height:22rem;overflow:auto;font:13px/1.45 ui-monospace,monospace}
details{border:1px solid var(--line);border-radius:6px;padding:.45rem .8rem;margin:.5rem 0}summary{cursor:pointer}
.k{color:var(--ink)}.c{opacity:.6}.b{font-weight:600}.r{color:#c0392b}.g{color:#1e8449}.v{color:#b9770e}
"""


_CLASSES = {
    Color.CODE: "k", Color.DIM: "c", Color.BOLD: "b", Color.BAD: "r", Color.GOOD: "g", Color.VALUE: "v",
}  # fmt: skip


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
    jsonl.replace(path, render_page(workspace, dataset, config.samples).encode())
    return PageWritten(file=str(path))


def render_page(workspace: Workspace, dataset: Dataset, samples: int) -> str:
    """The whole page; no script, nothing from elsewhere."""
    curation = datasets.load_curation(workspace, dataset)
    sums = card.Composition()
    kept: list[Record] = []
    for record in datasets.read(workspace, dataset):
        sums.add(record)
        if len(kept) < samples:
            kept.append(record)
    parts = [
        f"<h1>{_safe(dataset.ref)}</h1>",
        f"<p class=dim>{sums.lengths.total():,} records · digest <code>{dataset.digest}</code></p>",
        *(_funnel_section(card.funnel_rows(workspace, curation)) if curation is not None else ()),
        *_composition(dataset, sums),
        *(_curation_sections(workspace, curation) if curation is not None else ()),
        *(_picture(*picture) for picture in sums.pictures()),
        "<h2>Samples kept</h2>", *(_sample(r) for r in kept),
        "<h2>Samples of every reason to drop</h2>", *_dropped(workspace, dataset, curation, samples),
    ]  # fmt: skip
    head = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{_safe(dataset.ref)}</title><style>{_STYLE}</style>"
    )
    return head + "\n".join(parts) + "</html>\n"


def _composition(dataset: Dataset, sums: card.Composition) -> list[str]:
    """What the dataset is made of, in tables side by side."""
    tables = (
        ("Sides", [(s.name, s.count) for s in dataset.splits]), ("Sources", sums.sources.most_common()),
        ("Families", sums.families.most_common()), ("Licenses", sorted(dataset.licenses.items())),
    )  # fmt: skip
    cells = (f"<div><h2>{_safe(head)}</h2>{_table(('', 'records'), rows)}</div>" for head, rows in tables)
    return ["<div class=row>", *cells, "</div>"]


def _curation_sections(workspace: Workspace, curation: Curation) -> list[str]:
    """How the dataset came about."""
    sections: list[tuple[str, Sequence[str], list[tuple[object, ...]]]] = [
        ("Mixture", card.MIXTURE, card.mixture_rows(curation)),
        ("Gate controls", ("control", "planted", "rejected"), card.control_rows(curation)),
        ("Redacted before anything was written", ("rule", "times"), card.redaction_rows(workspace, curation)),
    ]
    return [part for head, names, rows in sections if rows for part in (f"<h2>{head}</h2>", _table(names, rows))]


def _picture(name: str, caption: str, picture: bytes) -> str:
    data = base64.b64encode(picture).decode()
    return (
        f'<h2>Histogram of {name}</h2><img alt="{name}" src="data:image/png;base64,{data}"><p class=dim>{caption}</p>'
    )


def _dropped(workspace: Workspace, dataset: Dataset, curation: Curation | None, samples: int) -> list[str]:
    """What curation left out, then what the readers of its sources had left out before."""
    parts = []
    sources = card.sources_of(workspace, curation) if curation is not None else []
    for place in (dataset, *sources):
        found: dict[str, list[Dropped]] = defaultdict(list)
        counts = Counter[str]()
        for dropped in datasets.read_dropped(workspace, place):
            counts[dropped.reason] += 1
            if len(found[dropped.reason]) < samples:
                found[dropped.reason].append(dropped)
        where = "" if place is dataset else f" <span class=dim>when {_safe(place.ref)} was read</span>"
        for reason, number in counts.most_common():
            parts.append(f"<details><summary>{_safe(reason)}: {number:,}{where}</summary>")
            parts += [_sample(d.record, d.detail or d.reason) for d in found[reason]]
            parts.append("</details>")
    return parts or ["<p>Nothing was dropped.</p>"]


def _sample(record: Record, reason: str = "") -> str:
    return f"<pre>{render_record(record, reason, _markup, 0)}</pre>"


def _markup(color: Color, text: str) -> str:
    """A painted piece of text as HTML."""
    kind = _CLASSES.get(color)
    return f"<span class={kind}>{_safe(text)}</span>" if kind and text else _safe(text)


def _funnel_section(rows: Sequence[Sequence[object]]) -> list[str]:
    """Records left after each step, as bars."""
    top = max((int(str(row[1])) for row in rows), default=1) or 1
    cells = [
        f"<tr><td>{_safe(row[0])}<td class=n>{int(str(row[1])):,}"
        f"<td><span class=bar style='width:{int(str(row[1])) / top * 14:.2f}rem'></span>"
        f"<td class=dim>{_safe(row[2])}</tr>"
        for row in rows
    ]
    table = f"<table><tr><th>step<th>records left<th><th>dropped</tr>{''.join(cells)}</table>"
    return ["<h2>From raw to dataset</h2>", table]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    top = "".join(f"<th>{_safe(cell)}" for cell in head)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(value: object) -> str:
    return f"<td class=n>{value:,}" if isinstance(value, int) else f"<td>{_safe(value)}"


def _safe(value: object) -> str:
    return html.escape(str(value))
