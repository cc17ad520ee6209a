"""The card of a dataset: sources, licenses, filters and counts as Markdown, with histograms as SVG files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from afs import datasets, jsonl
from afs.pages import Html
from afs.pages.charts import draw_histogram, standalone_svg
from afs.types import ControlOutcome, Curation, Dataset, Record
from afs.workspace import Workspace

BARS = (*(str(2**n // 2) if n < 11 else f"{2**n // 2048}K" for n in range(15)), "16K+")
"""Labels of the bars: answers of at least so many characters."""
STEPS = tuple(f"0.{n}" for n in range(10))
"""Labels of the bars of scores."""
SCORES_CAPTION = "Total scores: a bar per tenth, from the number below it; records without a score are not in it."
MIXTURE = ("share", "asked", "given", "there")
LENGTHS_CAPTION = "Characters of the answer: a bar per power of two, from the number below it; above it the records."


class Composition:
    """What is counted over all records of a dataset."""

    def __init__(self) -> None:
        self.lengths, self.scores = Counter[int](), Counter[int]()
        self.sources, self.families = Counter[str](), Counter[str]()

    def add(self, record: Record) -> None:
        """One more record."""
        self.lengths[min(15, len(datasets.answer_text(record)).bit_length())] += 1
        self.sources[record.origin.source] += 1
        self.families[record.task.family if record.task else record.kind] += 1
        total = next((score.value for score in record.scores if score.id == "total"), None)
        if total is not None:
            self.scores[min(9, int(total * 10))] += 1

    def charts(self) -> list[tuple[str, str, Html]]:
        """(name, caption, histogram) of everything that was counted."""
        lengths = draw_histogram([self.lengths[i] for i in range(16)], BARS, "lengths of answers")
        found = [("lengths", LENGTHS_CAPTION, lengths)]
        if self.scores:
            scores = draw_histogram([self.scores[i] for i in range(10)], STEPS, "total scores")
            found.append(("scores", SCORES_CAPTION, scores))
        return found


def write(workspace: Workspace, dataset: Dataset, folder: Path, format_: str) -> None:
    """`README.md` and the charts it shows."""
    sums = Composition()
    for record in datasets.read(workspace, dataset):
        sums.add(record)
    for name, _, chart in sums.charts():
        jsonl.replace(folder / f"{name}.svg", standalone_svg(chart))
    jsonl.replace(folder / "README.md", _render(workspace, dataset, format_, sums).encode())


def _render(workspace: Workspace, dataset: Dataset, format_: str, sums: Composition) -> str:
    curation = datasets.load_curation(workspace, dataset)
    license = next(iter(dataset.licenses)).lower() if len(dataset.licenses) == 1 else "other"
    parts = [
        "---",
        f"license: {license}",
        f"pretty_name: {dataset.ref}",
        "---",
        f"# {dataset.ref}",
        "",
        f"Written by `afs data export` in the form `{format_}`. Digest `{dataset.digest}`.",
        "",
        "## Counts",
        "",
        _table(("side", "records"), [(s.name, s.count) for s in dataset.splits]),
        "",
        "## Sources",
        "",
        _table(("source", "records"), sums.sources.most_common()),
        "",
        "## Licenses",
        "",
        _table(("license (SPDX)", "records"), sorted(dataset.licenses.items())),
        "",
        "## Families",
        "",
        _table(("family", "records"), sums.families.most_common()),
        "",
    ]
    if curation is not None:
        parts += _render_curation(workspace, curation)
    for name, caption, _ in sums.charts():
        parts += [f"## Histogram of {name}", "", f"![{name}]({name}.svg)", "", caption, ""]
    return "\n".join([*parts, ""])


def _render_curation(workspace: Workspace, curation: Curation) -> list[str]:
    """How the dataset came about, section by section."""
    sections: list[tuple[str, Sequence[str], list[tuple[object, ...]]]] = [
        ("From raw to dataset", ("step", "records left", "dropped"), funnel_rows(workspace, curation)),
        ("Mixture", MIXTURE, mixture_rows(curation)),
        ("Gate controls", ("control", "planted", "rejected"), control_rows(curation)),
        ("Redacted before anything was written", ("rule", "times"), redaction_rows(workspace, curation)),
    ]
    warnings = ["## Warnings", "", *(f"- {warning}" for warning in curation.warnings), ""] if curation.warnings else []
    return warnings + [
        line for head, names, rows in sections if rows for line in (f"## {head}", "", _table(names, rows), "")
    ]


def funnel_rows(workspace: Workspace, curation: Curation) -> list[tuple[object, ...]]:
    """(step, records left, what was dropped), beginning with what the readers found."""
    rows: list[tuple[object, ...]] = []
    found, lost = _count_raw(workspace, curation)
    if found:
        rows.append(("found in the sources", found, "–"))
    for number, stage in enumerate(curation.funnel):
        dropped = stage.dropped if number or not found else lost
        reasons = ", ".join(f"{reason}: {n:,}" for reason, n in dropped.items()) or "–"
        rows.append((stage.step, stage.records, reasons))
    return rows


def sources_of(workspace: Workspace, curation: Curation) -> list[Dataset]:
    """The sets of records a dataset was made of, as far as they are still stored."""
    stored = []
    for text in curation.sources:
        name, _, version = text.partition("@")
        if int(version or 0) in workspace.versions("records", name):
            stored.append(datasets.load(workspace, text, "records"))
    return stored


def _count_raw(workspace: Workspace, curation: Curation) -> tuple[int, Mapping[str, int]]:
    """(what the readers found, what they dropped by reason), when every source is known."""
    sources = sources_of(workspace, curation)
    lost = Counter[str]()
    if len(sources) < len(curation.sources) or not all("found" in s.counts for s in sources):
        return 0, lost
    for source in sources:
        lost["unreadable"] += source.counts.get("unreadable", 0)
        for key, number in source.counts.items():
            if key.startswith("dropped:"):
                lost[key.removeprefix("dropped:")] += number
    return sum(source.counts["found"] for source in sources), dict((+lost).most_common())


def redaction_rows(workspace: Workspace, curation: Curation) -> list[tuple[object, ...]]:
    """(rule, replacements) of redaction in the sources."""
    sums = Counter[str]()
    for source in sources_of(workspace, curation):
        sums.update({key[9:]: number for key, number in source.counts.items() if key.startswith("redacted:")})
    return list(sums.most_common())


def mixture_rows(curation: Curation) -> list[tuple[object, ...]]:
    """(share, records asked for, given, there), when the dataset was mixed by shares."""
    rows = curation.notes.get("mix", {}).get("shares")
    return [tuple(row[name] for name in MIXTURE) for row in (rows if isinstance(rows, list) else [])]


def control_rows(curation: Curation) -> list[tuple[object, ...]]:
    """(control, planted, rejected)."""
    return [
        (f"{row.kind} ({'good' if row.good else 'bad'})", row.planted, f"{row.rejected} ({_percent(row)})")
        for row in curation.controls
    ]


def _percent(row: ControlOutcome) -> str:
    return f"{row.rejected / row.planted:.0%}" if row.planted else "–"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows)])
