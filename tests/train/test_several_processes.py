"""Two processes train as one does: the same losses, and checkpoints that either number resumes, kills included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import msgspec
import pytest
from tests.train.conftest import LORA, config, run_train

from afs import runs
from afs.errors import ConfigError
from afs.train import TrainConfig
from afs.workspace import Workspace

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "--no-python")


def start(workspace: Workspace, chosen: TrainConfig, *, processes: int) -> subprocess.Popen[bytes]:
    """`afs train` by itself, or by torchrun."""
    given = {k: v for k, v in msgspec.to_builtins(chosen, enc_hook=str).items() if v != _PLAIN.get(k)}
    path = workspace.root / "several.toml"
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in given.items()))
    words = [sys.executable, "-m", "afs", "train", f"@{path}", "--workspace", str(workspace.root), "--quiet"]
    return subprocess.Popen(
        [*(TORCHRUN if processes > 1 else ()), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


_PLAIN = msgspec.to_builtins(TrainConfig(dataset="", name=""), enc_hook=str)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else msgspec.json.encode(value).decode()


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()[-3000:]


def losses(workspace: Workspace, name: str) -> dict[int, float]:
    """Step -> loss of a training run; of a step that was repeated, the last one."""
    run = next(run for run in runs.list_runs(workspace) if run.state.verb == "train" and run.config["name"] == name)
    rows = [msgspec.json.decode(line) for line in (run.folder / "events.jsonl").read_bytes().splitlines()]
    return {row["step"]: row["loss"] for row in rows if row["event"] == "train.step"}


def kill_after(workspace: Workspace, name: str, step: int, process: subprocess.Popen[bytes]) -> None:
    """`kill -9` of one process of the run once it has done a step."""
    while process.poll() is None:
        Event().wait(0.05)
        started = [r for r in runs.list_runs(workspace) if r.state.verb == "train" and r.config["name"] == name]
        if started and max(losses(workspace, name), default=0) >= step:
            below = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(below[-1]) if below else process.pid, signal.SIGKILL)
            break
    process.communicate(timeout=300)
    assert process.returncode != 0


def test_two_processes_have_the_losses_of_one(place: Workspace) -> None:
    run_train(place, name="alone")
    finish(start(place, config(name="two"), processes=2))
    alone, two = losses(place, "alone"), losses(place, "two")
    assert len(alone) > 8
    assert two == pytest.approx(alone, rel=1e-4)
    finish(start(place, config(name="two"), processes=2))  # finished: found, and the second process ends too


@pytest.mark.fault_long
@pytest.mark.parametrize("method", [{}, LORA], ids=["scratch", "lora"])
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 2)])
def test_a_kill_and_another_number_of_processes(
    place: Workspace, before: int, after: int, method: dict[str, object]
) -> None:
    run_train(place, name="alone", epochs=6, **method)
    chosen = config(name="killed", epochs=6, **method)
    kill_after(place, "killed", 8, start(place, chosen, processes=before))
    assert max(losses(place, "killed")) < max(losses(place, "alone"))
    finish(start(place, chosen, processes=after))
    assert losses(place, "killed") == pytest.approx(losses(place, "alone"), rel=2e-3)


def test_what_is_learned_otherwise_than_from_answers_takes_one_process(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("afs.train._DISMISS", type("Late", (), {"load": lambda _: lambda: None})())
    with pytest.raises(ConfigError, match="'dpo' trains in one process"):
        run_train(place, **LORA | {"method": "dpo"})
    with pytest.raises(ConfigError, match="several processes train with trainer"):
        run_train(place, trainer="toy")
