"""`afs train resume` and `afs train compare`: resume a run by its name, compare runs in a table."""

from __future__ import annotations

import json
from typing import ClassVar

from afs import jsonl, runs
from afs.config import Config, Plugin, decode, merge
from afs.errors import DataError, UsageError
from afs.runs import Run
from afs.train import TrainConfig, train
from afs.types import Artifact, Value
from afs.workspace import Workspace

VERB = "train"


class ResumeConfig(Config, frozen=True, kw_only=True):
    """Resume an interrupted training run."""

    positional: ClassVar[tuple[str, ...]] = ("run",)

    run: str
    """The run, by its id or the beginning of it."""
    changes: Plugin = {}
    """Config fields to change; needs `allow_drift` and makes a new run."""
    allow_drift: bool = False
    """Resume even if rate, batch size, data or base differ from the checkpoint's."""


class CompareConfig(Config, frozen=True, kw_only=True):
    """Compare training runs."""

    positional: ClassVar[tuple[str, ...]] = ("runs",)

    runs: tuple[str, ...]
    """Two or more runs, by id or the beginning of it."""


class ComparedRun(Value, frozen=True, kw_only=True):
    """One run in a comparison; missing figures are unknown."""

    run: str
    status: str
    method: str
    base: str
    dataset: str
    steps: int
    tokens: int
    seconds: float
    last_loss: float | None = None
    held_out_loss: float | None = None
    verified: float | None = None
    tokens_per_s: float | None = None
    """Tokens read per second, without padding: what plan, events and comparison all call tokens per second."""
    differs: str = ""
    """Fields of the config that are not those of the first run."""


def resume(config: ResumeConfig, workspace: Workspace) -> Artifact:
    """Resume from the newest valid checkpoint."""
    earlier = training_run(workspace, config.run)
    if config.changes and not config.allow_drift:
        raise UsageError("changing a run that has started needs --allow-drift")
    chosen = decode(TrainConfig, merge(earlier.config, config.changes), file=f"{earlier.id}/config.json")
    key = runs.run_digest(chosen)
    if earlier.state.status == "done" and key == earlier.state.digest:
        raise UsageError(f"{earlier.id} is done; it made {earlier.state.result or 'its artifact'}")
    with runs.open_run(workspace, VERB, chosen, parents=(earlier.id,)) as run:
        if run.id != earlier.id:
            copy_checkpoints(earlier, run)
        return train(chosen, run, allow_drift=config.allow_drift)


def copy_checkpoints(earlier: Run, run: Run) -> None:
    """Copy the earlier run's checkpoints to the changed run."""
    source, target = earlier.folder / "checkpoints", run.folder / "checkpoints"
    if target.exists():
        return
    found = sorted(path for path in source.iterdir() if path.name.startswith("batch-")) if source.is_dir() else []
    if not found:
        raise DataError(f"{earlier.id} has no checkpoint to resume from")
    for folder in found:
        copy = target / folder.name
        copy.mkdir(parents=True)
        for path in folder.iterdir():
            jsonl.replace(copy / path.name, path.read_bytes())


def compare(config: CompareConfig, workspace: Workspace) -> list[ComparedRun]:
    """One row a run."""
    if len(config.runs) < 2:
        raise UsageError("need at least two runs to compare")
    found = [training_run(workspace, name) for name in config.runs]
    return [compared_run(run, found[0]) for run in found]


def training_run(workspace: Workspace, name: str) -> Run:
    run = runs.get(workspace, name)
    if run.state.verb != VERB:
        raise UsageError(f"{run.id} is a run of {run.state.verb!r}, not of training")
    return run


def compared_run(run: Run, first: Run) -> ComparedRun:
    rows = [json.loads(line) for _, line in jsonl.read_lines(run.folder / "events.jsonl")]
    steps = [row for row in rows if row["event"] == "train.step"]
    evaluations = [row for row in rows if row["event"] == "train.eval"]
    last = evaluations[-1] if evaluations else {}
    tokens, seconds = sum(row["tokens"] for row in steps), sum(row["seconds"] for row in steps)
    read = sum(row.get("seen", row["tokens"]) for row in steps)
    config, other = run.config, first.config
    return ComparedRun(
        run=run.id,
        status=run.state.status,
        method=config["method"],
        base=config["base"],
        dataset=config["dataset"],
        steps=len(steps),
        tokens=tokens,
        seconds=round(seconds, 2),
        last_loss=steps[-1]["loss"] if steps else None,
        held_out_loss=last.get("loss"),
        verified=last.get("verified"),
        tokens_per_s=round(read / seconds, 1) if seconds else None,
        differs=", ".join(name for name in config if config[name] != other.get(name)),
    )
