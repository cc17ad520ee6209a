"""The ledger of rented machines: what was intended, made, seen and destroyed, written before and after each step.

One JSON line per event, synced before the step is taken. A line that a killed writer left torn is skipped by readers
and closed by the next writer. What a machine costs follows from the events alone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from afs.errors import WorkspaceError
from afs.types import Value

Step = Literal["intent", "created", "running", "ended", "destroying", "gone", "lost", "billed"]
"""lost: the provider has no such machine although nothing here destroyed it."""
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PREFIX = "afs-"


class CloudEvent(Value, frozen=True, kw_only=True):
    """One line."""

    at: float
    label: str
    step: Step
    provider: str = ""
    machine: str = ""
    job: str = ""
    session: str = ""
    gpu: str = ""
    usd_hour: float = 0.0
    """Card and disk together."""
    storage_usd_hour: float = 0.0
    deadline: float = 0.0
    usd: float | None = None
    """What the provider charged."""
    note: str = ""


class Rental(Value, frozen=True, kw_only=True):
    """A machine as the ledger knows it."""

    label: str
    provider: str
    machine: str
    job: str
    session: str
    gpu: str
    usd_hour: float
    deadline: float
    intended: float
    created: float | None
    running: float | None
    gone: float | None
    """When it was seen to be gone; None: it may still cost money."""
    billed_usd: float | None
    storage_usd_hour: float = 0.0
    note: str = ""

    def cost_usd(self, now: float) -> float:
        """What it has cost by the hour: the disk from its creation on, the card while it runs."""
        start = self.created or (self.intended if self.machine else None)
        if start is None:
            return 0.0
        end = self.gone or now
        disk = max(0.0, end - start) / 3600 * self.storage_usd_hour
        card = max(0.0, end - self.running) / 3600 * (self.usd_hour - self.storage_usd_hour) if self.running else 0.0
        return disk + card


class RentalCosts(NamedTuple):
    """Dollars for some machines."""

    computed: float
    """By the hour."""
    billed: float
    """As the provider charged; by the hour for what it has not charged yet."""


def sum_costs(rentals: Iterable[Rental], now: float) -> RentalCosts:
    """What machines have cost: the one place where their money is added up."""
    computed = billed = 0.0
    for one in rentals:
        cost = one.cost_usd(now)
        computed += cost
        billed += cost if one.billed_usd is None else one.billed_usd
    return RentalCosts(computed, billed)


def costs_by(
    rentals: Iterable[Rental], key: Literal["job", "session", "provider"], now: float
) -> dict[str, RentalCosts]:
    """The sums by job, session or provider."""
    groups: dict[str, list[Rental]] = {}
    for one in rentals:
        groups.setdefault(str(getattr(one, key)), []).append(one)
    return {name: sum_costs(found, now) for name, found in groups.items()}


class Ledger:
    """The file, for any number of threads and processes."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.path, self.clock = folder, folder / "ledger.jsonl", clock
        self._decode = msgspec.json.Decoder(CloudEvent).decode

    def append(self, label: str, step: Step, **fields: object) -> CloudEvent:
        """Write an event; it is on the disk when this returns."""
        event = CloudEvent(at=self.clock(), label=label, step=step, **fields)  # type: ignore[arg-type]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if file.tell() and _last_byte(file.fileno(), file.tell()) != b"\n":
                    file.write(b"\n")
                file.write(msgspec.json.encode(event) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WorkspaceError(f"{self.path}: {error.strerror}; nothing is rented without its ledger") from error
        return event

    def events(self) -> Iterator[CloudEvent]:
        """Every whole line."""
        if not self.path.exists():
            return
        for line in self.path.read_bytes().split(b"\n"):
            try:
                yield self._decode(line)
            except msgspec.DecodeError:
                continue  # torn by a kill, or empty

    def rentals(self) -> dict[str, Rental]:
        """Every label with what is known of it."""
        found: dict[str, list[CloudEvent]] = {}
        for event in self.events():
            found.setdefault(event.label, []).append(event)
        return {label: _fold(events) for label, events in found.items()}

    def open_rentals(self) -> list[Rental]:
        """What may still cost money."""
        return [one for one in self.rentals().values() if one.gone is None]

    def of_session(self, session: str) -> list[Rental]:
        """The machines of one launch."""
        return [one for one in self.rentals().values() if one.session == session]

    @contextmanager
    def holding(self, label: str) -> Iterator[None]:
        """While a label is held its owner lives; the system lets go of it when the owner dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{label}.lock"
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def is_held(self, label: str) -> bool:
        """Whether a living process looks after a machine."""
        try:
            with (self.folder / f"{label}.lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


def new_label(deadline: float) -> str:
    """`afs-<ulid>-<deadline>`: unique, and enough by itself to know when a machine should be gone."""
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    ulid = "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
    return f"{PREFIX}{ulid}-{int(deadline)}"


def deadline_of(label: str) -> float | None:
    """The deadline in a label of ours; None for any other name."""
    parts = label.split("-")
    if len(parts) != 3 or f"{parts[0]}-" != PREFIX or len(parts[1]) != 26 or not parts[2].isdigit():
        return None
    return float(parts[2])


def _last_byte(handle: int, size: int) -> bytes:
    return os.pread(handle, 1, size - 1)


def _fold(events: list[CloudEvent]) -> Rental:
    first = events[0]
    at = {event.step: event.at for event in reversed(events)}
    named = [event for event in events if event.machine]
    billed = [event.usd for event in events if event.usd is not None]
    gone = min((event.at for event in events if event.step in ("gone", "lost")), default=None)
    return Rental(
        label=first.label,
        provider=first.provider,
        machine=named[-1].machine if named else "",
        job=first.job,
        session=first.session,
        gpu=first.gpu,
        usd_hour=max(event.usd_hour for event in events),
        storage_usd_hour=first.storage_usd_hour,
        deadline=first.deadline,
        intended=first.at,
        created=at.get("created"),
        running=at.get("running"),
        gone=gone,
        billed_usd=billed[-1] if billed else None,
        note=next((event.note for event in reversed(events) if event.note), ""),
    )
