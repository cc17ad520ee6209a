"""How a campaign stands while it runs: events for the dashboard and the terminal, about once a second."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from afs.generate.cells import CampaignCell
from afs.intervals import share_interval
from afs.model_calls.store import NANO
from afs.model_calls.target import Target
from afs.model_calls.work_protocol import Pulse
from afs.runs import Run

_WINDOW = 60
"""Pulses that rates are taken over."""
_ENOUGH = 8
"""Accepted samples before a time left is stated: with fewer its interval says nothing."""


class ProgressPoint(NamedTuple):
    """How far a run was at one moment."""

    at: float
    accepted: int
    tried: int
    answered: dict[str, int]


class Monitor:
    """Reports of one run."""

    def __init__(self, run: Run, cells: Sequence[CampaignCell]) -> None:
        self._run, self._cells = run, cells
        self._started = time.monotonic()
        self._begun = sum(cell.accepted for cell in cells)
        self._stopped: set[str] = set()
        self._closed: dict[str, str] = {}
        self._samples: deque[ProgressPoint] = deque(
            [ProgressPoint(self._started, self._begun, self._tried(), {})], maxlen=_WINDOW
        )

    def _tried(self) -> int:
        return sum(cell.tried for cell in self._cells)

    def pulse(self, pulse: Pulse) -> None:
        """One report: cells, providers, money, time left."""
        now = time.monotonic()
        done = sum(cell.accepted for cell in self._cells)
        total = sum(cell.count for cell in self._cells)
        tried = self._tried()
        self._run.progress("accepted samples", done - self._begun, total - self._begun, now - self._started)
        acceptance = share_interval(done, tried)
        sample = ProgressPoint(now, done, tried, {target.name: target.answered for target in pulse.targets})
        first = self._samples[0]
        self._samples.append(sample)
        self._run.event(
            "campaign.pulse",
            accepted=done,
            wanted=total,
            tried=tried,
            acceptance=[acceptance.low, acceptance.value, acceptance.high],
            in_flight=pulse.in_flight,
            judging=pulse.judging,
            waiting=pulse.waiting,
            spent_usd=round(pulse.budget.spent / NANO, 6),
            budget_usd=None if pulse.budget.cap is None else pulse.budget.cap / NANO,
            eta_s=eta(total - done, done - first.accepted, now - first.at),
            cells={cell.label: [cell.accepted, cell.count, cell.tried] for cell in self._cells},
            models={target.name: _model(target, first, sample) for target in pulse.targets},
        )
        self._say_changes(pulse)

    def _say_changes(self, pulse: Pulse) -> None:
        """What a person must hear once: a model that rests, a cell that stopped."""
        for target in pulse.targets:
            if target.closed_until > time.monotonic() and self._closed.get(target.name) != target.reason:
                self._closed[target.name] = target.reason
                self._run.event("notice", text=f"{target.name} is not called for now: {target.reason}")
        for cell in self._cells:
            if cell.stopped and cell.id not in self._stopped:
                self._stopped.add(cell.id)
                self._run.event("notice", text=f"{cell.label} stopped: {cell.stopped}")

    def report_shortfalls(self) -> None:
        """Cells with fewer accepted samples than wanted, each with its reason."""
        for cell in self._cells:
            if cell.missing > 0 and cell.pilot is None:
                reason = cell.stopped or (
                    "no task is left" if cell.is_exhausted else "the cap of candidates is reached"
                )
                text = (
                    f"{cell.label}: {cell.accepted} of {cell.count} accepted after {cell.tried} candidates ({reason})"
                )
                self._run.event("notice", text=text)


def eta(left: int, accepted: int, seconds: float) -> list[float] | None:
    """Seconds to the end with a 90 % interval, from what was accepted lately; None while that says too little."""
    if accepted < _ENOUGH or seconds <= 0:
        return None
    spread = 1.645 * math.sqrt(accepted)
    return [round(left * seconds / (accepted + part), 1) for part in (spread, 0.0, -spread)]


def _model(target: Target, first: ProgressPoint, now: ProgressPoint) -> dict[str, object]:
    """One model as reports show it."""
    seconds = now.at - first.at
    window = target.limits.requests
    closed_s = target.closed_until - now.at
    return {
        "answered": target.answered,
        "failed": target.failed,
        "rate": round((target.answered - first.answered.get(target.name, 0)) / seconds, 2) if seconds > 0 else 0.0,
        "in_flight": target.in_flight,
        "concurrency": round(target.concurrency, 1),
        "cost_usd": round(target.spent / NANO, 6),
        "quota_left": None if window is None else [round(window.left(now.at)), round(window.limit), window.seconds],
        "closed": target.reason if closed_s > 0 else "",
        "closed_s": round(closed_s) if 0 < closed_s < math.inf else None,
    }
