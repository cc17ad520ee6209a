"""Cloud: rented machines from the ledger, what each costs by the hour, and whether somebody still looks after it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from afs.dashboard.cloud_facts import LEDGER, RentalCost, list_machines
from afs.dashboard.dashboard_state import Views
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    cite,
    format_moment,
    format_seconds,
    format_usd,
    heading,
    mark,
    paragraph,
    table,
    tile,
    tiles,
)
from afs.pages import Html, join


def cloud_page(views: Views) -> Page:
    """The page; without a ledger it says so."""
    machines = list_machines(views.workspace)
    if not machines:
        return Page("cloud.html", "Cloud", [PagePart("none", paragraph("No machine was rented from this workspace."))])
    still = [one for one in machines if one.is_open]
    rate = sum(one.rental.usd_hour for one in still)
    tops = tiles(
        [
            tile("may still cost money", len(still), f"{format_usd(rate)} an hour", "odd" if still else "good"),
            tile("spent", cite(format_usd(sum(one.usd for one in machines)), LEDGER), "by the hour, or as billed"),
        ]
    )
    head = ("machine", "", "card", "an hour", "cost", "made", "ran", "deadline", "note")
    hint = "from the ledger; `afs cloud reap` destroys what nobody looks after"
    rows = [_row(one) for one in machines]
    parts = [PagePart("tiles", tops), PagePart("machines", join([heading("Machines", hint), table(head, rows)]))]
    return Page("cloud.html", "Cloud", parts)


def _row(one: RentalCost) -> Sequence[object]:
    rental = one.rental
    begun = rental.created or rental.intended
    ran = format_seconds((rental.gone or time.time()) - rental.running) if rental.running else "never"
    return (
        join([rental.label, Html('<span class="id">'), rental.provider, Html("</span>")]),
        _state(one),
        rental.gpu,
        format_usd(rental.usd_hour),
        cite(format_usd(one.usd), LEDGER),
        format_moment(begun),
        ran,
        format_moment(rental.deadline) if rental.deadline else "none",
        rental.note,
    )


def _state(one: RentalCost) -> Html:
    if not one.is_open:
        return mark("gone", "soft")
    if one.is_late:
        return mark("beyond its deadline", "bad")
    return mark("looked after", "good") if one.is_held else mark("nobody looks after it", "bad")
