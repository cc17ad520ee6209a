"""Rented machines as the ledger knows them: what each has cost, and whether it may still cost money."""

from __future__ import annotations

import time
from typing import NamedTuple

from afs.cloud.ledger import Ledger, Rental, sum_costs
from afs.workspace import Workspace

LEDGER = "cloud/ledger.jsonl"


class RentalCost(NamedTuple):
    """A machine with what follows from the ledger now."""

    rental: Rental
    usd: float
    is_open: bool
    """Whether it may still cost money."""
    is_held: bool
    """Whether a living process of this machine looks after it."""
    is_late: bool
    """Open beyond its deadline."""


def list_machines(workspace: Workspace, now: float | None = None) -> list[RentalCost]:
    """Every machine of the ledger, open ones first, then the newest."""
    moment = time.time() if now is None else now
    ledger = Ledger(workspace.root / "cloud")
    found = []
    for rental in ledger.rentals().values():
        usd = sum_costs([rental], moment).billed
        is_open = rental.gone is None and (rental.created is not None or bool(rental.machine))
        is_held = is_open and ledger.is_held(rental.label)
        is_late = is_open and 0 < rental.deadline < moment
        found.append(RentalCost(rental, usd, is_open, is_held, is_late))
    return sorted(found, key=lambda one: (not one.is_open, -one.rental.intended))
