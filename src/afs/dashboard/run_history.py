"""What the events of one run say so far: curves as arrays, evaluations, checkpoints, guard actions, notices.

Events are folded one by one, so a longer log costs only its new lines. A resumed run repeats steps: the newer count.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from afs.dashboard.curve_downsampling import Curve
from afs.dashboard.event_lines import EventLine, StepLine, parse_time

SERIES = ("loss", "lr", "grad_norm", "tokens_s")
"""Figures of a step that become curves."""
_NOT_A_NUMBER = math.nan


class Noted(NamedTuple):
    """An event that is kept, with its place in the log."""

    offset: int
    time: float | None
    fields: Mapping[str, object]

    def number(self, name: str) -> float | None:
        """A field as a number; anything else is unknown."""
        value = self.fields.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, name: str) -> str:
        """A field as text."""
        value = self.fields.get(name, "")
        return "" if value is None else str(value)


def _recent() -> deque[Noted]:
    return deque(maxlen=200)


def _many() -> deque[Noted]:
    return deque(maxlen=20_000)


@dataclass
class RunTrack:
    """The state that the events of a run produce."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    values: dict[str, array[float]] = field(default_factory=lambda: {name: array("f") for name in SERIES})
    evaluations: deque[Noted] = field(default_factory=_many)
    devices: deque[Noted] = field(default_factory=_many)
    checkpoints: deque[Noted] = field(default_factory=_many)
    pulses: deque[Noted] = field(default_factory=lambda: deque(maxlen=2_000))
    guards: deque[Noted] = field(default_factory=_recent)
    notices: deque[Noted] = field(default_factory=_recent)
    samples: deque[Noted] = field(default_factory=_recent)
    latest: dict[str, Noted] = field(default_factory=dict)
    """Event name -> the newest one of the others: progress, run.start, train.begin, train.speed, phases."""
    starts: int = 0
    """How often a process began or resumed the run."""
    rewinds: int = 0
    """How often curves were cut back because steps were repeated."""
    total: int = 0
    stage: str = ""
    epoch: int = 0
    last_time: float | None = None
    last_step_offset: int = 0
    pid: int | None = None
    broken: int = 0
    """Lines that could not be read."""
    drawn: dict[tuple[str, int], tuple[int, int, Curve]] = field(default_factory=dict)
    """(figure, most points) -> points and rewinds when drawn, and the curve: long ones are drawn again seldom."""
    lines: int = 0

    def add(self, line: EventLine) -> None:
        """Fold one line."""
        self.lines += 1
        if line.step is not None:
            self._add_step(line.step, line.offset)
        elif line.event is not None:
            self._add_event(line.event, line.offset)
        else:
            self.broken += 1

    def _add_step(self, step: StepLine, offset: int) -> None:
        if self.steps and step.step <= self.steps[-1]:
            self._rewind(step.step)
        moment = parse_time(step.time)
        self.steps.append(step.step)
        self.times.append(_NOT_A_NUMBER if moment is None else moment)
        for name, value in zip(SERIES, (step.loss, step.lr, step.grad_norm, step.tokens_s), strict=True):
            self.values[name].append(_NOT_A_NUMBER if value is None else value)
        self.total = step.total or self.total
        self.stage, self.epoch = step.stage, step.epoch
        self.last_step_offset = offset
        if moment is not None:
            self.last_time = moment

    def _rewind(self, step: int) -> None:
        """Steps from here on are done again: what was drawn of them is forgotten."""
        keep = bisect_left(self.steps, step)
        del self.steps[keep:]
        del self.times[keep:]
        for values in self.values.values():
            del values[keep:]
        for kept in (self.evaluations, self.devices):
            while kept and (kept[-1].number("step") or 0) >= step:
                kept.pop()
        self.rewinds += 1

    def _add_event(self, event: dict[str, object], offset: int) -> None:
        name = str(event.get("event", ""))
        noted = Noted(offset, parse_time(event.get("time")), event)
        if noted.time is not None:
            self.last_time = noted.time
        kept = _KEPT.get(name)
        if kept is not None:
            getattr(self, kept).append(noted)
        self.latest[name] = noted
        if name in ("run.start", "run.resume"):
            self.starts += 1
            pid = event.get("pid")
            self.pid = pid if isinstance(pid, int) else None
            self.latest.pop("run.end", None)
        elif name == "train.begin":
            self.total = int(noted.number("steps") or self.total)

    @property
    def step(self) -> int:
        """The last step; 0 before the first."""
        return self.steps[-1] if self.steps else 0


_KEPT = {
    "train.eval": "evaluations",
    "train.device": "devices",
    "train.checkpoint": "checkpoints",
    "campaign.pulse": "pulses",
    "train.guard": "guards",
    "train.rollback": "guards",
    "train.checkpoint.failed": "guards",
    "train.checkpoint.torn": "guards",
    "train.drift": "guards",
    "notice": "notices",
    "train.probe": "samples",
    "train.gate": "notices",
}
"""Event name -> where it is kept."""
