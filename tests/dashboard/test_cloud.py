"""Rented machines in the dashboard: what is still billed is a problem, and money is counted once."""

from __future__ import annotations

import time

from tests.dashboard.conftest import serving

from afs.cloud.ledger import Ledger
from afs.dashboard.alerts_command import AlertsConfig, list_alerts
from afs.workspace import Workspace


def rent(ledger: Ledger, label: str, hours_ago: float, deadline: float = 0.0) -> None:
    ledger.clock = lambda: time.time() - hours_ago * 3600
    facts = {"provider": "vast", "machine": "7", "gpu": "A4000", "usd_hour": 0.5, "deadline": deadline}
    for step in ("intent", "created", "running"):
        ledger.append(label, step, **facts)  # type: ignore[arg-type]
    ledger.clock = time.time


def test_what_is_still_billed_is_a_problem_until_it_is_gone(workspace: Workspace) -> None:
    ledger = Ledger(workspace.root / "cloud")
    rent(ledger, "afs-a", 2)
    rent(ledger, "afs-b", 4, deadline=time.time() - 3600)
    with ledger.holding("afs-b"):
        alerts = list_alerts(AlertsConfig(), workspace).alerts
        assert {(alert.subject, alert.kind, alert.level) for alert in alerts} == {
            ("afs-a", "billed", "problem"),
            ("afs-b", "billed", "problem"),
        }
        assert any("deadline" in alert.text for alert in alerts)
    rent(ledger, "afs-c", 1)
    with ledger.holding("afs-c"), serving(workspace) as site:
        ledger.append("afs-a", "gone")
        ledger.append("afs-b", "gone")
        assert list_alerts(AlertsConfig(), workspace).alerts == ()
        text = site.ask("/cloud.html").text
        assert "looked after" in text and "$0.50" in text and text.count("afs-") >= 3
        assert "$3.50" in site.ask("/").text, "two, four and one hour at half a dollar"
        assert site.ask("/files/cloud/ledger.jsonl").status == 200
