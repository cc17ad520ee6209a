"""The driver's lines, a recorded driver on the path, and the processor, of which nothing is known."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.train.conftest import config, run_train

from afs import runs
from afs.train.checkpoints import State
from afs.train.device_monitor import GpuReading, Watch, card_named, read_line, read_once, this_machine
from afs.train.telemetry import TrainTelemetry
from afs.workspace import Workspace

RECORDED = "NVIDIA GeForce RTX 4090, 97, 15321, 24564, 66, 312.45"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that answers as the driver's own does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/asked"\necho "{RECORDED}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return folder


def test_a_line_is_read_in_its_units() -> None:
    found = read_line(RECORDED)
    assert found == GpuReading("NVIDIA GeForce RTX 4090", 0.97, 15321 << 20, 24564 << 20, 66.0, 312.45)


def test_what_the_driver_does_not_say_is_unknown() -> None:
    found = read_line("NVIDIA GeForce GTX 1080, [N/A], 512, 8192, 41, [Not Supported]")
    assert (found.gpu_use, found.power_w, found.temperature_c) == (None, None, 41.0)
    assert read_line("Unable to determine the device handle") == GpuReading()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 5060 Ti", "rtx-5060-ti"),
        ("NVIDIA A100-SXM4-80GB", "a100-80"),
        ("NVIDIA H100 80GB HBM3", "h100-80"),
        ("NVIDIA RTX A6000", "a6000"),
        ("NVIDIA A100-PCIE-40GB", None),
        ("cpu, 1 threads", None),
    ],
)
def test_cards_are_known_by_their_driver_s_name(name: str, key: str | None) -> None:
    assert card_named(name) == key


def test_the_driver_is_followed_and_ended(driver: Path) -> None:
    watch = Watch("cuda")
    watch._thread.join()
    assert watch.latest == read_line(RECORDED)
    watch.close()
    watch.close()
    assert "-i 0 --query-gpu=name,utilization.gpu" in (driver / "asked").read_text()
    assert read_once().power_w == 312.45


def test_this_machine_is_the_card_or_the_processor(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, card = this_machine()
    assert (name, card.memory, card.tflops, card.usd) == ("NVIDIA GeForce RTX 4090", 24.0, 165, (0.25, 0.35))
    monkeypatch.setenv("PATH", "")
    name, card = this_machine()
    assert (name, card.tflops, card.usd) == ("cpu", 0.0, None)
    assert card.memory > 0.5


def test_a_run_on_the_processor_knows_nothing_of_a_gpu(place: Workspace, driver: Path, heard) -> None:  # type: ignore[no-untyped-def]
    run_train(place, epochs=4, usd_per_hour=3600.0)
    told = heard("train.device")[-1]
    for name in ("mfu", "gpu_use", "gpu_memory", "gpu_memory_total", "temperature_c", "power_w"):
        assert told[name] is None, name
    assert told["flops_s"] > 0
    assert told["cost_usd"] > 0, "a dollar a second"
    assert not (driver / "asked").exists(), "nothing is asked of a driver for a run on the processor"
    speed = heard("train.speed")[0]
    assert speed["mfu"] is None
    assert speed["usd"] > 0


def test_a_gpu_that_mostly_waits_is_reported_once(workspace: Workspace, heard) -> None:  # type: ignore[no-untyped-def]
    chosen = config(trainer="toy")
    with runs.open_run(workspace, "train", chosen) as run:
        telemetry = TrainTelemetry(chosen, run, SimpleNamespace(facts={}), (), 0)  # type: ignore[arg-type]
        for use in (0.1, 0.9, 0.1, 0.2, 0.1, 0.1):
            telemetry.watch.latest = GpuReading(gpu_use=use)
            telemetry.device(State(batch=5))
    assert [row["rule"] for row in heard("train.guard")] == ["gpu use"]
