"""Faults in the middle of training, and whether the weights at the end are those of the uninterrupted run.

    python bench/train_faults.py [--small] [--kills N]

Real processes and real signals on a small model: kill -9 at random moments (also while a checkpoint is being written),
a torn checkpoint, a corrupted optimizer file, a disk that is full for a while, a poisoned batch, a clock that jumps.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import afs.cli.main as program
from afs import artifacts, datasets, runs
from afs.domains.sums import DOMAIN
from afs.train.backends import hf, training_state
from afs.train.backends.sft import Sft
from afs.train.learner import Measured
from afs.types import Origin, Record, record_id
from afs.workspace import Workspace

COMMON = [
    "--dataset", "sums", "--method", "scratch", "--shape.hidden", "64", "--shape.intermediate", "128",
    "--learning-rate", "2e-3", "--batch-size", "16", "--epochs", "4", "--checkpoints.every", "7",
]  # fmt: skip


def jumping_clock() -> None:
    """The wall clock goes back 400 days after a second."""
    true, begun = time.time, time.time()
    time.time = lambda: true() - (86400 * 400 if true() - begun > 1 else 0)


def full_disk() -> None:
    """Five writes of the optimizer's state fail."""
    save, count = training_state.save_optimizer, iter(range(10**6))

    def full(optimizer: torch.optim.Optimizer, folder: Path) -> None:
        if 3 <= next(count) < 8:
            raise OSError(28, "No space left on device")
        save(optimizer, folder)

    training_state.save_optimizer = full


def poisoned_batch() -> None:
    """The gradients of the 21st batch are not numbers."""
    learn, batch = Sft.backward, iter(range(10**6))

    def poisoned(self: Sft, model: torch.nn.Module, rows: list[int], micro: int) -> Measured:
        measured = learn(self, model, rows, micro)
        if next(batch) == 20:
            next(model.parameters()).grad.fill_(torch.nan)
            return measured._replace(loss=float("nan"))
        return measured

    Sft.backward = poisoned


def prepared(root: Path) -> Workspace:
    """A dataset of verified number puzzles."""
    workspace = Workspace.create(root)
    with datasets.write_dataset(workspace, "sums", "dataset", splits=("train",)) as pending:
        for family in ("say", "first"):
            for task in DOMAIN.tasks(family, 0, 150):
                messages = datasets.task_messages(task.prompt, task.system, task.reference)
                key = record_id("sums", messages)
                origin = Origin(source="bench", license="CC0-1.0")
                pending.add("train", Record(id=key, domain="sums", kind=family, messages=messages, origin=origin))
    return workspace


def start(workspace: Workspace, name: str, fault: Callable[[], None] | None = None) -> int:
    """Begin, or go on with, the training called `name` in a process of its own (a fork: the imports are paid once)."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if fault is not None:
            fault()
        command = ["train", *COMMON, "--name", name, "--workspace", str(workspace.root), "--quiet"]
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  it is the child's for good
        code = program.main(command)
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a child; its exit code, below 0 for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_over(pid: int) -> bool:
    """Whether a child has ended by itself (it is left to be waited for)."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def finished(workspace: Workspace, name: str, fault: Callable[[], None] | None = None) -> str:
    """Run to the end; the digest of the weights."""
    code = ended(start(workspace, name, fault))
    if code:
        raise SystemExit(f"{name}: exit {code}")
    return artifacts.tensors_digest(artifacts.folder_of(workspace, artifacts.load(workspace, name)))


def killed(workspace: Workspace, name: str, times: int) -> tuple[str, int]:
    """Kill it at random moments of its work, then let it finish."""
    rng, done = random.Random(name), 0
    while done < times:
        pid = start(workspace, name)
        folder = wait_for_work(workspace, pid, done)
        if folder is not None:
            time.sleep(rng.uniform(0.0, 0.5))
        if folder is None or is_over(pid):
            ended(pid)
            break
        os.kill(pid, signal.SIGKILL)
        done += ended(pid) == -signal.SIGKILL
    return finished(workspace, name), done


def wait_for_work(workspace: Workspace, pid: int, earlier: int) -> Path | None:
    """Until the child has begun (or gone on with) its steps; None when it ended first."""
    mark = b'"run.resume"' if earlier else b'"run.start"'
    while not is_over(pid):
        for run in runs.list_runs(workspace):
            path = run.folder / "events.jsonl"
            content = path.read_bytes() if run.state.status == "running" and path.exists() else b""
            if f'"pid":{pid}'.encode() in content and b'"train.step"' in content.rpartition(mark)[2]:
                return run.folder
        time.sleep(0.01)
    return None


def spoiled(workspace: Workspace, name: str, spoil: Callable[[Path], None]) -> str:
    """Stop in the middle, spoil the newest checkpoint, go on."""
    pid = start(workspace, name)
    folder = wait_for_work(workspace, pid, 0)
    time.sleep(0.5)
    os.kill(pid, signal.SIGTERM)
    code = ended(pid)
    if code != 75 or folder is None:
        raise SystemExit(f"{name}: terminated, exit {code}, want 75")
    spoil(sorted((folder / "checkpoints").glob("batch-*"))[-1])
    return finished(workspace, name)


def torn(folder: Path) -> None:
    """Half of the weights are missing."""
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(folder: Path) -> None:
    """One bit of the optimizer's state is another."""
    path = folder / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)


def main() -> None:
    """The table."""
    kills = 5 if "--small" in sys.argv else 50
    if "--kills" in sys.argv:
        kills = int(sys.argv[sys.argv.index("--kills") + 1])
    with tempfile.TemporaryDirectory() as folder:
        workspace = prepared(Path(folder) / "workspace")
        torch.set_num_threads(1)
        assert hf.HfBackend is not None  # imported once, before the forks
        whole = finished(workspace, "whole")
        rows: list[tuple[str, bool]] = []

        def note(name: str, same: bool) -> None:
            rows.append((name, same))
            print(f"{name:<44}{'yes' if same else 'NO'}", flush=True)

        print(f"{'fault':<44}weights as uninterrupted")
        note("run again, uninterrupted", finished(workspace, "again") == whole)
        note("newest checkpoint torn", spoiled(workspace, "torn", torn) == whole)
        note("one bit of the optimizer flipped", spoiled(workspace, "bit", flipped) == whole)
        note("disk full for five checkpoints", finished(workspace, "disk", full_disk) == whole)
        note("clock jumps back 400 days", finished(workspace, "clock", jumping_clock) == whole)
        first, second = (finished(workspace, name, poisoned_batch) for name in ("poison", "twice"))
        note("poisoned batch: skipped, twice the same", first == second)
        done, total = 0, 0
        while total < kills:
            made, count = killed(workspace, f"kill{done}", min(10, kills - total))
            total, done = total + max(1, count), done + 1
            note(f"{count} times kill -9, run {done}", made == whole)
        print(f"{total} kills in {done} runs, {sum(not same for _, same in rows)} lost")
        sys.exit(any(not same for _, same in rows))


if __name__ == "__main__":
    main()
