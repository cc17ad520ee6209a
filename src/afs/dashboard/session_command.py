"""`afs session`: everything that runs or costs money now, in one table: state, dollars an hour, time left, log."""

from __future__ import annotations

import time

from afs.config import Config
from afs.dashboard.cloud_facts import RentalCost, list_machines
from afs.dashboard.dashboard_state import Views
from afs.dashboard.page_parts import format_seconds, format_usd
from afs.dashboard.run_facts import RunFacts
from afs.types import Value
from afs.workspace import Workspace

_LIVE = ("running", "quiet", "stalled")
_SHORTEST_S = 60.0
"""A run's dollars an hour follow from its cost once it has run this long."""


class SessionConfig(Config, frozen=True, kw_only=True):
    """Show all running work in one table: runs here, campaigns, rented machines."""


class SessionRow(Value, frozen=True, kw_only=True):
    """One run or machine."""

    kind: str
    id: str
    name: str
    state: str
    progress: str = ""
    usd_hour: float | None = None
    usd: float | None = None
    eta_s: float | None = None
    deadline_s: float | None = None
    """Seconds until the machine is destroyed in any case."""
    log: str


class SessionTable(Value, frozen=True, kw_only=True):
    """All running work."""

    rows: tuple[SessionRow, ...]
    usd_hour: float
    """All machines together; a run on one of them is not counted twice."""
    usd: float
    """Spent by what runs now."""

    def text(self) -> str:
        """A line per row, then the sums."""
        if not self.rows:
            return "nothing runs, and nothing is rented"
        head = ("", "what", "state", "done", "$/h", "spent", "left", "log")
        lines = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
        rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        rows.append(f"{format_usd(self.usd_hour)} an hour for machines, {format_usd(self.usd)} spent by what runs now")
        return "\n".join(row.rstrip() for row in rows)


def show_session(_config: SessionConfig, workspace: Workspace) -> SessionTable:
    """Read the runs and the ledger; no provider is asked (`afs cloud reap` does)."""
    views = Views(workspace)
    views.look()
    runs = [facts for facts in views.run_facts() if facts.liveness in _LIVE]
    now = time.time()
    machines = [one for one in list_machines(workspace, now) if one.is_open]
    jobs = {one.rental.job for one in machines}
    rows = [_machine_row(one, runs, now) for one in machines] + [_run_row(facts) for facts in runs]
    own = [row for row in rows if row.kind == "machine" or row.name not in jobs]
    return SessionTable(
        rows=tuple(rows),
        usd_hour=sum(one.rental.usd_hour for one in machines),
        usd=sum(row.usd for row in own if row.usd is not None),
    )


def _run_row(facts: RunFacts) -> SessionRow:
    known = facts.cost_usd is not None and facts.seconds >= _SHORTEST_S
    return SessionRow(
        kind=facts.verb,
        id=facts.id,
        name=facts.name,
        state=facts.liveness,
        progress=f"{facts.step} of {facts.total} {facts.what}" if facts.total else "",
        usd_hour=facts.cost_usd / facts.seconds * 3600 if known and facts.cost_usd is not None else None,
        usd=facts.cost_usd,
        eta_s=facts.eta_s.value,
        log=f"runs/{facts.id}/events.jsonl",
    )


def _machine_row(one: RentalCost, runs: list[RunFacts], now: float) -> SessionRow:
    rental = one.rental
    state = "late" if one.is_late else "running" if rental.running else "starting"
    job = next((facts for facts in runs if facts.verb == "train" and facts.name == rental.job), None)
    return SessionRow(
        kind="machine",
        id=rental.label,
        name=rental.job,
        state=state if one.is_held else f"{state}, nobody looks after it",
        progress=f"{job.step} of {job.total} {job.what}" if job is not None and job.total else rental.gpu,
        usd_hour=rental.usd_hour,
        usd=one.usd,
        eta_s=job.eta_s.value if job is not None else None,
        deadline_s=max(0.0, rental.deadline - now) if rental.deadline else None,
        log=f"afs cloud logs {rental.label}",
    )


def _cells(row: SessionRow) -> tuple[str, ...]:
    left = format_seconds(row.eta_s) if row.eta_s is not None else "unknown"
    if row.deadline_s is not None:
        left += f" (at most {format_seconds(row.deadline_s)})"
    name = f"{row.name} {row.id}".strip()
    return (row.kind, name, row.state, row.progress, format_usd(row.usd_hour), format_usd(row.usd), left, row.log)
