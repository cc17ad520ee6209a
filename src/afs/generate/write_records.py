"""The end of a campaign: accepted samples as records with their receipts, the others kept with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from afs import datasets
from afs.errors import DataError, UsageError
from afs.generate.attempts import Attempt, read_attempts
from afs.generate.cells import CampaignCell
from afs.generate.config import GenerateConfig
from afs.generate.tool_dialogues import with_hint
from afs.model_calls.store import CallStore, Piece
from afs.runs import Run
from afs.types import Dataset, Dropped, Message, Origin, Record, Task, digest, record_id
from afs.workspace import Workspace

_decode_task = msgspec.msgpack.Decoder(Task).decode


def write_records(config: GenerateConfig, run: Run, store: CallStore, cells: Sequence[CampaignCell]) -> Dataset:
    """Store the accepted samples of every cell; unchanged content is found again, not stored twice."""
    state = _state_digest(store, cells)
    if known := _written(run.workspace, store, state):
        run.event("notice", text=f"nothing changed since {known.ref}: no call was made")
        return known
    with datasets.write_dataset(run.workspace, config.name, "records", run=run.id) as pending:
        for cell in cells:
            if cell.missing > 0:
                pending.writer.counts[f"short:{cell.family}"] += cell.missing
            _write_cell(config, store, cell, pending)
    with store.transaction():
        store.note("written", [state, pending.dataset.ref])
        store.note("finished", True)
    return pending.dataset


def _write_cell(config: GenerateConfig, store: CallStore, cell: CampaignCell, pending: datasets.PendingDataset) -> None:
    added = 0
    for piece, state, note in store.results(cell.id, ("accepted", "rejected", "failed")):
        task = _decode_task(piece.payload)
        attempts = read_attempts(piece.result)
        for attempt in attempts:
            record = record_of(config, task, attempt, piece.key, cell.license)
            if attempt is attempts[-1] and state == "accepted" and added < cell.count:
                pending.add("all", record)
                added += 1
            else:
                pending.drop(Dropped(record=record, reason=_reason(attempt, note)))
        if not attempts:
            pending.drop(Dropped(record=_unanswered(config, task), reason="no usable answer", detail=note))


def _reason(attempt: Attempt, note: str) -> str:
    if attempt.problem:
        return attempt.problem
    if attempt.verdict is not None and not attempt.verdict.ok:
        return f"verdict:{attempt.verdict.stage}"
    return note or "surplus"


def record_of(
    config: GenerateConfig, task: Task, attempt: Attempt, piece: str, pack_license: str | None = None
) -> Record:
    """A sample as a record: the task's own question, the answer, and where it comes from.

    The run is named by the dataset, not by its records, and the piece of work rather than its call, whose number counts
    lost calls too: two runs of one config store equal records.
    """
    messages = list(datasets.task_messages(task.prompt, task.system))
    if attempt.turns:
        messages = [*with_hint(messages), *attempt.turns]
    else:
        messages.append(Message(role="assistant", text=attempt.text, thinking=attempt.thinking))
    tags = [f"template:{attempt.template}"] if attempt.template and not attempt.template.startswith("direct@") else []
    tags += [f"prices:{attempt.prices}"] if attempt.prices else []
    tags += ["dialogue"] if attempt.turns else []
    tags += ["repaired"] if attempt.is_repair else []
    return Record(
        id=record_id(task.domain, tuple(messages)),
        domain=task.domain,
        kind=task.family,
        messages=tuple(messages),
        origin=Origin(
            source=f"generate:{task.domain}",
            uri=f"campaign:{config.name}/pieces/{piece}" if attempt.call else "",
            license="" if attempt.call else config.license if pack_license is None else pack_license,
            maker=attempt.maker,
            group=f"{task.family}#{task.group}" if task.group else task.family,
        ),
        task=task,
        verdicts=(attempt.verdict,) if attempt.verdict is not None else (),
        tools=task.tools,
        tags=tuple(tags),
    )


def _unanswered(config: GenerateConfig, task: Task) -> Record:
    messages = datasets.task_messages(task.prompt, task.system)
    origin = Origin(source=f"generate:{task.domain}", maker=config.teacher, group=task.family)
    return Record(
        id=record_id(task.domain, messages),
        domain=task.domain,
        kind=task.family,
        messages=messages,
        origin=origin,
        task=task,
    )


def _state_digest(store: CallStore, cells: Sequence[CampaignCell]) -> str:
    """What the records depend on: the ended pieces of these cells, and the counts."""
    return digest([(cell.id, cell.count, list(_ends(store, cell))) for cell in cells])


def _ends(store: CallStore, cell: CampaignCell) -> Iterator[tuple[str, str]]:
    pieces: Iterator[tuple[Piece, str, str]] = store.results(cell.id, ("accepted", "rejected", "failed"))
    return ((piece.key, state) for piece, state, _ in pieces)


def _written(workspace: Workspace, store: CallStore, state: str) -> Dataset | None:
    fact = store.fact("written")
    if not isinstance(fact, list) or fact[0] != state:
        return None
    try:
        return datasets.load(workspace, str(fact[1]), "records")
    except (UsageError, DataError):
        return None
