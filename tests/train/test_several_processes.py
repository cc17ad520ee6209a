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
import torch.distributed as dist
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
    """Step -> loss of a training run, whose log may be growing; of a step that was repeated, the last one."""
    found: dict[int, float] = {}
    for run in runs.list_runs(workspace):
        path = run.folder / "events.jsonl"
        if run.state.verb == "train" and path.exists() and run.config["name"] == name:
            for line in path.read_bytes().split(b"\n")[:-1]:
                row = msgspec.json.decode(line)
                if row["event"] == "train.step":
                    found[row["step"]] = row["loss"]
    return found


def kill_after(workspace: Workspace, name: str, step: int, process: subprocess.Popen[bytes]) -> None:
    """`kill -9` of one process of the run once it has done a step."""
    while process.poll() is None:
        Event().wait(0.1)
        if max(losses(workspace, name), default=0) >= step:
            below = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(below[-1]) if below else process.pid, signal.SIGKILL)
            break
    process.communicate(timeout=300)
    assert process.returncode != 0


def test_one_process_of_a_group_of_one_trains_as_without_a_group(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The gradients go through the group's sums; a second process takes a torchrun of 20 CPU seconds (`make faults`)."""
    run_train(place, name="alone")
    monkeypatch.setattr("afs.train._is_one_of_several", lambda: True)
    monkeypatch.setattr("afs.train.backends.ranks._over", [])
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    run_train(place, name="grouped")
    assert losses(place, "grouped") == pytest.approx(losses(place, "alone"), rel=1e-5)
    assert not dist.is_initialized()


@pytest.mark.fault_long
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
