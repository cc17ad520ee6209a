"""Faults in the middle of training, and whether the weights at the end are those of the uninterrupted run.

    python bench/train_faults.py [--small] [--kills N]

Real processes and real signals on a small model: kill -9 at random moments (also while a checkpoint is being written),
a torn newest checkpoint, a corrupted optimiser file, a disk that is full for a while, a poisoned batch, a jumping clock.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from afs import artifacts, datasets, runs
from afs.domains.sums import DOMAIN
from afs.types import Origin, Record, record_id
from afs.workspace import Workspace

COMMON = [
    "--dataset", "sums", "--method", "scratch", "--shape.hidden", "64", "--shape.intermediate", "128",
    "--learning-rate", "2e-3", "--batch-size", "16", "--epochs", "6", "--checkpoints.every", "7",
]  # fmt: skip
CHILD = """
import os, random, sys, time
import afs.cli.main as program
fault = os.environ.get("FAULT", "")
if fault == "clock":
    true, start = time.time, time.time()
    time.time = lambda: true() + (0 if true() - start < 4 else -86400 * 400)
if fault == "disk":
    from afs.train.backends import state
    save, count = state.save_optimizer, iter(range(10**6))
    def full(*given):
        if 3 <= next(count) < 8:
            raise OSError(28, "No space left on device")
        save(*given)
    state.save_optimizer = full
if fault == "poison":
    import torch
    from afs.train.backends.sft import Sft
    learn, batch = Sft.backward, iter(range(10**6))
    def poisoned(self, model, rows, micro):
        measured = learn(self, model, rows, micro)
        if next(batch) == 20:
            next(model.parameters()).grad.fill_(torch.nan)
            return measured._replace(loss=float("nan"))
        return measured
    Sft.backward = poisoned
sys.exit(program.main(sys.argv[1:]))
"""


def prepared(root: Path) -> Workspace:
    """A dataset of verified number puzzles."""
    workspace = Workspace.create(root)
    with datasets.writing(workspace, "sums", "dataset", splits=("train",)) as pending:
        for family in ("say", "first"):
            for task in DOMAIN.tasks(family, 0, 150):
                messages = datasets.task_messages(task.prompt, task.system, task.reference)
                key = record_id("sums", messages)
                origin = Origin(source="bench", licence="CC0-1.0")
                pending.add("train", Record(id=key, domain="sums", kind=family, messages=messages, origin=origin))
    return workspace


def start(workspace: Workspace, name: str, fault: str = "") -> subprocess.Popen[bytes]:
    """Begin, or go on with, the training called `name`."""
    command = [
        sys.executable,
        "-c",
        CHILD,
        "train",
        *COMMON,
        "--name",
        name,
        "--workspace",
        str(workspace.root),
        "--quiet",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "FAULT": fault}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finished(workspace: Workspace, name: str, fault: str = "") -> str:
    """Run to the end; the digest of the weights."""
    child = start(workspace, name, fault)
    _, errors = child.communicate()
    if child.returncode:
        raise SystemExit(f"{name}: exit {child.returncode}: {errors.decode()[-400:]}")
    return artifacts.tensors_digest(artifacts.folder_of(workspace, artifacts.load(workspace, name)))


def killed(workspace: Workspace, name: str, times: int) -> tuple[str, int]:
    """Kill it at random moments of its work, then let it finish."""
    rng, done = random.Random(0), 0
    while done < times:
        child = start(workspace, name)
        folder = _wait_for_work(workspace, child, done > 0)
        if folder is None:
            break
        time.sleep(rng.uniform(0.0, 0.6))
        if child.poll() is not None:
            break
        child.send_signal(signal.SIGKILL)
        child.communicate()
        done += 1
    return finished(workspace, name), done


def _wait_for_work(workspace: Workspace, child: subprocess.Popen[bytes], resumed: bool) -> Path | None:
    """Until the child has begun (or gone on with) its steps; None when it ended."""
    begun = time.time()
    while child.poll() is None:
        for run in runs.every(workspace):
            path = run.folder / "events.jsonl"
            if run.state.status == "running" and path.exists() and path.stat().st_mtime > begun:
                text = path.read_bytes().rpartition(b'"run.resume"' if resumed else b'"run.start"')[2]
                if b'"train.step"' in text:
                    return run.folder
        time.sleep(0.02)
    return None


def spoiled(workspace: Workspace, name: str, spoil: Callable[[Path], None]) -> str:
    """Stop in the middle, spoil the newest checkpoint, go on."""
    child = start(workspace, name)
    folder = _wait_for_work(workspace, child, resumed=False)
    time.sleep(1.0)
    child.send_signal(signal.SIGTERM)
    child.communicate()
    if child.returncode != 75 or folder is None:
        raise SystemExit(f"{name}: terminated, exit {child.returncode}, want 75")
    spoil(sorted((folder / "checkpoints").glob("batch-*"))[-1])
    return finished(workspace, name)


def torn(folder: Path) -> None:
    """Half of the weights are missing."""
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(folder: Path) -> None:
    """One bit of the optimiser's state is another."""
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
        whole = finished(workspace, "whole")
        rows = [("run again, uninterrupted", finished(workspace, "again") == whole)]
        rows.append(("newest checkpoint torn", spoiled(workspace, "torn", torn) == whole))
        rows.append(("one bit of the optimiser flipped", spoiled(workspace, "bit", flipped) == whole))
        rows.append(("disk full for five checkpoints", finished(workspace, "disk", "disk") == whole))
        rows.append(("clock jumps back 400 days", finished(workspace, "clock", "clock") == whole))
        poisoned = finished(workspace, "poison", "poison") == finished(workspace, "poison2", "poison")
        rows.append(("poisoned batch: skipped, twice the same", poisoned))
        done, total = 0, 0
        while total < kills:
            made, count = killed(workspace, f"kill{done}", min(10, kills - total))
            total, done = total + max(1, count), done + 1
            rows.append((f"{count} times kill -9, run {done}", made == whole))
            print(rows[-1], flush=True)
        print(f"\n{'fault':<44}weights as uninterrupted")
        for name, same in rows:
            print(f"{name:<44}{'yes' if same else 'NO'}")
        print(f"{total} kills in {done} runs, {sum(not same for _, same in rows)} lost")
        sys.exit(any(not same for _, same in rows))


if __name__ == "__main__":
    main()
