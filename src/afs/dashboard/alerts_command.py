"""`afs dashboard alerts`: what needs attention, as records that a program can read back."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Literal

from afs.config import Config
from afs.dashboard.alert_log import LOG, AlertLog, send_alerts
from afs.dashboard.alerts import Alert
from afs.dashboard.dashboard_state import Views
from afs.dashboard.page_parts import format_moment
from afs.errors import ConfigError
from afs.types import Value
from afs.workspace import Workspace

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class AlertsConfig(Config, frozen=True, kw_only=True):
    """List what needs attention, now or since a time; each alert is a record in `events/alerts.jsonl`."""

    since: str = ""
    """Alerts from here on, ended ones too: `30m`, `12h`, `7d` back, or an ISO time; empty: those that hold now."""
    level: Literal["note", "warning", "problem"] = "note"
    """Least level to list."""
    webhook: str = ""
    """Address that gets each new alert as JSON, once."""


class AlertList(Value, frozen=True, kw_only=True):
    """What `afs dashboard alerts` prints."""

    alerts: tuple[Alert, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """One line each, problems first."""
        lines = [_line(alert) for alert in self.alerts] or ["nothing needs attention"]
        return "\n".join([*lines, *self.notes])


def _line(alert: Alert) -> str:
    when = format_moment(alert.at) if alert.at else "now"
    end = f" (until {format_moment(alert.resolved)})" if alert.resolved else ""
    return f"{alert.level:<8} {alert.kind:<10} {when}  {alert.subject}: {alert.text}{end}"


def list_alerts(config: AlertsConfig, workspace: Workspace) -> AlertList:
    """Look at the workspace, note what is new, and list."""
    since = parse_since(config.since, time.time()) if config.since else None
    views = Views(workspace)
    views.look()
    views.index.read_whole()
    log = AlertLog(workspace)
    current = views.alerts()
    fresh = log.note(current)
    notes = [f"the alerts could not be written to {LOG}: {log.problem}"] if log.problem else []
    notes += send_alerts(config.webhook, fresh) if config.webhook else []
    known = log.read()
    active = {alert.id for alert in current}
    found = [known.get(alert.id, alert) for alert in current]
    if since is not None:
        found += [alert for key, alert in known.items() if key not in active]
        found = [alert for alert in found if max(alert.at, alert.resolved or 0.0) >= since]
    order = ("problem", "warning", "note")
    least = order.index(config.level)
    found = [alert for alert in found if order.index(alert.level) <= least]
    ordered = sorted(found, key=lambda alert: (alert.resolved is not None, order.index(alert.level), -alert.at))
    return AlertList(alerts=tuple(ordered), notes=tuple(notes))


def parse_since(text: str, now: float) -> float:
    """A time from `30m`, `12h`, `7d` or an ISO date; without a zone it is UTC."""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip()):
        return now - float(match[1]) * _UNITS[match[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ConfigError("since", f"want 30m, 12h, 7d or an ISO time, got {text!r}") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
