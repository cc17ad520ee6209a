"""Every evaluation item: suites of the workspace, shipped suites, and held-out splits of datasets.

Tasks that suites draw from a pack share phrases with every other task of the family by design: they are matched by
identity or question, not by words.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import msgspec

from afs import datasets, jsonl, plugins, sealed_files
from afs.curate.text_keys import normalize_question, normalize_text
from afs.domains.base import DOMAINS
from afs.errors import DataError
from afs.types import Record, Task, digest
from afs.workspace import Workspace

DRAW_SUITE_TASKS = plugins.Late[Callable[[str, Collection[str]], Iterator[tuple[str, Task]]]](
    plugins.HOOKS["draw_suite_tasks"]
)
HELD_OUT = (*datasets.HELD_OUT_SPLITS, "val")
_PROMPT = ("prompt", "question", "instruction", "query")
_GOLD = ("reference", "gold", "expected_answer", "output", "answer")


class HeldOutItem(NamedTuple):
    """A question that must not be trained on, and where it comes from."""

    suite: str
    prompt: str
    reference: str


def iter_held_out_items(workspace: Workspace, name: str, others: Collection[str] = ()) -> Iterator[HeldOutItem]:
    """Every held-out item except those of the dataset `name` itself: its own sides never mix."""
    for path in suite_files(workspace):
        yield from _read_suite_file(path)
    for other in workspace.names("dataset"):
        if other == name or not {other, "all"} & set(others):
            continue
        dataset = datasets.load(workspace, other, "dataset")
        for split in dataset.splits:
            if split.name in HELD_OUT:
                for record in datasets.read(workspace, dataset, split.name):
                    yield HeldOutItem(
                        f"{dataset.ref}:{split.name}", datasets.question_text(record), datasets.answer_text(record)
                    )


def suite_files(workspace: Workspace) -> list[Path]:
    """Files of suites: the user's, those kept with reports, and those shipped."""
    own = (p for pattern in ("*.jsonl", "*.toml", "*.jsonl.zst") for p in (workspace.root / "suites").glob(pattern))
    kept = (workspace.root / "reports").glob("*/*/suite.jsonl*")
    shipped = plugins.resource_folder("suites").glob("*.toml")
    return sorted([*own, *kept, *shipped, *_pack_suite_files()])


def _pack_suite_files() -> Iterator[Path]:
    """The suite files of the packs."""
    for name in plugins.list_names("domain"):
        for target in DOMAINS.find(name).suites.values():
            package, _, path = target.partition(":")
            if path.endswith(".toml"):
                yield Path(str(files(package) / path))


class DrawnTasks:
    """The tasks that suites draw of the families among the records."""

    def __init__(self, families: Mapping[str, Collection[str]], workspace: Workspace) -> None:
        packs = sorted(set(families).intersection(plugins.list_names("domain")))
        drawn = [row for domain in packs for row in _draw_tasks(domain, families[domain], workspace)]
        self.items = [HeldOutItem(suite, prompt, reference) for suite, _, prompt, reference in drawn]
        self._by_task = {task: held for (_, task, _, _), held in zip(drawn, self.items, strict=True)}
        self._by_question = {normalize_text(held.prompt): held for held in self.items}

    def of(self, record: Record) -> HeldOutItem | None:
        """The item that a record is, or asks."""
        if not self.items:
            return None
        known = self._by_task.get(record.task.id) if record.task is not None else None
        return known or self._by_question.get(normalize_question(record))


_Rows = list[tuple[str, str, str, str]]


def _draw_tasks(domain: str, families: Collection[str], workspace: Workspace) -> _Rows:
    """(suite, task id, prompt, reference) of what is drawn; drawing takes seconds, so it is cached by pack version."""
    wanted = [""] if "" in families else sorted(families)
    key = digest([domain, DOMAINS.find(domain).version, wanted])
    path = workspace.root / "cache" / "drawn" / f"{key[:32]}.json"
    with suppress(DataError, msgspec.DecodeError, UnicodeDecodeError):  # a missing or damaged file is drawn again
        return msgspec.json.decode(sealed_files.read_sealed(path), type=_Rows)
    draw = DRAW_SUITE_TASKS.load()
    rows = [(suite, task.id, task.prompt, task.reference) for suite, task in draw(domain, wanted)]
    sealed_files.replace_sealed(path, msgspec.json.encode(rows))
    return rows


def _read_suite_file(path: Path) -> Iterator[HeldOutItem]:
    rows: list[object]
    name = path.stem
    if path.suffix == ".toml":
        try:
            table = tomllib.loads(path.read_text("utf-8"))
            rows, name = list(table.get("items", [])), str(table.get("name", name))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error
    else:
        rows = list(jsonl.read(path))
    for row in rows:
        if isinstance(row, dict):
            body = row.get("task", row)
            body = body if isinstance(body, dict) else row
            if prompt := _first_text(body, _PROMPT):
                yield HeldOutItem(name, prompt, _first_text(body, _GOLD))


def _first_text(row: dict[str, object], names: tuple[str, ...]) -> str:
    return next((value for name in names if isinstance(value := row.get(name), str) and value), "")
