"""Checks of the records before anything is loaded; unusable ones are reported by their place."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from afs import datasets
from afs.errors import ConfigError, RefusedError
from afs.train.settings import TrainConfig
from afs.types import Record

_SHOWN = 5


def refuse_bad_records(config: TrainConfig, train: Sequence[Record], held_out: Sequence[Record]) -> None:
    """Refuse data that would waste the run; each problem names its record."""
    if config.evaluate.best == "verified":
        refuse_without_probes(config, held_out)
    problems = [f"train record {i} ({r.id}): {what}" for i, r in enumerate(train) for what in record_faults(r)]
    problems += [f"held-out record {i} ({r.id}): {what}" for i, r in enumerate(held_out) for what in record_faults(r)]
    leaks = list(shared_sources(train, held_out))
    if not config.allow_leaks:
        problems += leaks
    if problems:
        more = f" … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise RefusedError(f"{config.dataset} cannot be trained on: " + "; ".join(problems[:_SHOWN]) + more)


def refuse_without_probes(config: TrainConfig, held_out: Sequence[Record]) -> None:
    """`best = "verified"` without answers to judge would silently mean the loss."""
    lack = "evaluate.probes is 0" if not config.evaluate.probes else "no held-out record has a task"
    if not config.evaluate.probes or all(record.task is None for record in held_out):
        raise ConfigError("evaluate.best", f"verified needs answers to judge, but {lack}; use loss instead")


def record_faults(record: Record) -> Iterator[str]:
    """What is wrong with one record."""
    roles = [message.role for message in record.messages]
    if not roles:
        yield "no messages"
        return
    if "assistant" not in roles:
        yield "no answer (no assistant turn)"
    elif not datasets.answer_text(record).strip():
        yield "the answer is empty"
    if "user" not in roles:
        yield "no question (no user turn)"
    elif roles[-1] != "assistant":
        yield f"ends with a turn of the {roles[-1]}, not with an answer"
    if "system" in roles[1:]:
        yield "a system turn that is not the first"
    for before, after in itertools.pairwise(roles):
        if before == after and before in ("user", "assistant"):
            yield f"two turns of the {after} in a row"
            return


def shared_sources(train: Sequence[Record], held_out: Sequence[Record]) -> Iterator[str]:
    """Source groups and conversations that occur on both sides of the split."""
    groups = {record.origin.group for record in train} - {""}
    ids = {record.id for record in train}
    for index, record in enumerate(held_out):
        if record.id in ids:
            yield f"held-out record {index} ({record.id}) is also in the training split"
        elif record.origin.group in groups:
            yield (
                f"held-out record {index} ({record.id}) shares the group {record.origin.group!r} with the training "
                "split; split again by group, or set allow_leaks = true"
            )
