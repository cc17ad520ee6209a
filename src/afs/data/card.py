"""The card of a dataset: sources, licenses, filters and counts as Markdown, with histograms as small PNG files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from afs import datasets, jsonl
from afs.data.histogram import histogram
from afs.types import Dataset, Json, Record
from afs.workspace import Workspace

BARS = (*(str(2**n // 2) if n < 11 else f"{2**n // 2048}K" for n in range(15)), "16K+")
"""Labels of the bars: answers of at least so many characters."""
STEPS = tuple(f"0.{n}" for n in range(10))
"""Labels of the bars of scores."""
STEPS_TOLD = "Total scores: a bar per tenth, from the number below it; records without a score are not in it."
MIXTURE = ("share", "asked", "given", "there")
BARS_TOLD = "Characters of the answer: a bar per power of two, from the number below it; above it the records."


def curation_of(workspace: Workspace, dataset: Dataset) -> Json:
    """The story beside a dataset, or an empty one."""
    path = datasets.folder_of(workspace, dataset) / "curation.json"
    if not path.exists():
        return {}
    found = msgspec.json.decode(path.read_bytes())
    return found if isinstance(found, dict) else {}


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

    def pictures(self) -> list[tuple[str, str, bytes]]:
        """(name, what it shows, PNG) of every histogram that has something to show."""
        found = [("lengths", BARS_TOLD, histogram([self.lengths[i] for i in range(16)], BARS))]
        if self.scores:
            found.append(("scores", STEPS_TOLD, histogram([self.scores[i] for i in range(10)], STEPS)))
        return found


def write(workspace: Workspace, dataset: Dataset, folder: Path, format_: str) -> None:
    """`README.md` and the pictures it shows."""
    sums = Composition()
    for record in datasets.read(workspace, dataset):
        sums.add(record)
    for name, _, picture in sums.pictures():
        jsonl.replace(folder / f"{name}.png", picture)
    jsonl.replace(folder / "README.md", _text(workspace, dataset, format_, sums).encode())


def _text(workspace: Workspace, dataset: Dataset, format_: str, sums: Composition) -> str:
    story = curation_of(workspace, dataset)
    license = next(iter(dataset.licenses)).lower() if len(dataset.licenses) == 1 else "other"
    parts = [
        "---", f"license: {license}", f"pretty_name: {dataset.ref}", "---",
        f"# {dataset.ref}", "", f"Written by `afs data export` in the form `{format_}`. Digest `{dataset.digest}`.", "",
        "## Counts", "", _table(("side", "records"), [(s.name, s.count) for s in dataset.splits]), "",
        "## Sources", "", _table(("source", "records"), sums.sources.most_common()), "",
        "## Licenses", "", _table(("license (SPDX)", "records"), sorted(dataset.licenses.items())), "",
        "## Families", "", _table(("family", "records"), sums.families.most_common()), "",
    ]  # fmt: skip
    if story:
        parts += [
            "## From raw to dataset",
            "",
            _table(("step", "records left", "dropped"), funnel_rows(workspace, story)),
            "",
        ]
        if mixture := mix_rows(story):
            parts += ["## Mixture", "", _table(MIXTURE, mixture), ""]
        parts += ["## Proof of the gate", "", _table(("control", "planted", "rejected"), control_rows(story)), ""]
    if hidden := hidden_rows(workspace, story):
        parts += ["## Hidden before anything was written", "", _table(("rule", "times"), hidden), ""]
    for name, told, _ in sums.pictures():
        parts += [f"## Histogram of {name}", "", f"![{name}]({name}.png)", "", told, ""]
    return "\n".join([*parts, ""])


def funnel_rows(workspace: Workspace, story: Json) -> list[tuple[object, ...]]:
    """(step, records left, what was dropped) of a story, from what the readers found."""
    rows: list[tuple[object, ...]] = []
    found, lost = _raw(workspace, story)
    if found:
        rows.append(("found in the sources", found, "–"))
    funnel = story.get("funnel")
    for number, stage in enumerate(funnel if isinstance(funnel, list) else []):
        dropped = stage.get("dropped", {}) if number or not found else lost
        told = ", ".join(f"{reason}: {n:,}" for reason, n in dropped.items()) or "–"
        rows.append((stage["step"], stage["records"], told))
    return rows


def sources_of(workspace: Workspace, story: Json) -> list[Dataset]:
    """The sets of records a dataset was made of, as far as they are still stored."""
    named = story.get("sources")
    stored = []
    for text in named if isinstance(named, list) else []:
        name, _, version = str(text).partition("@")
        if int(version or 0) in workspace.versions("records", name):
            stored.append(datasets.load(workspace, str(text), "records"))
    return stored


def _raw(workspace: Workspace, story: Json) -> tuple[int, Counter[str]]:
    """(what the readers found, what they dropped by reason), when every source is known."""
    sources = sources_of(workspace, story)
    named = story.get("sources")
    lost = Counter[str]()
    if not isinstance(named, list) or len(sources) < len(named) or not all("found" in s.counts for s in sources):
        return 0, lost
    for source in sources:
        lost["unreadable"] += source.counts.get("unreadable", 0)
        for key, number in source.counts.items():
            if key.startswith("dropped:"):
                lost[key.removeprefix("dropped:")] += number
    return sum(source.counts["found"] for source in sources), Counter(dict((+lost).most_common()))


def hidden_rows(workspace: Workspace, story: Json) -> list[tuple[object, ...]]:
    """(rule, replacements) of redaction in the sources of a story."""
    sums = Counter[str]()
    for source in sources_of(workspace, story):
        sums.update({key[9:]: number for key, number in source.counts.items() if key.startswith("redacted:")})
    return list(sums.most_common())


def mix_rows(story: Json) -> list[tuple[object, ...]]:
    """(share, records asked for, given, there) of a story, when it was mixed by shares."""
    notes = story.get("notes")
    mix = notes.get("mix") if isinstance(notes, dict) else None
    rows = mix.get("shares") if isinstance(mix, dict) else None
    return [tuple(row[name] for name in MIXTURE) for row in (rows if isinstance(rows, list) else [])]


def control_rows(story: Json) -> list[tuple[object, ...]]:
    """(control, planted, rejected) of a story."""
    rows = story.get("controls")
    return [
        (f"{row['kind']} ({'good' if row['good'] else 'bad'})", row["planted"], f"{row['rejected']} ({_share(row)})")
        for row in (rows if isinstance(rows, list) else [])
    ]


def _share(row: Json) -> str:
    return f"{int(str(row['rejected'])) / max(1, int(str(row['planted']))):.0%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows)])
