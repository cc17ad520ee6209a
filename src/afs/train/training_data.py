"""What a run trains on: records of the splits, rehearsal mixed in by exact count, and the base."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from afs import datasets
from afs.errors import ConfigError, DataError
from afs.models import Base, find_base
from afs.train.rewards import Judge, has_passed
from afs.train.settings import Rehearsal, TrainConfig
from afs.types import Dataset, Record, digest
from afs.workspace import Workspace


class Material(NamedTuple):
    """Everything a learner reads."""

    train: Sequence[Record]
    held_out: Sequence[Record]
    base: Base
    digest: str
    """Digest of the data in use: what a resumed run must find again."""
    dataset: Dataset
    parents: tuple[str, ...]
    judge: Judge
    """Verdicts by execution, for what learns from them."""
    rehearsed: int = 0
    """Training records that came from rehearsal."""
    rejected: Sequence[Record] = ()
    """Answers that failed their check, kept beside the data: the worse halves of pairs."""


def gather_material(config: TrainConfig, workspace: Workspace, judge: Judge) -> Material:
    """Read the dataset, mix in the rehearsal, find the base."""
    dataset, records, held_out = read_sides(config, workspace)
    parts = [dataset]
    added: list[Record] = []
    for rehearsal in config.rehearsal:
        earlier = datasets.load(workspace, rehearsal.dataset)
        parts.append(earlier)
        side = find_split(earlier, rehearsal.split)
        added += draw_rehearsal(rehearsal, list(datasets.read(workspace, earlier, side)), len(records), config)
    key = digest([(part.ref, part.digest) for part in parts])
    parents = tuple(f"dataset:{part.ref}" for part in parts)
    rejected = failed_answers(workspace, dataset) if config.method in ("dpo", "kto") else []
    base = find_training_base(config, workspace)
    return Material([*records, *added], held_out, base, key, dataset, parents, judge, len(added), rejected)


def failed_answers(workspace: Workspace, dataset: Dataset) -> list[Record]:
    """Failed answers kept beside a dataset or beside the records it was made of."""
    found = [dropped.record for dropped in datasets.read_dropped(workspace, dataset)]
    for parent in dataset.parents:
        kind, _, name = parent.rpartition(":")
        if kind in ("", "records", "dataset"):
            earlier = datasets.load(workspace, name)
            found += [dropped.record for dropped in datasets.read_dropped(workspace, earlier)]
    return [record for record in found if has_passed(record) is False]


def read_sides(config: TrainConfig, workspace: Workspace) -> tuple[Dataset, list[Record], list[Record]]:
    """The dataset with its training and its held-out records."""
    dataset = datasets.load(workspace, config.dataset)
    names = [split.name for split in dataset.splits]
    source = find_split(dataset, "train")
    records = list(datasets.read(workspace, dataset, source))
    if not records:
        raise DataError(f"{dataset.ref}: the split {source!r} is empty")
    held_out = list(datasets.read(workspace, dataset, config.evaluate.split)) if config.evaluate.split in names else []
    return dataset, records, held_out


def find_split(dataset: Dataset, wanted: str) -> str:
    """The requested split; records that were never split are all used for training."""
    names = [split.name for split in dataset.splits]
    found = "all" if wanted == "train" and wanted not in names else wanted
    if found not in names:
        raise DataError(f"{dataset.ref} has no split {wanted!r}; it has: {', '.join(names)}")
    return found


def draw_rehearsal(rehearsal: Rehearsal, earlier: list[Record], new: int, config: TrainConfig) -> list[Record]:
    """As many of the best earlier records as the share requires."""
    total = sum(other.share for other in config.rehearsal)
    if not 0 < rehearsal.share < 1 or total >= 1:
        raise ConfigError("rehearsal.share", f"the sum must be below 1, got {total:g}")
    wanted = round(new * rehearsal.share / (1 - total))
    if len(earlier) < wanted:
        raise DataError(
            f"rehearsal {rehearsal.dataset}: a share of {rehearsal.share:g} beside {new} records wants {wanted}, "
            f"the split {rehearsal.split!r} has {len(earlier)}"
        )
    order = list(range(len(earlier)))
    random.Random(f"rehearsal:{config.seed}:{rehearsal.dataset}").shuffle(order)
    order.sort(key=lambda i: -mean_score(earlier[i]))
    return [earlier[i] for i in order[:wanted]]


def mean_score(record: Record) -> float:
    """The mean of a record's known scores; 0 when nothing is known."""
    known = [score.value for score in record.scores if score.value is not None]
    return sum(known) / len(known) if known else 0.0


def find_training_base(config: TrainConfig, workspace: Workspace) -> Base:
    """The base a config names; none for a model from scratch."""
    if config.method == "scratch":
        if config.base:
            raise ConfigError("base", "a model from scratch has no base; leave it out or choose another method")
        return Base("", None, "")
    if not config.base:
        raise ConfigError("base", f"method {config.method!r} needs a base: a stored artifact, a folder or a hub id")
    return find_base(workspace, config.base, config.base_name)
