"""What needs attention, derived from the records: the same files give the same alerts, each with the record behind it.

Alerts of a moment (a stalled run, a full disk) are noted when they are first seen; `alert_log.py` keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from afs.dashboard.campaign_facts import CampaignFacts
from afs.dashboard.cloud_facts import LEDGER, RentalCost, list_machines
from afs.dashboard.run_facts import RunFacts, read_facts
from afs.dashboard.run_history import Noted
from afs.dashboard.run_index import FollowedRun
from afs.dashboard.run_liveness import MEANING
from afs.dashboard.stored_facts import ReportRow, StoredFacts
from afs.types import Value, digest

Level = Literal["problem", "warning", "note"]
AlertKind = Literal[
    "billed",
    "stalled",
    "gone",
    "failed",
    "diverged",
    "guard",
    "checkpoint",
    "gate",
    "disk",
    "provider",
    "budget",
    "shortfall",
    "broken",
]


class Alert(Value, frozen=True, kw_only=True):
    """One thing that needs attention."""

    id: str
    """The same for the same fact, so that a program can tell new from known."""
    at: float
    """When it happened; for a state, when it was first seen."""
    kind: AlertKind
    level: Level
    subject: str
    """The run, campaign or report."""
    text: str
    record: str
    """Path of the record it was read from, in the workspace; `?at=` is the byte where its line begins."""
    page: str = ""
    """Page of the dashboard that shows it."""
    resolved: float | None = None
    """When it no longer held."""


class _AlertSubject(NamedTuple):
    """What an alert is about: its subject, the record, the page that shows it."""

    subject: str
    record: str
    page: str = ""


def _alert(kind: AlertKind, level: Level, place: _AlertSubject, text: str, at: float | None = None) -> Alert:
    is_repeated = kind in ("guard", "checkpoint")
    key = digest([kind, place.subject, place.record if is_repeated else "", text if kind == "provider" else ""])
    return Alert(
        id=key[:16],
        at=at or 0.0,
        kind=kind,
        level=level,
        subject=place.subject,
        text=text,
        record=place.record,
        page=place.page,
    )


def find_alerts(
    runs: Iterable[FollowedRun], campaigns: Iterable[CampaignFacts], stored: StoredFacts
) -> Iterator[Alert]:
    """Everything that needs attention now, problems first."""
    newest: dict[tuple[str, str], str] = {}
    found: list[Alert] = []
    for run in runs:
        facts = read_facts(run)
        # a failure that the same work has since outgrown is history
        key = (facts.verb, facts.name)
        is_newest = not facts.name or newest.setdefault(key, run.id) == run.id
        found += _run_alerts(run, facts, is_newest=is_newest)
    for campaign in campaigns:
        found += _campaign_alerts(campaign)
    found += _stored_alerts(stored)
    order = {"problem": 0, "warning": 1, "note": 2}
    yield from sorted(found, key=lambda alert: (order[alert.level], -alert.at))


def _run_alerts(run: FollowedRun, facts: RunFacts, *, is_newest: bool) -> Iterator[Alert]:
    page, log = f"run-{run.id}.html", f"runs/{run.id}/events.jsonl"
    by_status, by_log = _AlertSubject(run.id, f"runs/{run.id}/status.json", page), _AlertSubject(run.id, log, page)
    is_live = facts.liveness in ("running", "quiet", "stalled")
    if facts.liveness == "broken":
        yield _alert("broken", "warning", by_status, run.problem)
    if facts.liveness == "stalled":
        text = f"silent for {facts.quiet_s:.0f} s: {MEANING['stalled']}"
        yield _alert("stalled", "problem", by_log, text, run.track.last_time)
    if facts.liveness == "gone" and is_newest:
        yield _alert("gone", "problem", by_log, MEANING["gone"], run.track.last_time)
    if facts.liveness == "failed" and is_newest:
        at = run.state.finished if run.state else None
        yield _alert("failed", "problem", by_status, facts.problem or "failed", at)
    if not is_newest and not is_live:
        return
    losses = run.track.values["loss"]
    if losses and not math.isfinite(losses[-1]):
        text = f"the loss is not a number at step {run.track.step}"
        place = _AlertSubject(run.id, f"{log}?at={run.track.last_step_offset}", page)
        yield _alert("diverged", "problem", place, text, run.track.last_time)
    for noted in list(run.track.guards)[-20:]:
        if noted.text("event") != "train.guard" or noted.text("action") != "rollback":  # its own event follows
            yield _guard_alert(run.id, noted, page, is_over=facts.liveness == "done")


def _guard_alert(run_id: str, noted: Noted, page: str, *, is_over: bool) -> Alert:
    name = noted.text("event")
    place = _AlertSubject(run_id, f"runs/{run_id}/events.jsonl?at={noted.offset}", page)
    if name.startswith("train.checkpoint"):
        text = f"checkpoint at step {noted.text('batch') or '?'} was not written: {noted.text('reason')}"
        return _alert("checkpoint", "note" if is_over else "warning", place, text, noted.time)
    action = noted.text("action") or name.removeprefix("train.")
    text = f"{action} at step {noted.text('step') or noted.text('at')}: {noted.text('rule')}: {noted.text('reason')}"
    if name == "train.drift":
        text = f"resumed with other settings: {noted.text('differs')}"
    level: Level = "note" if is_over else "warning"
    if action == "stop":
        level = "note" if noted.text("rule") in _EXPECTED_STOPS else "problem"
    return _alert("guard", level, place, text, noted.time)


_EXPECTED_STOPS = ("plateau", "time limit")
"""Rules by which the user asked for an early end."""


def _campaign_alerts(facts: CampaignFacts) -> Iterator[Alert]:
    place = _AlertSubject(facts.name, f"campaigns/{facts.name}/calls.db", f"campaign-{facts.name}.html")
    for provider in facts.providers:
        if provider.closed:
            text = f"{provider.name} is not called for now: {provider.closed}"
            yield _alert("provider", "warning", place, text)
    if facts.run and facts.run.state and facts.run.state.status == "done" and facts.accepted < facts.wanted:
        text = f"ended with {facts.accepted:,} of {facts.wanted:,} accepted; its notices say why"
        yield _alert("shortfall", "warning", place, text, facts.run.state.finished)
    budget = facts.budget_usd
    spent = facts.status.cost_usd + facts.status.unknown_at_most_usd
    if budget and spent >= 0.9 * budget and facts.accepted < facts.wanted:
        text = f"${spent:.4f} of the budget of ${budget:g} are spent, {facts.accepted:,} of {facts.wanted:,} accepted"
        yield _alert("budget", "warning", place, text)


def _stored_alerts(stored: StoredFacts) -> Iterator[Alert]:
    disk = stored.disk()
    if disk.is_nearly_full:
        text = f"{disk.free / 2**30:.1f} GiB of {disk.total / 2**30:.0f} are free"
        yield _alert("disk", "problem", _AlertSubject("disk", ".", "index.html"), text)
    for machine in list_machines(stored.workspace):
        if machine.is_late or (machine.is_open and not machine.is_held):
            yield _cloud_alert(machine)
    seen: set[str] = set()
    for row in stored.reports():
        if row.gate is None or row.subject in seen:
            continue
        seen.add(row.subject)
        if not row.gate:
            yield _gate_alert(row)
    for path, problem in list(stored.problems.items()):
        yield _alert("broken", "warning", _AlertSubject(path, path), problem)


def _cloud_alert(machine: RentalCost) -> Alert:
    rental = machine.rental
    why = "is beyond its deadline" if machine.is_late else "has nobody to look after it"
    text = f"{rental.provider} {rental.gpu} {why} and may cost ${rental.usd_hour:g} an hour: `afs cloud reap`"
    return _alert("billed", "problem", _AlertSubject(rental.label, LEDGER, "cloud.html"), text, rental.created)


def _gate_alert(row: ReportRow) -> Alert:
    record = f"reports/{row.ref.name}/{row.ref.version}/manifest.json"
    text = f"{row.subject} may not ship: {row.reason or 'its gate did not pass'}"
    return _alert("gate", "warning", _AlertSubject(str(row.ref), record, "evaluation.html"), text, row.written)
