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
from afs.data.browse import rendered
from afs.types import Dataset, Dropped, Record, Value
from afs.workspace import Workspace

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #8884}
.bar{background:#2f6fb0;height:.8rem;display:inline-block}pre{white-space:pre-wrap;background:#8881;padding:.6rem;overflow:auto}
"""


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


def report(config: ReportConfig, workspace: Workspace) -> PageWritten:
    """Read the story beside the dataset and tell it."""
    dataset = datasets.load(workspace, config.ref)
    path = config.to or workspace.root / "exports" / f"{dataset.ref.replace('@', '-')}.html"
    jsonl.replace(path, page(workspace, dataset, config.samples).encode())
    return PageWritten(file=str(path))


def page(workspace: Workspace, dataset: Dataset, samples: int) -> str:
    """The whole page; no script, nothing from elsewhere."""
    story = card.curation_of(workspace, dataset)
    lengths = Counter[int]()
    kept: list[Record] = []
    for record in datasets.read(workspace, dataset):
        lengths[min(15, len(datasets.answer(record)).bit_length())] += 1
        if len(kept) < samples:
            kept.append(record)
    picture = base64.b64encode(card.histogram([lengths[i] for i in range(16)])).decode()
    parts = [
        f"<h1>{_safe(dataset.ref)}</h1><p>digest <code>{dataset.digest}</code></p>",
        "<h2>From raw to dataset</h2>", _funnel(card.funnel_rows(story)),
        "<h2>Sides</h2>", _table(("side", "records"), [(s.name, s.count) for s in dataset.splits]),
        "<h2>Licences</h2>", _table(("licence", "records"), sorted(dataset.licences.items())),
        "<h2>Proof of the gate</h2>", _table(("control", "planted", "rejected"), card.control_rows(story)),
        f'<h2>Lengths of answers</h2><img alt="histogram" src="data:image/png;base64,{picture}">',
        "<p>Characters, a bar per power of two.</p>",
        "<h2>Samples that stayed</h2>", *(f"<pre>{_safe(rendered(r))}</pre>" for r in kept),
        "<h2>Samples of every reason to drop</h2>", *_dropped(workspace, dataset, samples),
    ]  # fmt: skip
    head = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_safe(dataset.ref)}</title><style>{_STYLE}</style>"
    )
    return head + "\n".join(parts) + "</html>\n"


def _dropped(workspace: Workspace, dataset: Dataset, samples: int) -> list[str]:
    found: dict[str, list[Dropped]] = defaultdict(list)
    counts = Counter[str]()
    for dropped in datasets.dropped(workspace, dataset):
        counts[dropped.reason] += 1
        if len(found[dropped.reason]) < samples:
            found[dropped.reason].append(dropped)
    parts = []
    for reason, number in counts.most_common():
        parts.append(f"<details><summary>{_safe(reason)}: {number}</summary>")
        parts += [f"<pre>{_safe(rendered(d.record, d.detail or d.reason))}</pre>" for d in found[reason]]
        parts.append("</details>")
    return parts or ["<p>Nothing was dropped.</p>"]


def _funnel(rows: Sequence[Sequence[object]]) -> str:
    top = max((int(str(row[1])) for row in rows), default=1) or 1
    cells = [
        f"<tr><td>{_safe(row[0])}<td>{row[1]}"
        f"<td><span class=bar style='width:{int(str(row[1])) / top * 14:.2f}rem'></span>"
        f"<td>{_safe(row[2])}</tr>"
        for row in rows
    ]
    return f"<table><tr><th>step<th>records left<th><th>dropped</tr>{''.join(cells)}</table>"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    top = "".join(f"<th>{_safe(cell)}" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_safe(cell)}" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _safe(value: object) -> str:
    return html.escape(str(value))
