"""What a campaign has made, rejected and paid: from its ledger, without owning it, and from its run's events."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from afs.dashboard.run_facts import name_of, read_config
from afs.dashboard.run_index import FollowedRun, RunIndex
from afs.errors import DataError
from afs.generate.attempts import read_attempts
from afs.generate.config import FOLDER
from afs.generate.status import CampaignStatus, CellStatus, read_status
from afs.model_calls.ledger_reader import reading
from afs.workspace import Workspace

LATEST = 2_000
"""Finished samples whose reasons are counted: enough for shares, and quick to read however large the campaign is."""
_BINS = 24
_RECENT_S = 60.0


class ProviderFigures(NamedTuple):
    """One model's calls."""

    name: str
    calls: int
    failed: int
    unknown: int
    cost_usd: float
    per_minute: float
    """Answers in the last minute."""
    latency_s: tuple[float, float] | None
    """Median and 95th percentile of the latest 500 answers."""
    problem: str
    """The newest error."""
    closed: str
    """Why it is not called for now."""
    quota: str
    """What is left of its limit; empty when no limit is known."""


class ReasonBins(NamedTuple):
    """Accepted and rejected answers over time, by reason."""

    edges: list[float]
    counts: dict[str, list[int]]
    looked_at: int
    total: int


class CampaignFacts(NamedTuple):
    """A campaign at one moment."""

    name: str
    status: CampaignStatus
    providers: list[ProviderFigures]
    reasons: ReasonBins
    run: FollowedRun | None

    @property
    def accepted(self) -> int:
        """Samples accepted so far."""
        return sum(cell.accepted for cell in self.status.cells)

    @property
    def wanted(self) -> int:
        """Samples wanted by the present configuration."""
        return sum(cell.wanted or 0 for cell in self.status.cells)

    @property
    def tried(self) -> int:
        """Answers that were judged or failed."""
        return self.accepted + sum(cell.rejected + cell.failed for cell in self.status.cells)

    @property
    def price_usd(self) -> float | None:
        """Dollars per accepted sample, calls of unknown cost left out."""
        return self.status.cost_usd / self.accepted if self.accepted else None

    @property
    def budget_usd(self) -> float | None:
        """The most it may cost, as of its last pulse or its config."""
        if self.run is None:
            return None
        pulsed = self.run.track.pulses[-1].number("budget_usd") if self.run.track.pulses else None
        found = read_config(self.run).table.get("budget_usd")
        return pulsed if pulsed is not None else float(found) if isinstance(found, int | float) else None

    @property
    def sparse(self) -> list[CellStatus]:
        """The cells that are least filled, emptiest first."""
        open_cells = [c for c in self.status.cells if c.wanted and c.accepted < c.wanted]
        return sorted(open_cells, key=lambda c: c.accepted / (c.wanted or 1))[:8]


def list_campaigns(workspace: Workspace) -> list[str]:
    """Names of the campaigns of a workspace, the last written first; links are left out."""
    folder = workspace.root / FOLDER
    found: list[tuple[float, str]] = []
    for path in folder.glob("*/calls.db") if folder.is_dir() else ():
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
            continue
        found.append((_written(path), path.parent.name))
    return [name for _, name in sorted(found, reverse=True)]


def _written(path: Path) -> float:
    log = path.with_name(path.name + "-wal")
    return max(p.stat().st_mtime for p in (path, log) if p.exists())


def find_run(index: RunIndex, name: str) -> FollowedRun | None:
    """The newest run of a campaign."""
    for run in index.runs:
        if run.state is not None and run.state.verb == "generate" and name_of(run) == name:
            return run
    return None


def read_campaign(workspace: Workspace, index: RunIndex, name: str) -> CampaignFacts:
    """A campaign by its name, which must be one of `list_campaigns`."""
    run = find_run(index, name)
    status = read_status(workspace, name)
    with ledger(workspace, name) as database:
        providers = [_provider(database, str(model["model"]), model, run) for model in status.models]
        reasons = _reasons(database)
    return CampaignFacts(name, status, providers, reasons, run)


@contextmanager
def ledger(workspace: Workspace, name: str) -> Iterator[sqlite3.Connection]:
    """The campaign's file, to read; what SQLite says of a damaged one names the file."""
    path = workspace.root / FOLDER / name / "calls.db"
    try:
        with reading(path) as database:
            yield database
    except sqlite3.Error as error:
        raise DataError(f"{path.relative_to(workspace.root)}: {error}") from error


def _provider(
    database: sqlite3.Connection, name: str, bill: dict[str, object], run: FollowedRun | None
) -> ProviderFigures:
    recent = database.execute(
        "SELECT COUNT(*) FROM calls WHERE target = ? AND state = 'answered' AND sent + COALESCE(seconds, 0) > ?",
        (name, time.time() - _RECENT_S),
    ).fetchone()[0]
    times = sorted(
        row[0]
        for row in database.execute(
            "SELECT seconds FROM calls WHERE target = ? AND state = 'answered' AND seconds > 0 "
            "ORDER BY id DESC LIMIT 500",
            (name,),
        )
    )
    problem = database.execute(
        "SELECT problem FROM calls WHERE target = ? AND problem != '' ORDER BY id DESC LIMIT 1", (name,)
    ).fetchone()
    pulse = _model_pulse(run, name)
    return ProviderFigures(
        name=name,
        calls=int(str(bill["calls"])),
        failed=int(str(bill["failed"] or 0)),
        unknown=int(str(bill["unknown_cost"] or 0)),
        cost_usd=float(str(bill["cost_usd"])),
        per_minute=recent,
        latency_s=(times[len(times) // 2], times[int(len(times) * 0.95)]) if times else None,
        problem=problem[0] if problem else "",
        closed=str(pulse.get("closed", "")),
        quota=_quota(pulse.get("quota_left")),
    )


def _quota(left: object) -> str:
    """What is left of a model's limit: `12 of 60 in 60 s`."""
    if not isinstance(left, list) or len(left) != 3:
        return ""
    return f"{left[0]} of {left[1]} in {left[2]:g} s" if isinstance(left[2], int | float) else ""


def _model_pulse(run: FollowedRun | None, name: str) -> dict[str, object]:
    if run is None or not run.track.pulses:
        return {}
    models = run.track.pulses[-1].fields.get("models")
    found = models.get(name) if isinstance(models, dict) else None
    return found if isinstance(found, dict) else {}


def _reasons(database: sqlite3.Connection) -> ReasonBins:
    """The latest finished samples by outcome, over the time their last call was sent."""
    total = database.execute("SELECT COUNT(*) FROM pieces WHERE state IN ('accepted', 'rejected')").fetchone()[0]
    rows = database.execute(
        "SELECT p.state, p.result, (SELECT MAX(sent) FROM calls WHERE piece = p.id) FROM pieces p "
        "WHERE p.state IN ('accepted', 'rejected') ORDER BY p.id DESC LIMIT ?",
        (LATEST,),
    ).fetchall()
    timed = [(sent, _outcome(state, raw)) for state, raw, sent in rows]
    known = [sent for sent, _ in timed if sent is not None]
    first, last = min(known, default=0.0), max(known, default=0.0)
    width = max((last - first) / _BINS, 1e-9)
    names = [name for name, _ in Counter(reason for _, reason in timed).most_common(8)]
    counts = {name: [0] * _BINS for name in names}
    for sent, reason in timed:
        place = min(_BINS - 1, int(((first if sent is None else sent) - first) / width))
        counts.setdefault(reason if reason in counts else "other", [0] * _BINS)[place] += 1
    return ReasonBins([first + width * n for n in range(_BINS + 1)], counts, len(timed), total)


def _outcome(state: str, raw: bytes | None) -> str:
    if state == "accepted":
        return "accepted"
    try:
        attempts = read_attempts(raw)
    except msgspec.DecodeError:
        return "of an older version"
    if not attempts:
        return "no answer"
    last = attempts[-1]
    return last.problem or (f"{last.verdict.stage or 'check'} failed" if last.verdict else "not judged")
