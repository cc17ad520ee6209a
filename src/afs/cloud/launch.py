"""Rents a machine for a job, watches it, brings everything back, and ends the machine: whatever happens on the way.

intent → created → running → ended → destroying → gone, each written before the next. A machine that stops, vanishes or
stays silent is destroyed, and the job resumes from its last checkpoint on the next offer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from afs.cloud.job import JobResult, TrainJob
from afs.cloud.ledger import Ledger, Rental, new_label, sum_costs
from afs.cloud.machine_provider import CreateError, MachineProvider, Need, Offer, RentalOrder, RentedMachine, SshPlace
from afs.cloud.shells import Shell
from afs.errors import AfsError, ProviderError, RefusedError, StoppedError
from afs.events import EventLog


class Caps(NamedTuple):
    """What may be spent; 0: no such cap."""

    usd_hour: float
    usd: float
    hours: float


class Pace(NamedTuple):
    """How often things are looked at, and how long silence is borne, in seconds."""

    poll_s: float = 15.0
    pull_s: float = 600.0
    start_s: float = 900.0
    """A machine that is not reachable by then is another one's turn."""
    silence_s: float = 600.0
    gone_s: float = 600.0
    """How long a destroyed machine may be listed."""


class Site(NamedTuple):
    """What a launch works with."""

    provider: MachineProvider
    ledger: Ledger
    log: EventLog
    connect: Callable[[SshPlace], Shell]
    onstart: Callable[[float], str]
    """Deadline -> the script of the machine's start."""
    public_key: str
    pace: Pace = Pace()
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    stopping: Callable[[], bool] = lambda: False


class MachineLostError(AfsError):
    """The machine ended before its job."""


class JobOutcome(NamedTuple):
    """How a job ended."""

    exit: int
    result: JobResult
    machines: int


class JobDriver:
    """One job from its first offer to its last byte."""

    def __init__(self, site: Site, job: TrainJob, need: Need, caps: Caps, session: str, image: str) -> None:
        self.site, self.job, self.need, self.caps = site, job, need, caps
        self.session, self.image = session, image
        self.deadline = site.clock() + caps.hours * 3600
        self._read = 0

    def run(self, offers: list[Offer], most: int = 5) -> JobOutcome:
        """Try offers until the job has ended."""
        problems: list[str] = []
        for number, offer in enumerate(offers[:most], 1):
            try:
                code, result = self._on_one(offer)
                return JobOutcome(code, result, number)
            except MachineLostError as lost:
                problems.append(f"{offer.provider} {offer.id}: {lost}")
                self.site.log.event("notice", text=f"{self.job.name}: {problems[-1]}; the next offer is tried")
        raise ProviderError(f"{self.job.name}: no machine finished it: {'; '.join(problems) or 'no offer fits'}")

    def _on_one(self, offer: Offer) -> tuple[int, JobResult]:
        self._refuse_over_caps(offer)
        label = new_label(self.deadline)
        ledger = self.site.ledger
        with ledger.holding(label):
            ledger.append(
                label,
                "intent",
                provider=offer.provider,
                job=self.job.name,
                session=self.session,
                gpu=offer.gpu,
                usd_hour=offer.usd_hour + offer.storage_usd_hour,
                storage_usd_hour=offer.storage_usd_hour,
                deadline=self.deadline,
            )
            try:
                machine = self._create(offer, label)
                shell = self._reach(machine, label)
                return self._work(shell, machine, label)
            finally:
                end_machine(self.site, label)

    def _refuse_over_caps(self, offer: Offer) -> None:
        now = self.site.clock()
        mine = self.site.ledger.of_session(self.session)
        rate = sum(one.usd_hour for one in mine if one.gone is None) + offer.usd_hour + offer.storage_usd_hour
        if self.caps.usd_hour and rate > self.caps.usd_hour + 1e-9:
            raise RefusedError(
                f"${rate:.3f}/h would be over the cap of ${self.caps.usd_hour:.3f}/h; nothing was rented"
            )
        spent = sum_costs(mine, now).computed
        if self.caps.usd and spent >= self.caps.usd:
            raise RefusedError(f"${spent:.2f} are spent, the cap is ${self.caps.usd:.2f}; rerun with a higher one")
        if now >= self.deadline:
            raise RefusedError(f"the {self.caps.hours:g} hours are over; rerun to resume with new ones")

    def _create(self, offer: Offer, label: str) -> RentedMachine:
        """Rent it. After any error the machine is looked for by id and label, so that none is left behind."""
        site = self.site
        order = RentalOrder(offer, label, self.image, self.need.disk_gb, site.onstart(self.deadline), site.public_key)
        try:
            machine = site.provider.create(order)
        except CreateError as error:
            if error.machine:
                site.ledger.append(label, "created", provider=offer.provider, machine=error.machine, note=str(error))
            raise MachineLostError(str(error)) from error
        site.ledger.append(label, "created", provider=offer.provider, machine=machine.id, usd_hour=machine.usd_hour)
        site.log.event("notice", text=f"{self.job.name}: rented {offer.gpu} at {offer.provider} ({label})")
        return machine

    def _reach(self, machine: RentedMachine, label: str) -> Shell:
        """Wait until it runs and answers."""
        site, until = self.site, self.site.clock() + self.site.pace.start_s
        while site.clock() < until:
            self._check(label)
            now = self._look(machine)
            if now is None:
                raise MachineLostError("it vanished before it ran")
            if now.state in ("dead", "stopped"):
                raise MachineLostError(f"it did not start ({now.said})")
            if now.state == "running" and now.ssh is not None:
                shell = site.connect(now.ssh)
                with suppress(ProviderError):
                    if shell.run("true").rc == 0:
                        site.ledger.append(label, "running", machine=machine.id, usd_hour=now.usd_hour)
                        return shell
            site.sleep(site.pace.poll_s)
        raise MachineLostError(f"it did not answer within {site.pace.start_s / 60:g} minutes")

    def _look(self, machine: RentedMachine) -> RentedMachine | None:
        """The machine now; a provider that does not answer says nothing about it."""
        try:
            return self.site.provider.get(machine.id)
        except ProviderError:
            return machine

    def _work(self, shell: Shell, machine: RentedMachine, label: str) -> tuple[int, JobResult]:
        """Send, start, watch, fetch. Short breaks of the connection are waited out."""
        site, sent, heard = self.site, False, self.site.clock()
        pulled = site.clock()
        while True:
            try:
                self._check(label)
                if not sent:
                    self.job.send(shell)
                    self.job.start(shell)
                    sent = True
                code = self.job.poll(shell)
                self._show(shell)
                heard = site.clock()
                if code is not None:
                    result = self.job.fetch(shell, label)
                    site.ledger.append(label, "ended", machine=machine.id, note=f"exit {code}")
                    return code, result
                if site.clock() - pulled >= site.pace.pull_s:
                    self.job.pull_runs(shell)
                    pulled = site.clock()
            except ProviderError as problem:
                self._bear(machine, heard, problem)
            except StoppedError:
                with suppress(AfsError):
                    self.job.pull_runs(shell)
                raise
            site.sleep(site.pace.poll_s)

    def _bear(self, machine: RentedMachine, heard: float, problem: ProviderError) -> None:
        """A connection broke: is the machine still there?"""
        now = self._look(machine)
        if now is None or now.state in ("dead", "stopped"):
            raise MachineLostError(f"it was taken away ({now.said if now else 'gone'})") from problem
        if self.site.clock() - heard > self.site.pace.silence_s:
            raise MachineLostError(f"it has not answered for {self.site.pace.silence_s / 60:g} minutes") from problem

    def _show(self, shell: Shell) -> None:
        """What the job printed since the last look."""
        piece = self.job.log(shell, self._read)
        self._read += len(piece)
        for line in piece.decode("utf-8", "replace").splitlines():
            self.site.log.event("job", job=self.job.name, text=line)

    def _check(self, label: str) -> None:
        """Stop for the user, a cap or the deadline."""
        site = self.site
        if site.stopping():
            raise StoppedError("stopped; the machine is destroyed, and the same command resumes")
        if site.clock() >= self.deadline:
            raise StoppedError(f"the {self.caps.hours:g} hours are over; rerun to resume")
        spent = sum_costs(site.ledger.of_session(self.session), site.clock()).computed
        if self.caps.usd and spent >= self.caps.usd:
            raise StoppedError(f"${spent:.2f} are spent, the cap is ${self.caps.usd:.2f}; rerun to resume")


def end_machine(site: Site, label: str) -> bool:
    """Destroy what carries a label, and look until the provider says that it is gone; whether it is."""
    rental = site.ledger.rentals()[label]
    found = _candidates(site.provider, rental)
    until, pause = site.clock() + site.pace.gone_s, min(1.0, site.pace.poll_s)
    if rental.machine or found:
        site.ledger.append(label, "destroying", machine=rental.machine or next(iter(found), ""))
    problem = ""
    while True:
        try:
            for machine in set(_candidates(site.provider, rental)) | ({rental.machine} if rental.machine else set()):
                site.provider.destroy(machine)
            left = [one for one in site.provider.list() if one.label == label or one.id == rental.machine]
            if not left:
                site.ledger.append(label, "gone", machine=rental.machine)
                _settle(site, label)
                return True
            problem = f"{left[0].id} is still listed ({left[0].said})"
        except ProviderError as error:
            problem = str(error)
        if site.clock() >= until:
            break
        site.sleep(pause)
        pause = min(2 * pause, 30.0)
    site.ledger.append(label, "destroying", machine=rental.machine, note=problem)
    site.log.event("notice", text=f"STILL BILLED: {label}: {problem}; run: afs cloud reap", level="error")
    return False


def _candidates(provider: MachineProvider, rental: Rental) -> Mapping[str, RentedMachine]:
    """Machines that carry the label: what a failed order may have made, too."""
    with suppress(ProviderError):
        return {one.id: one for one in provider.list() if one.label == rental.label}
    return {}


def _settle(site: Site, label: str) -> None:
    """What the provider charged, where it says so already."""
    rental = site.ledger.rentals()[label]
    with suppress(ProviderError):
        charged = site.provider.bill(rental.machine, rental.intended) if rental.machine else 0.0
        if charged is not None:
            site.ledger.append(label, "billed", machine=rental.machine, usd=charged)


def job_folder(root: Path) -> Path:
    """Where the workspace keeps its ledger, its ssh key and what came back."""
    return root / "cloud"
