"""Everything a model will be asked in an evaluation: suites, the workspace's and those shipped, and held-out splits."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from afs import datasets, jsonl
from afs.errors import DataError
from afs.workspace import Workspace

HELD_OUT = ("test", "heldout", "val", "validation", "eval")
_PROMPT = ("prompt", "question", "instruction", "query")
_GOLD = ("reference", "gold", "expected_answer", "output", "answer")


class Held(NamedTuple):
    """One question that must not be trained on, with where it stands."""

    suite: str
    prompt: str
    reference: str


def held_items(workspace: Workspace, name: str) -> Iterator[Held]:
    """Every held item but those of the dataset `name` itself: its own sides never mix."""
    for path in suite_files(workspace):
        yield from _of_file(path)
    for other in workspace.names("dataset"):
        if other == name:
            continue
        dataset = datasets.load(workspace, other, "dataset")
        for split in dataset.splits:
            if split.name in HELD_OUT:
                for record in datasets.read(workspace, dataset, split.name):
                    yield Held(f"{dataset.ref}:{split.name}", datasets.question(record), datasets.answer(record))


def suite_files(workspace: Workspace) -> list[Path]:
    """Files of suites: the user's, those kept with reports, and those shipped."""
    own = (p for pattern in ("*.jsonl", "*.toml", "*.jsonl.zst") for p in (workspace.root / "suites").glob(pattern))
    kept = (workspace.root / "reports").glob("*/*/suite.jsonl*")
    shipped = Path(str(files("afs") / "evaluate" / "suites")).glob("*.toml")
    return sorted([*own, *kept, *shipped])


def _of_file(path: Path) -> Iterator[Held]:
    rows: list[object]
    if path.suffix == ".toml":
        try:
            rows = list(tomllib.loads(path.read_text("utf-8")).get("items", []))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error
    else:
        rows = list(jsonl.read(path))
    for row in rows:
        if isinstance(row, dict):
            body = row.get("task", row)
            body = body if isinstance(body, dict) else row
            if prompt := _first(body, _PROMPT):
                yield Held(path.stem, prompt, _first(body, _GOLD))


def _first(row: dict[str, object], names: tuple[str, ...]) -> str:
    return next((value for name in names if isinstance(value := row.get(name), str) and value), "")
