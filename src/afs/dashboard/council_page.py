"""The page of the council: its routers, and how it routed."""

from __future__ import annotations

from html import escape

import msgspec

from afs.council.router import RouterCard
from afs.dashboard.dashboard_state import Views
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    cite,
    details,
    heading,
    paragraph,
    table,
)
from afs.dashboard.route_log import ROUTES, read_routes
from afs.dashboard.run_facts import read_json
from afs.dashboard.stored_facts import list_versions
from afs.pages import Html, format_percent, join
from afs.types import Interval


def council_page(views: Views) -> Page:
    """Experts, routers with what was measured of them, and the routes of answered questions."""
    entries = views.stored.entries()
    rows = [(e.name, ", ".join(e.expert.tags), e.current, e.expert.domain or "nothing") for e in entries.values()]
    shown = table(("expert", "answers", "model", "checked by"), rows) if rows else paragraph("No expert yet.")
    parts = [
        PagePart("experts", join([heading("Experts", "who may answer; each question goes to those that fit"), shown])),
        PagePart("routers", _routers(views)),
        PagePart("routes", _routes(views)),
    ]
    return Page("council.html", "Council", parts)


def _routers(views: Views) -> Html:
    found = []
    for ref in list_versions(views.workspace, "artifact"):
        stored = read_json(views.workspace.path(ref) / "router.json")
        try:
            card = msgspec.convert(stored, RouterCard) if stored else None
        except msgspec.ValidationError:
            continue
        if card is not None:
            found.append(_router(str(ref), f"models/{ref.name}/{ref.version}/manifest.json", card))
    hint = "a router reads a question and names the expert; when it is not sure, it abstains"
    return join([heading("Routers", hint), *reversed(found)]) if found else Html("")


def _router(ref: str, record: str, card: RouterCard) -> Html:
    known = card.figures
    rows: list[tuple[str, Interval | None, str]] = [
        ("routed right", known.accuracy if known else None, "of all held-out questions"),
        ("answered right", known.answered if known else None, "of those it is sure of"),
        ("sure", known.coverage if known else None, "share it does not abstain from"),
        ("abstains off topic", card.off_topic, "share of foreign questions it sends to no expert"),
    ]
    shown = table(
        ("figure", "value", ""), [(name, cite(format_percent(value, 1), record), hint) for name, value, hint in rows]
    )
    experts = [(name, format_percent(value, 1)) for name, value in known.by_label.items()] if known else []
    by_expert = details("by expert", table(("expert", "routed right"), experts)) if experts else Html("")
    title = f"{ref}: {', '.join(card.labels)}; {card.held_out:,} held-out questions"
    return join([Html(f"<h3>{escape(title)}</h3>"), shown, by_expert])


def _routes(views: Views) -> Html:
    found = read_routes(views.workspace.root)
    if found is None:
        text = "No question was answered yet: `afs ask`, `afs chat` and `afs serve` write the log."
        return join([heading("Routes"), paragraph(text, "soft")])
    hint = "who answered the latest questions, at which step its check ended, and how long it took"
    head = ("expert", "answers", "share", "checks ended at", "median / 95 %")
    latest = table(("when", "expert", "router", "verdict", "took"), found.latest)
    record = paragraph(join(["Read from ", cite(ROUTES, ROUTES)]), "soft")
    return join([heading("Routes", hint), table(head, found.by_expert), details("the latest", latest), record])
