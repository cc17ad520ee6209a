"""Alerts as records: appended to `events/alerts.jsonl` when they are first seen and again when they no longer hold.

A program reads them back with `afs dashboard alerts --since … --json`; a webhook gets each new one once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from afs import jsonl
from afs.dashboard.alerts import Alert
from afs.errors import AfsError, WorkspaceError
from afs.http import Client
from afs.workspace import Workspace

WEBHOOK_S = 10.0
LOG = Path("events") / "alerts.jsonl"


class AlertLog:
    """The alerts of a workspace so far."""

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.time) -> None:
        self.workspace, self.clock = workspace, clock
        self.path = workspace.root / LOG
        self.problem = ""
        """Why the log cannot be written; the dashboard shows alerts all the same."""

    def read(self) -> dict[str, Alert]:
        """The newest state of every alert, in the order they were first seen; lines of other versions are skipped."""
        found: dict[str, Alert] = {}
        for line in self.path.read_bytes().split(b"\n") if self.path.is_file() else ():
            try:
                alert = msgspec.json.decode(line, type=Alert)
            except msgspec.DecodeError:
                continue
            found[alert.id] = alert
        return found

    def note(self, current: Iterable[Alert]) -> list[Alert]:
        """Write what is new and what no longer holds; the new ones. Two dashboards write each alert once."""
        now = self.clock()
        try:
            with self.workspace.lock("alerts", verb="dashboard alerts"):
                known = self.read()
                active = {alert.id: alert for alert in current}
                fresh = [
                    msgspec.structs.replace(alert, at=alert.at or now)
                    for key, alert in active.items()
                    if key not in known or known[key].resolved is not None
                ]
                ended = [
                    msgspec.structs.replace(alert, resolved=now)
                    for key, alert in known.items()
                    if alert.resolved is None and key not in active
                ]
                if fresh or ended:
                    self.path.parent.mkdir(exist_ok=True)
                    jsonl.append(self.path, [*fresh, *ended])
                self.problem = ""
                return fresh
        except (WorkspaceError, OSError) as error:
            self.problem = str(error)
            return []


def send_alerts(url: str, alerts: Iterable[Alert]) -> list[str]:
    """Post each alert as JSON; what went wrong, for the caller to report."""
    problems = []
    for alert in alerts:
        try:
            with Client(url, timeout_s=WEBHOOK_S) as client:
                body = msgspec.json.encode(alert)
                response = client.post("" if urlsplit(url).path.strip("/") else "/", body)
            if response.status >= 300:
                problems.append(f"the webhook answered {response.status} to alert {alert.id}")
        except AfsError as error:
            problems.append(f"the webhook did not take alert {alert.id}: {error}")
    return problems
