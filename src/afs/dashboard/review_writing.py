"""The one thing the dashboard writes: a person's decision about a sample, appended as `afs generate review` does."""

from __future__ import annotations

import time
from collections.abc import Mapping

from afs.dashboard.campaign_facts import ledger
from afs.dashboard.dashboard_state import Views
from afs.errors import UsageError
from afs.generate.review import DECISIONS, Review, append_review


def write_review(views: Views, campaign: str, form: Mapping[str, str], owner: str) -> None:
    """Append a decision; the sample must be one of the campaign, and a rejection says why."""
    if campaign not in views.campaign_names():
        raise UsageError(f"no campaign is called {campaign!r}")
    decision = DECISIONS.get(form.get("decision", "")[:1])
    piece, reason = form.get("piece", ""), form.get("reason", "").strip()
    edited = form.get("edited", "").replace("\r\n", "\n")
    if decision is None:
        raise UsageError("decision: want accept, reject or edit")
    if decision != "accept" and not reason:
        raise UsageError(f"reason: to {decision} a sample needs a reason")
    if decision == "edit" and not edited.strip():
        raise UsageError("edited: an edit needs the answer as it should be")
    with ledger(views.workspace, campaign) as database:
        row = database.execute("SELECT state FROM pieces WHERE key = ? AND result IS NOT NULL", (piece,)).fetchone()
    if row is None or row[0] not in ("accepted", "rejected"):
        raise UsageError(f"piece: the campaign has no judged sample {piece!r}")
    append_review(
        views.workspace,
        campaign,
        Review(
            piece=piece,
            decision=decision,
            reason=reason,
            edited=edited if decision == "edit" else "",
            verdict=row[0] == "accepted",
            at=time.time(),
            by=owner,
        ),
    )
