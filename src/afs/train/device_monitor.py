"""The machine a run trains on: its card by name, and readings of the driver during the run.

One `nvidia-smi` runs beside the training and is read by a thread; unknown readings are None, never 0.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from afs import process
from afs.train import memory_estimate
from afs.train.memory_estimate import GIB, Gpu

EVERY_S = 10
"""Seconds between two readings."""
_QUERY = "name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw"
_TOOL = "nvidia-smi"


class GpuReading(NamedTuple):
    """One line of the driver's."""

    name: str | None = None
    gpu_use: float | None = None
    """Share of the time in which a kernel ran."""
    gpu_memory: int | None = None
    """Bytes in use, of all processes."""
    gpu_memory_total: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None


def read_line(line: str) -> GpuReading:
    """A line of `nvidia-smi --format=csv,noheader,nounits`; `[N/A]` and the like are unknown."""
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != len(GpuReading._fields):
        return GpuReading()
    use, used, total, heat, power = (_number(cell) for cell in cells[1:])
    return GpuReading(
        cells[0],
        None if use is None else use / 100,
        None if used is None else int(used) << 20,
        None if total is None else int(total) << 20,
        heat,
        power,
    )


def _number(cell: str) -> float | None:
    with suppress(ValueError):
        return float(cell)
    return None


def _arguments() -> list[str]:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    which = ["-i", first] if first else ["-i", "0"]
    return [_TOOL, *which, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]


def read_once() -> GpuReading:
    """The driver's present readings; all unknown without a driver."""
    if not shutil.which(_TOOL):
        return GpuReading()
    output = process.run(_arguments(), timeout_s=10)
    lines = output.out.decode(errors="replace").strip().splitlines()
    return read_line(lines[0]) if output.code == 0 and lines else GpuReading()


class Watch:
    """The newest reading of a GPU; nothing is started for a run on the CPU."""

    def __init__(self, device: str) -> None:
        self.latest = GpuReading()
        self._child: subprocess.Popen[str] | None = None
        if not device.startswith("cuda") or not shutil.which(_TOOL):
            return
        with suppress(OSError):
            self._child = subprocess.Popen(
                [*_arguments(), "-l", str(EVERY_S)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                text=True,
            )
            self._thread = threading.Thread(target=self._follow, daemon=True)
            self._thread.start()

    def _follow(self) -> None:
        assert self._child is not None and self._child.stdout is not None
        for line in self._child.stdout:
            self.latest = read_line(line)

    def close(self) -> None:
        """End the program."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            self._thread.join()
            assert child.stdout is not None
            child.stdout.close()


def card_named(name: str) -> str | None:
    """The table's card that a driver's name means: `NVIDIA A100-SXM4-80GB` is `a100-80`."""
    words = set(re.sub(r"(\d+)gb\b", r"\1", name.lower()).replace("-", " ").split())
    fitting = [key for key in memory_estimate.gpus() if set(key.split("-")) <= words]
    return max(fitting, key=len, default=None)


def this_machine() -> tuple[str, Gpu]:
    """The card here, or the CPU with its memory; speed the table does not know is 0 and so unknown."""
    reading = read_once()
    if reading.name is None:
        return processor()
    key = card_named(reading.name)
    known: Mapping[str, float] = (
        {}
        if key is None
        else {"t": memory_estimate.gpu_named(key).tflops, "b": memory_estimate.gpu_named(key).bandwidth}
    )
    size = (reading.gpu_memory_total or 0) / GIB
    usd = None if key is None else memory_estimate.gpu_named(key).usd
    return reading.name, Gpu(memory=round(size, 1), tflops=known.get("t", 0.0), bandwidth=known.get("b", 0.0), usd=usd)


def processor() -> tuple[str, Gpu]:
    """The CPU and all its memory."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return "cpu", Gpu(memory=round(size, 1), tflops=0.0, bandwidth=0.0)
