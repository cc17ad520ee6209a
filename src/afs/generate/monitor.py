"""How a campaign stands while it runs: events for the dashboard and the terminal, about once a second."""

from __future__ import annotations

import time
from collections.abc import Sequence

from afs.generate.cells import CampaignCell
from afs.intervals import share_interval
from afs.model_calls.work import Pulse
from afs.runs import Run


class Monitor:
    """Reports of one run."""

    def __init__(self, run: Run, cells: Sequence[CampaignCell]) -> None:
        self._run, self._cells = run, cells
        self._started = time.monotonic()
        self._begun = sum(cell.accepted for cell in cells)
        self._stopped: set[str] = set()
        self._closed: dict[str, str] = {}

    def pulse(self, pulse: Pulse) -> None:
        """One report: cells, providers, money, time left."""
        done = sum(cell.accepted for cell in self._cells)
        total = sum(cell.count for cell in self._cells)
        tried = sum(cell.tried for cell in self._cells)
        seconds = time.monotonic() - self._started
        self._run.progress("accepted samples", done - self._begun, total - self._begun, seconds)
        acceptance = share_interval(done, tried)
        self._run.event(
            "campaign.pulse",
            accepted=done,
            wanted=total,
            tried=tried,
            acceptance=[acceptance.low, acceptance.value, acceptance.high],
            in_flight=pulse.in_flight,
            judging=pulse.judging,
            spent_usd=round(pulse.budget.spent / 1e9, 6),
            cells={cell.label: [cell.accepted, cell.count, cell.tried] for cell in self._cells},
            models={
                target.name: {
                    "answered": target.answered,
                    "failed": target.failed,
                    "in_flight": target.in_flight,
                    "concurrency": round(target.concurrency, 1),
                    "closed": target.reason if target.closed_until > time.monotonic() else "",
                }
                for target in pulse.targets
            },
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
