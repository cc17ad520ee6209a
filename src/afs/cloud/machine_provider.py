"""The seam to providers of machines: what is looked for, what is offered, what runs, and six calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from afs.errors import ProviderError
from afs.types import Value

MachineState = Literal["starting", "running", "stopped", "dead"]
"""stopped and dead machines still cost their disk, some of them their GPU: only a machine that is gone is free."""


class Need(Value, frozen=True, kw_only=True):
    """What a job needs of a machine."""

    gpu_gb: float = 0.0
    """Least memory of the card."""
    disk_gb: float = 40.0
    gpu: str = ""
    """Part of the card's name, such as `4090`; empty: any."""
    compute: float = 0.0
    """Least compute capability, such as 8.0 for bfloat16."""
    reliability: float = 0.95
    """Least reliability, where the provider states one."""
    spot: bool = False
    """Machines that may be taken away at any moment."""
    hours: float = 1.0
    """How long, on a card of speed 1."""
    transfer_gb: float = 1.0
    """Upload and download."""


class Offer(Value, frozen=True, kw_only=True):
    """A machine that can be rented now."""

    provider: str
    id: str
    gpu: str
    gpu_gb: float
    usd_hour: float
    storage_usd_hour: float = 0.0
    """Of the whole disk asked for."""
    transfer_usd_gb: float = 0.0
    speed: float = 1.0
    """Relative to other offers of the provider; unknown: 1."""
    reliability: float | None = None
    place: str = ""
    spot: bool = False


class SshPlace(Value, frozen=True, kw_only=True):
    """How a machine is reached."""

    host: str
    port: int = 22
    user: str = "root"


class RentedMachine(Value, frozen=True, kw_only=True):
    """A rented machine as its provider describes it."""

    provider: str
    id: str
    label: str
    state: MachineState
    said: str = ""
    """The provider's own word for the state."""
    usd_hour: float = 0.0
    ssh: SshPlace | None = None
    gpu: str = ""


class Volume(Value, frozen=True, kw_only=True):
    """Storage that is billed by itself and survives its machine."""

    provider: str
    id: str
    label: str
    gb: float


class RentalOrder(NamedTuple):
    """What is asked of a provider."""

    offer: Offer
    label: str
    image: str
    disk_gb: float
    onstart: str
    """Script that the machine runs when it starts; it holds no key of the account."""
    public_key: str


class CreateError(ProviderError):
    """Nothing was confirmed; `machine` is an id that the provider named all the same."""

    def __init__(self, message: str, machine: str = "") -> None:
        super().__init__(message)
        self.machine = machine


class MachineProvider(Protocol):
    """A place that rents machines. Every failure is a ProviderError; an empty answer is never read as `gone`."""

    name: str

    def offers(self, need: Need) -> list[Offer]:
        """What fits, in any order."""

    def create(self, order: RentalOrder) -> RentedMachine:
        """Rent; raises CreateError when it is unclear whether something was rented."""

    def get(self, machine: str) -> RentedMachine | None:
        """The machine, or None when the provider says that there is none."""

    def list(self) -> list[RentedMachine]:
        """Everything the account has, foreign machines too."""

    def destroy(self, machine: str) -> None:
        """Ask for its end; a machine that is gone already is no error."""

    def logs(self, machine: str) -> str:
        """What its container printed."""

    def volumes(self) -> Sequence[Volume]:
        """Storage that is billed apart."""

    def bill(self, machine: str, since: float) -> float | None:
        """Dollars charged for a machine so far; None: not known (yet)."""


def total_usd(offer: Offer, need: Need) -> float:
    """What the job costs there: hours by speed, storage, traffic, and the time lost when a spot machine is taken."""
    hours = need.hours / max(offer.speed, 0.05)
    risk = 1.15 if offer.spot else 1.0  # one loss of a tenth of the job, and setting up again
    unsure = 1.0 + max(0.0, 1.0 - (1.0 if offer.reliability is None else offer.reliability))
    running = (offer.usd_hour + offer.storage_usd_hour) * hours * risk * unsure
    return running + offer.transfer_usd_gb * need.transfer_gb


def rank(offers: Sequence[Offer], need: Need) -> list[Offer]:
    """The cheapest in total first; equal prices by reliability, then by id, so that the order is always the same."""
    return sorted(offers, key=lambda one: (round(total_usd(one, need), 6), -(one.reliability or 0), one.id))
