"""What guard, checkpoints and events cost: the same steps bare and under the loop, in turns, in one run.

    python bench/train_overhead.py [--small]

The steps are the learner's: gradients and optimizer. Around them the loop adds the guard, events, TensorBoard
files and verified checkpoints every 100 steps and every epoch. Processor time is shown beside the clock, because a
shared machine stretches the clock.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from afs import datasets, runs
from afs.config import decode
from afs.domains.sums import DOMAIN
from afs.train import TrainConfig, library_versions, run_identity
from afs.train.backends.hf import HfBackend
from afs.train.checkpoints import State, Store
from afs.train.loop import Parts, TrainLoop
from afs.train.metric_sinks import open_sinks
from afs.train.schedule import Batch, plan_batches
from afs.train.task_probes import Probes
from afs.train.training_data import gather_material
from afs.types import Origin, Record, record_id
from afs.workspace import Workspace


def prepared(root: Path) -> Workspace:
    """A dataset of verified number puzzles."""
    workspace = Workspace.create(root)
    with datasets.write_dataset(workspace, "sums", "dataset", splits=("train",)) as pending:
        for family in ("copy", "say", "first", "largest"):
            for task in DOMAIN.tasks(family, 0, 500):
                messages = datasets.task_messages(task.prompt, task.system, task.reference)
                key = record_id("sums", messages)
                origin = Origin(source="bench", license="CC0-1.0")
                pending.add("train", Record(id=key, domain="sums", kind=family, messages=messages, origin=origin))
    return workspace


class Timed:
    """The learner, with a clock on the steps themselves."""

    def __init__(self, learner: HfBackend) -> None:
        self.learner, self.clock, self.work = learner, 0.0, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self.learner, name)

    def _timed(self, function: Callable[..., object], *values: object) -> object:
        clock, work = time.monotonic(), time.process_time()
        found = function(*values)
        self.clock += time.monotonic() - clock
        self.work += time.process_time() - work
        return found

    def gradients(self, rows: Sequence[int]) -> object:
        return self._timed(self.learner.gradients, rows)

    def apply(self, rate: float) -> object:
        return self._timed(self.learner.apply, rate)


def bare(learner: HfBackend, part: Sequence[Batch]) -> float:
    """Processor seconds of the steps alone."""
    work = time.process_time()
    for batch in part:
        learner.gradients(batch.rows)
        learner.apply(batch.rate)
    return time.process_time() - work


def ours(parts: Parts, at: int, count: int) -> tuple[float, float, float, float]:
    """Seconds and processor seconds of the loop, and of the steps inside it."""
    timed = Timed(parts.learner)
    loop = TrainLoop(parts._replace(learner=timed, batches=parts.batches[: at + count]), State(batch=at))
    clock, work = time.monotonic(), time.process_time()
    loop.train()
    return time.monotonic() - clock, time.process_time() - work, timed.clock, timed.work


def main() -> None:
    """Alternate, and print the medians."""
    rounds = 2 if "--small" in sys.argv else 5
    with tempfile.TemporaryDirectory() as folder:
        workspace = prepared(Path(folder) / "workspace")
        config = decode(
            TrainConfig,
            {
                "dataset": "sums",
                "name": "x",
                "method": "scratch",
                "learning_rate": 1e-3,
                "epochs": 99,
                "batch_size": 32,
            },
        )
        with runs.open_run(workspace, "train", config) as run, open_sinks(config, run) as sinks:
            material = gather_material(config, workspace, lambda _: [])
            learner = HfBackend(config, material, run.event)
            plan = plan_batches(config, learner.lengths)
            store = Store(run.folder / "checkpoints", run, keep=5)
            identity = run_identity(config, material, learner)
            parts = Parts(
                config,
                run,
                learner,
                plan,
                store,
                Probes(config.evaluate, material, run),
                identity,
                library_versions(),
                sinks,
            )
            found: list[tuple[float, float, float, float, float]] = []
            bare(learner, plan[:20])
            for number in range(rounds):
                at = 100 * number + 100
                alone = bare(learner, plan[at : at + 100])
                clock, work, steps_clock, steps_work = ours(parts, at, 100)
                found.append((alone, clock, work, steps_clock, steps_work))
                print(f"round {number + 1}: steps alone {alone:.2f} s, loop {work:.2f} s, its steps {steps_work:.2f} s")
    work = statistics.median((row[2] - row[4]) / row[4] for row in found)
    clock = statistics.median((row[1] - row[3]) / row[3] for row in found)
    apart = statistics.median(row[2] / row[0] - 1 for row in found)
    print(f"\n{rounds} rounds of 100 steps each, a checkpoint every 100, 1.3 M parameters, 1 thread")
    print(f"around the steps, processor time   {work:+.2%}   goal: below 2 %")
    print(f"around the steps, by the clock     {clock:+.2%}   includes waiting for the disk")
    print(f"loop against steps alone           {apart:+.2%}   processor time of separate blocks: noise of the machine")


if __name__ == "__main__":
    main()
