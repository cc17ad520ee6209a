"""Compares providers with the ledger and destroys what should be gone: of ours only, and never by a guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from afs.cloud.launch import Site, end_machine
from afs.cloud.ledger import Rental, deadline_of
from afs.cloud.machine_provider import RentedMachine, Volume
from afs.errors import ProviderError

Action = Literal["destroyed", "kept", "reported", "STILL BILLED", "gone already"]


class ReapRow(NamedTuple):
    """What was found, and what was done about it."""

    provider: str
    machine: str
    label: str
    said: str
    action: Action
    why: str


def reap_provider(site: Site) -> list[ReapRow]:
    """One provider's machines and volumes against the ledger."""
    machines = site.provider.list()
    rentals = site.ledger.rentals()
    rows = [_judge(site, machine, rentals) for machine in machines]
    listed = {machine.label for machine in machines} | {machine.id for machine in machines}
    rows += list(_close_missing(site, rentals.values(), listed))
    rows += [_volume_row(volume) for volume in site.provider.volumes()]
    return rows


def _judge(site: Site, machine: RentedMachine, rentals: Mapping[str, Rental]) -> ReapRow:
    """A machine of ours ends when nobody looks after it or its time is over; others are only shown."""
    deadline = deadline_of(machine.label)
    if machine.label not in rentals or rentals[machine.label].provider != site.provider.name:
        whose = "another workspace's" if deadline is not None else "not made by afs"
        return _row(machine, "reported", f"{whose}; it costs money as long as it is listed")
    if site.ledger.is_held(machine.label) and site.clock() < rentals[machine.label].deadline:
        return _row(machine, "kept", "its job runs here")
    if end_machine(site, machine.label):
        return _row(machine, "destroyed", f"nobody looked after it ({machine.said})")
    return _row(machine, "STILL BILLED", "the provider did not end it; run `afs cloud reap` again, or its web page")


def _close_missing(site: Site, rentals: Iterable[Rental], listed: set[str]) -> list[ReapRow]:
    """Open rentals whose machine the provider does not list."""
    rows = []
    for rental in rentals:
        if rental.gone is not None or rental.provider != site.provider.name or rental.label in listed:
            continue
        if rental.machine in listed or site.ledger.is_held(rental.label):
            continue
        if rental.machine and site.provider.get(rental.machine) is not None:
            rows.append(_end_unlisted(site, rental))
            continue
        site.ledger.append(rental.label, "lost", machine=rental.machine, note="not listed by the provider")
        said = "never made" if not rental.machine else "gone"
        rows.append(
            ReapRow(rental.provider, rental.machine, rental.label, said, "gone already", "closed in the ledger")
        )
    return rows


def _end_unlisted(site: Site, rental: Rental) -> ReapRow:
    """The list left it out, but the provider knows it when asked."""
    try:
        site.provider.destroy(rental.machine)
        is_gone = site.provider.get(rental.machine) is None
    except ProviderError:
        is_gone = False
    if is_gone:
        site.ledger.append(rental.label, "gone", machine=rental.machine)
    action: Action = "destroyed" if is_gone else "STILL BILLED"
    return ReapRow(rental.provider, rental.machine, rental.label, "unlisted", action, "it was missing in the list")


def _volume_row(volume: Volume) -> ReapRow:
    why = f"{volume.gb:g} GB of storage, billed until you delete it; afs never does"
    return ReapRow(volume.provider, volume.id, volume.label, "volume", "reported", why)


def _row(machine: RentedMachine, action: Action, why: str) -> ReapRow:
    return ReapRow(machine.provider, machine.id, machine.label, machine.said, action, why)
