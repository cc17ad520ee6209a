"""Telemetry of a run: every step, throughput, device and cost, to the events and the sinks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from afs.runs import Run
from afs.train import memory_estimate
from afs.train.checkpoints import State
from afs.train.device_monitor import EVERY_S, Watch, card_named
from afs.train.learner import Learner, Measured
from afs.train.schedule import Batch
from afs.train.settings import TrainConfig
from afs.train.throughput_cache import remember_speed

Sink = Callable[[str, int, Mapping[str, float]], None]
"""Where figures go beside the events: (what, step, name -> value)."""
LOW_USE = 0.3
"""Share of busy time under which a GPU mostly waits."""
IDLE_READINGS = 3
"""Low readings in a row before the warning: one may be an evaluation or a checkpoint."""
_RATE_AFTER = 20
"""Measured steps after which the remaining time is reported."""


class DoneStep(NamedTuple):
    """A completed step."""

    batch: Batch
    measured: Measured
    rate: float
    seconds: float
    taken: bool


class TrainTelemetry:
    """The events and figures of one process of a run."""

    def __init__(self, config: TrainConfig, run: Run, learner: Learner, sinks: Sequence[Sink], begun_at: int) -> None:
        self.config, self.run, self.sinks, self.begun_at = config, run, sinks, begun_at
        self.flops = float(str(learner.facts.get("flops_per_token", 0)))
        self.machine = str(learner.facts.get("machine", "cpu"))
        self.watch = Watch(str(learner.facts.get("device", "cpu")))
        card = card_named(self.machine)
        self.peak = memory_estimate.gpu_named(card).tflops * 1e12 if card else None
        self._begun = self._reported = self._read = time.monotonic()
        self._work, self._spent = 0, 0.0
        self._since, self._since_s = 0, 0.0
        self._idle = 0

    def step(self, state: State, total: int, step: DoneStep) -> None:
        """One step's figures, and from time to time the progress and the device."""
        measured = step.measured
        figures: dict[str, float] = {
            "loss": measured.loss,
            "lr": step.rate,
            "grad_norm": measured.grad_norm,
            "tokens_s": round(measured.seen / step.seconds, 1) if step.seconds else 0.0,
            **measured.extra,
        }
        self.run.event(
            "train.step",
            step=state.batch,
            total=total,
            stage=step.batch.stage,
            epoch=step.batch.epoch,
            taken=step.taken,
            tokens=measured.tokens,
            seen=measured.seen,
            seconds=round(step.seconds, 5),
            **figures,
        )
        for sink in self.sinks:
            sink("train", state.batch, figures)
        self._since += measured.seen
        self._since_s += step.seconds
        self._measure_speed(state, total, step)
        self._sometimes(state, total)

    def _sometimes(self, state: State, total: int) -> None:
        now, done = time.monotonic(), state.batch - self.begun_at
        if now - self._reported > 1 or done == _RATE_AFTER:
            self._reported = now
            self.run.progress("steps trained", done, total - self.begun_at, now - self._begun)
        if now - self._read > EVERY_S or done == _RATE_AFTER:
            self.device(state)

    def _measure_speed(self, state: State, total: int, step: DoneStep) -> None:
        """After the first steps: the measured throughput and the remaining time."""
        done = state.batch - self.begun_at
        if done > _RATE_AFTER:
            return
        self._work += step.measured.seen
        self._spent += step.seconds
        if done == _RATE_AFTER and self._spent > 0:
            each = self._spent / done
            rate = self.flops * self._work / self._spent
            self.run.event(
                "train.speed",
                steps_s=1 / each,
                tokens_s=self._work / self._spent,
                flops_s=rate or None,
                mfu=rate / self.peak if rate and self.peak else None,
                left_s=each * (total - state.batch),
                usd=self._usd(each * total),
            )
            if rate:
                remember_speed(self.run.workspace, self.machine, self.config.method, rate)

    def device(self, state: State) -> None:
        """Readings of the device, share of its peak used since the last report, cost so far."""
        self._read = time.monotonic()
        rate = self.flops * self._since / self._since_s if self._since_s else 0.0
        known = {
            "mfu": rate / self.peak if rate and self.peak else None,
            "cost_usd": self._usd(state.elapsed),
            **self.watch.latest._asdict(),
        }
        known.pop("name")
        self._check_use(state, self.watch.latest.gpu_use)
        self.run.event("train.device", step=state.batch, machine=self.machine, flops_s=rate or None, **known)
        figures = {name: float(value) for name, value in known.items() if value is not None}
        for sink in self.sinks if figures else ():
            sink("device", state.batch, figures)
        self._since, self._since_s = 0, 0.0

    def _check_use(self, state: State, use: float | None) -> None:
        """Warn once when the GPU waits most of the time: the batch is too small, or the CPU is the bottleneck."""
        self._idle = self._idle + 1 if use is not None and use < LOW_USE else 0
        if self._idle == IDLE_READINGS:
            reason = f"the GPU was busy {use:.0%} of the time in {IDLE_READINGS} readings: raise micro_batch or pack"
            self.run.event("train.guard", action="warn", rule="gpu use", reason=reason, step=state.batch, rows=[])

    def _usd(self, seconds: float) -> float | None:
        return round(seconds / 3600 * self.config.usd_per_hour, 6) if self.config.usd_per_hour else None

    def close(self) -> None:
        """Stop watching the device."""
        self.watch.close()
