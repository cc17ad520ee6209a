"""`kill -9` of a launch at any moment: `reap` leaves no machine, and the rerun ends with the job's result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_clouds import FakeCloud

from afs import artifacts
from afs.workspace import Workspace

STEPS = ("intent", "created", "running", "ended", "destroying")


def command(place: Workspace, job: Path, *more: str) -> list[str]:
    words = [sys.executable, "-m", "afs", "cloud", *more, "--workspace", str(place.root)]
    return words if more[0] != "launch" else [
        *words, "vast", str(job), "--yes", "--setup", "true", "--python", sys.executable,
        "--poll-s", "0.05", "--pull-s", "0.3", "--max-usd-hour", "100",
    ]  # fmt: skip


def kill_at(place: Workspace, launched: subprocess.Popen[bytes], step: str, delay: float) -> None:
    """Kill it a moment after the ledger reaches a step."""
    ledger = place.root / "cloud" / "ledger.jsonl"
    until = time.monotonic() + 120
    while launched.poll() is None and time.monotonic() < until:
        if ledger.exists() and f'"step":"{step}"'.encode() in ledger.read_bytes():
            time.sleep(delay)
            break
        time.sleep(0.005)
    os.killpg(launched.pid, signal.SIGKILL)
    launched.wait()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.fault_long) for seed in range(1, 25))])
def test_a_killed_launch_leaves_nothing_behind(
    seed: int, cloud: FakeCloud, place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY")
    rng = random.Random(seed)
    step, delay = STEPS[seed % len(STEPS)], rng.choice([0.0, rng.random() * 0.3, rng.random() * 3])
    launched = subprocess.Popen(
        command(place, tmp_path / "job.toml", "launch"), start_new_session=True, stderr=-3, stdout=-3
    )
    kill_at(place, launched, step, delay)
    reaped = subprocess.run(command(place, tmp_path, "reap"), capture_output=True, text=True, check=False)
    assert reaped.returncode == 0, reaped.stdout + reaped.stderr
    assert not cloud.boxes, reaped.stdout
    if "tiny" not in place.names("artifact"):
        again = subprocess.run(
            command(place, tmp_path / "job.toml", "launch"), capture_output=True, text=True, check=False
        )
        assert again.returncode == 0, again.stdout + again.stderr
    assert artifacts.load(place, "tiny@1").form == "base"
    assert not cloud.boxes
