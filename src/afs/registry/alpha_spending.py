"""Counts the gates on a suite, so that trying many models on the same items does not ship one by luck.

The first gate on a suite (items and seed) tests at the level that was asked for. All later ones together may err once
more as often: the k-th gets 6 / (pi (k-1))^2 of it, a series that adds up to one. Fresh items (`--seed`) start anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from afs.registry.event_log import Event, RegistryLog
from afs.registry.log_check import change_registry
from afs.types import Value


class GateAllowance(Value, frozen=True, kw_only=True):
    """How often a gate may err, and what is left for the gates after it."""

    number: int
    """Which gate on this suite it is; 1 is the first."""
    share: float
    """Part of the requested error rate that this gate may use."""
    left: float
    """Part of the requested error rate that all later gates share."""


def allowance(events: Iterable[Event], suite_digest: str, results_digest: str) -> GateAllowance:
    """What the next gate on a suite may use; results that were gated before keep their place."""
    tried = [str(e.fields["results"]) for e in events if e.action == "gate" and e.fields.get("suite") == suite_digest]
    distinct = list(dict.fromkeys(tried))
    number = distinct.index(results_digest) + 1 if results_digest in distinct else len(distinct) + 1
    return GateAllowance(number=number, share=_share(number), left=1 - sum(_share(k) for k in range(2, number + 1)))


def _share(number: int) -> float:
    return 1.0 if number == 1 else 6 / (math.pi * (number - 1)) ** 2


def record_gate(log: RegistryLog, name: str, ref: str, **fields: object) -> None:
    """Add a gate to the registry's events; the same report is added once."""
    with change_registry(log) as events:
        if not any(e.action == "gate" and e.ref == ref and e.fields == fields for e in events):
            log.append("gate", name, ref, **fields)
