"""The card of a dataset: sources, licences, filters and counts as Markdown, with histograms as small PNG files."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from afs import datasets, jsonl
from afs.types import Dataset, Json
from afs.workspace import Workspace

_WIDTH, _HEIGHT, _GAP = 480, 160, 2
_INK, _PAPER, _LINE = b"\x2f\x6f\xb0", b"\xff\xff\xff", b"\xd8\xdc\xe2"


def curation_of(workspace: Workspace, dataset: Dataset) -> Json:
    """The story beside a dataset, or an empty one."""
    path = datasets.folder_of(workspace, dataset) / "curation.json"
    if not path.exists():
        return {}
    found = msgspec.json.decode(path.read_bytes())
    return found if isinstance(found, dict) else {}


def write(workspace: Workspace, dataset: Dataset, folder: Path, format_: str) -> None:
    """`README.md` and the pictures it shows."""
    lengths, sources, families = Counter[int](), Counter[str](), Counter[str]()
    for record in datasets.read(workspace, dataset):
        lengths[min(15, len(datasets.answer(record)).bit_length())] += 1
        sources[record.origin.source] += 1
        families[record.task.family if record.task else record.kind] += 1
    jsonl.replace(folder / "lengths.png", histogram([lengths[i] for i in range(16)]))
    text = _text(workspace, dataset, format_, sources, families)
    jsonl.replace(folder / "README.md", text.encode())


def _text(workspace: Workspace, dataset: Dataset, format_: str, sources: Counter[str], families: Counter[str]) -> str:
    story = curation_of(workspace, dataset)
    licence = next(iter(dataset.licences)).lower() if len(dataset.licences) == 1 else "other"
    parts = [
        "---", f"license: {licence}", f"pretty_name: {dataset.ref}", "---",
        f"# {dataset.ref}", "", f"Written by `afs data export` in the form `{format_}`. Digest `{dataset.digest}`.", "",
        "## Counts", "", _table(("side", "records"), [(s.name, s.count) for s in dataset.splits]), "",
        "## Sources", "", _table(("source", "records"), sources.most_common()), "",
        "## Licences", "", _table(("licence (SPDX)", "records"), sorted(dataset.licences.items())), "",
        "## Families", "", _table(("family", "records"), families.most_common()), "",
    ]  # fmt: skip
    if story:
        parts += ["## From raw to dataset", "", _table(("step", "records left", "dropped"), funnel_rows(story)), ""]
        parts += ["## Proof of the gate", "", _table(("control", "planted", "rejected"), control_rows(story)), ""]
    parts += [
        "## Lengths of answers",
        "",
        "![lengths](lengths.png)",
        "",
        "Characters, a bar per power of two (0, 1, 2–3 …).",
    ]
    return "\n".join([*parts, ""])


def funnel_rows(story: Json) -> list[tuple[object, ...]]:
    """(step, records left, what was dropped) of a story."""
    funnel = story.get("funnel")
    rows: list[tuple[object, ...]] = []
    for stage in funnel if isinstance(funnel, list) else []:
        dropped = stage.get("dropped", {})
        rows.append(
            (stage["step"], stage["records"], ", ".join(f"{reason}: {n}" for reason, n in dropped.items()) or "–")
        )
    return rows


def control_rows(story: Json) -> list[tuple[object, ...]]:
    """(control, planted, rejected) of a story."""
    rows = story.get("controls")
    return [
        (f"{row['kind']} ({'good' if row['good'] else 'bad'})", row["planted"], row["rejected"])
        for row in (rows if isinstance(rows, list) else [])
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows)])


def histogram(values: Sequence[int]) -> bytes:
    """Bars as a PNG picture."""
    top = max([*values, 1])
    wide = _WIDTH // max(1, len(values))
    heights = [round(value / top * (_HEIGHT - 8)) for value in values]
    rows = []
    for y in range(_HEIGHT):
        row = bytearray(b"\0")
        for height in heights:
            ink = _INK if _HEIGHT - y <= height else _LINE if y == _HEIGHT - 1 else _PAPER
            row += _PAPER * _GAP + ink * (wide - _GAP)
        row += _PAPER * (_WIDTH - wide * len(values))
        rows.append(bytes(row))
    head = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(rows), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
