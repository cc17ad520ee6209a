"""Everything the dashboard shows, looked at once for all viewers: runs, campaigns, stored results, alerts."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import msgspec

from afs.dashboard.alerts import Alert, find_alerts
from afs.dashboard.campaign_facts import CampaignFacts, list_campaigns, read_campaign
from afs.dashboard.run_facts import RunFacts, read_facts
from afs.dashboard.run_index import FollowedRun, RunIndex
from afs.dashboard.stored_facts import StoredFacts
from afs.errors import AfsError
from afs.generate.config import FOLDER
from afs.workspace import Workspace

LOOK_S = 0.4
"""Least time between two looks at the files, however many viewers there are."""


class Views:
    """The workspace as it is now; one for all pages and viewers."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.index = RunIndex(workspace)
        self.stored = StoredFacts(workspace)
        self.broken_campaigns: dict[str, str] = {}
        self.lock = threading.RLock()
        self._campaigns: dict[str, tuple[tuple[int, ...], CampaignFacts]] = {}

    def look(self) -> None:
        """See what is new."""
        self.index.refresh(LOOK_S)

    def run_facts(self) -> list[RunFacts]:
        """Every run, newest first."""
        return [read_facts(run) for run in self.index.runs]

    def run(self, run_id: str) -> FollowedRun | None:
        """A run by its id."""
        return self.index.get(run_id)

    def campaign_names(self) -> list[str]:
        """Campaigns, the last written first."""
        return list_campaigns(self.workspace)

    def campaign(self, name: str) -> CampaignFacts | None:
        """A campaign; read again only when its file or its run changed. None: unknown or broken."""
        if name not in self.campaign_names():
            return None
        folder = self.workspace.root / FOLDER / name
        with self.lock:
            known = self._campaigns.get(name)
            key = self._key(folder, known[1].run if known else None)
            if known is not None and known[0] == key:
                return known[1]
            try:
                facts = read_campaign(self.workspace, self.index, name)
            except (AfsError, sqlite3.Error, msgspec.DecodeError) as error:
                self.broken_campaigns[name] = str(error)
                return None
            self.broken_campaigns.pop(name, None)
            self._campaigns[name] = (self._key(folder, facts.run), facts)
            return facts

    def _key(self, folder: Path, run: FollowedRun | None) -> tuple[int, ...]:
        stamps = [p.stat().st_mtime_ns for p in (folder / "calls.db", folder / "calls.db-wal") if p.exists()]
        # what a ledger of a running campaign says changes all the time: once a second is enough
        second = int(time.monotonic()) if run is not None and run.quiet_s() < 60 else 0
        return (*(stamps if not second else ()), second, len(self.index.runs))

    def campaigns(self) -> list[CampaignFacts]:
        """Every campaign that can be read."""
        return [facts for name in self.campaign_names() if (facts := self.campaign(name)) is not None]

    def alerts(self) -> list[Alert]:
        """What needs attention now."""
        return list(find_alerts(self.index.runs, self.campaigns(), self.stored))
