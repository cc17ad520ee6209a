"""`afs data export`: a dataset in another program's format, with its card; licenses and secrets are checked first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import msgspec

from afs import datasets, jsonl, plugins
from afs.config import Config, Plugin
from afs.data import card
from afs.data.formats.base import Format, UnfitError
from afs.data.formats.pair_rows import preference
from afs.data.parquet_files import write_parquet
from afs.errors import RefusedError, UsageError
from afs.redaction import Redactor, load_salt
from afs.scratch_folder import open_scratch_folder
from afs.types import Dataset, Json, Record, Split, Value
from afs.workspace import Workspace

_BATCH = 1024


class ExportConfig(Config, frozen=True, kw_only=True):
    """Write a dataset in another format."""

    positional: ClassVar[tuple[str, ...]] = ("ref",)
    ref: str
    """Dataset or records."""
    format: str = "messages"
    """messages, chatml, sharegpt, alpaca, completions, mlx, mlx-completions, unsloth, dpo or hf."""
    to: Path | None = None
    """Folder to write; default: `exports/` in the workspace."""
    options: Plugin = {}
    """Options of the format."""
    allow_unlicensed: tuple[str, ...] = ()
    """Sources whose records may be exported although their license is unknown; `all` for every one."""
    unfit: bool = True
    """Leave out and count what the format cannot represent; false: refuse instead."""


class ExportResult(Value, frozen=True, kw_only=True):
    """What was written."""

    ref: str
    format: str
    folder: str
    rows: dict[str, int]
    left_out: dict[str, int]


def export_dataset(config: ExportConfig, workspace: Workspace) -> ExportResult:
    """Write every side, the card and its charts; a refused export leaves nothing behind."""
    dataset = datasets.load(workspace, config.ref)
    _check_licenses(config, workspace, dataset)
    _check_secrets(workspace, dataset)
    name = dataset.ref.replace("@", "-")
    folder = config.to or workspace.root / "exports" / f"{name}-{config.format}"
    if folder.exists() and any(folder.iterdir()) and not (folder / "README.md").exists():
        raise UsageError(f"{folder}: not empty, and not an export")
    left_out: Counter[str] = Counter()
    with _written_whole(folder) as target:
        if config.format == "dpo":
            rows = {"train": _write_preferences(workspace, dataset, target)}
        else:
            format_ = _open_format(config)
            rows = {s.name: _write_split(workspace, dataset, s, format_, target, left_out) for s in dataset.splits}
        if left_out and not config.unfit:
            raise RefusedError(f"{config.format} cannot represent every record: {dict(left_out)}")
        card.write(workspace, dataset, target, config.format)
    return ExportResult(ref=dataset.ref, format=config.format, folder=str(folder), rows=rows, left_out=dict(left_out))


@contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place once everything is written; an earlier export is replaced."""
    parents = [path for path in (folder.parent, *folder.parent.parents) if not path.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_scratch_folder(f".{folder.name}.staged-", folder.parent) as staged:
            (staged / "new").mkdir()
            yield staged / "new"
            if folder.exists():  # moved away whole: one that is deleted in part is not known as an export any more
                folder.rename(staged / "old")
            (staged / "new").rename(folder)
    except BaseException:
        for path in parents:
            path.rmdir()
        raise


def _open_format(config: ExportConfig) -> Format:
    return plugins.OptionTable[Format]("format").build(config.format, config.options, prefix="options")


def _write_split(
    workspace: Workspace, dataset: Dataset, split: Split, format_: Format, folder: Path, left_out: Counter[str]
) -> int:
    rows = _convert_rows(datasets.read(workspace, dataset, split.name), format_, left_out)
    name = format_.names.get(split.name, split.name)
    if format_.suffix == ".parquet":
        return write_parquet(rows, folder / "data" / f"{name}-00000-of-00001.parquet")
    count = 0
    with jsonl.open_replacement(folder / f"{name}.jsonl") as target:
        for row in rows:
            target.write(msgspec.json.encode(row) + b"\n")
            count += 1
    return count


def _convert_rows(records: Iterator[Record], format_: Format, left_out: Counter[str]) -> Iterator[Json]:
    for record in records:
        try:
            yield format_.row(record)
        except UnfitError as unfit:
            left_out[str(unfit)] += 1


def _write_preferences(workspace: Workspace, dataset: Dataset, folder: Path) -> int:
    """Pairs of a kept and a rejected answer to the same task or question."""
    rejected: dict[str, list[Record]] = defaultdict(list)
    for dropped in datasets.read_dropped(workspace, dataset):
        if dropped.reason.startswith("score:") and dropped.record.messages[-1:] and _is_answer(dropped.record):
            rejected[_question_key(dropped.record)].append(dropped.record)
    count = 0
    side = "train" if any(s.name == "train" for s in dataset.splits) else dataset.splits[0].name
    with jsonl.open_replacement(folder / "train.jsonl") as target:
        for record in datasets.read(workspace, dataset, side):
            for bad in rejected.get(_question_key(record), ()):
                if bad.messages[-1].text != record.messages[-1].text:
                    target.write(msgspec.json.encode(preference(record, bad)) + b"\n")
                    count += 1
    if not count:
        raise RefusedError(f"{dataset.ref}: no kept answer shares its question with a rejected one; no pairs to write")
    return count


def _is_answer(record: Record) -> bool:
    return record.messages[-1].role == "assistant"


def _question_key(record: Record) -> str:
    return record.task.id if record.task is not None else datasets.question_text(record)


def _check_licenses(config: ExportConfig, workspace: Workspace, dataset: Dataset) -> None:
    allowed = {*config.allow_unlicensed, *workspace.settings.allow_unlicensed}
    if "all" in allowed or not dataset.licenses.get("unknown"):
        return
    sources = {r.origin.source for r in datasets.read(workspace, dataset) if not r.origin.license}
    if missing := sorted(sources - allowed):
        raise RefusedError(
            f"{dataset.ref}: the license of {dataset.licenses['unknown']} records is unknown; name their sources to "
            f"export them: --allow-unlicensed {','.join(missing)}"
        )


def _check_secrets(workspace: Workspace, dataset: Dataset) -> None:
    """Scan everything that is exported once more."""
    redactor = Redactor(salt=load_salt(workspace.root))
    for record in datasets.read(workspace, dataset):
        _, hits = redactor.record(record)
        if hits:
            found = ", ".join(sorted({hit.rule for hit in hits}))
            raise RefusedError(
                f"{dataset.ref}: record {record.id} contains secrets ({found}); curate it with the step `redact`"
            )
