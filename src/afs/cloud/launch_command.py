"""`afs cloud offers` and `launch`: what can be rented, and a session of jobs on rented machines."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, NamedTuple

from afs.cloud.job import TrainJob
from afs.cloud.launch import Caps, JobDriver, JobOutcome, Pace, Site
from afs.cloud.ledger import sum_costs
from afs.cloud.machine_provider import Need, Offer, rank, total_usd
from afs.cloud.reap import ReapRow, reap_provider
from afs.cloud.settings import PAID, open_site
from afs.config import Config, Positive, Weight
from afs.errors import AfsError, ProviderError, StoppedError, UsageError
from afs.runs import Run
from afs.types import Value
from afs.workspace import Workspace

_SHOWN = 12
IMAGE = "pytorch/pytorch:2.13.0-cuda13.0-cudnn9-runtime"


class OffersConfig(Config, frozen=True, kw_only=True):
    """Show machines that can be rented, the cheapest in total first."""

    positional: ClassVar[tuple[str, ...]] = ("provider",)
    provider: str
    """vast, runpod, ssh or local."""
    gpu_gb: Weight = 0.0
    """Least memory of the card."""
    disk_gb: Weight = 40.0
    """Disk to rent."""
    gpu: str = ""
    """Part of the card's name, such as `4090`."""
    compute: Weight = 8.0
    """Least compute capability; 8.0 has bfloat16."""
    reliability: Weight = 0.95
    """Least reliability, where the provider states one."""
    spot: bool = False
    """Machines that may be taken away at any moment (vast only)."""
    hours: Weight = 1.0
    """Hours the job takes on a card of speed 1, for the ranking."""


class LaunchConfig(OffersConfig, frozen=True, kw_only=True):
    """Train on a rented machine: rent, send, run, bring back, destroy; rerun to resume."""

    positional: ClassVar[tuple[str, ...]] = ("provider", "configs")
    configs: tuple[str, ...]
    """Training configs; several run at the same time, each on its own machine, under the same caps."""
    hours: Weight = 4.0
    """Hours after which everything is brought back and destroyed."""
    max_usd: Weight = 5.0
    """Most dollars for the session; 0: no cap."""
    max_usd_hour: Weight = 1.0
    """Most dollars an hour for all machines together; 0: no cap."""
    yes: bool = False
    """Rent. Without it the offers and the worst case are shown, and nothing is rented."""
    image: str = IMAGE
    """Container image, with Python and the driver's libraries."""
    setup: str = ""
    """Command that installs what training needs; empty: pip, with this package's own requirements."""
    python: str = "python3"
    """Python on the machine."""
    tries: Positive = 5
    """Offers that are tried for each job."""
    poll_s: Weight = 15.0
    """Seconds between looks at a machine."""
    pull_s: Weight = 600.0
    """Seconds between copies of the checkpoints to this machine."""


class OfferTable(Value, frozen=True, kw_only=True):
    """Offers with their total price."""

    offers: tuple[Offer, ...]
    totals: tuple[float, ...]
    note: str = ""

    def text(self) -> str:
        """A line per offer."""
        rows = [
            f"{total:8.2f} $ total  {one.usd_hour + one.storage_usd_hour:6.3f} $/h  {one.gpu_gb:5.0f} GB  {one.gpu:<26}"
            f" {one.provider} {one.id} {one.place}".rstrip()
            for one, total in list(zip(self.offers, self.totals, strict=True))[:_SHOWN]
        ]
        if not rows:
            rows = ["no machine fits; lower --gpu-gb, --disk-gb or --reliability, or leave --gpu out"]
        return "\n".join([*rows, *([self.note] if self.note else [])])


class LaunchResult(Value, frozen=True, kw_only=True):
    """What a session brought."""

    session: str
    lines: tuple[str, ...]
    usd: float
    still_billed: tuple[str, ...] = ()
    failed: bool = False

    @property
    def exit_code(self) -> int:
        """1 when a job failed or a machine may still be billed."""
        return 1 if self.failed or self.still_billed else 0

    def text(self) -> str:
        """A line per job, then the money."""
        rows = [*self.lines, f"session {self.session}: ${self.usd:.2f}"]
        rows += [f"STILL BILLED: {label}; run: afs cloud reap" for label in self.still_billed]
        return "\n".join(rows)


def _need(config: OffersConfig, transfer_gb: float = 1.0) -> Need:
    return Need(
        gpu_gb=config.gpu_gb,
        disk_gb=config.disk_gb,
        gpu=config.gpu,
        compute=config.compute,
        reliability=config.reliability,
        spot=config.spot,
        hours=config.hours,
        transfer_gb=transfer_gb,
    )


def cloud_offers(config: OffersConfig, workspace: Workspace) -> OfferTable:
    """Ask the provider."""
    need = _need(config)
    found = rank(open_site(workspace, config.provider, workspace.log).provider.offers(need), need)
    return OfferTable(offers=tuple(found), totals=tuple(total_usd(one, need) for one in found))


class _LaunchSession(NamedTuple):
    id: str
    site: Site
    need: Need
    caps: Caps
    offers: list[Offer]


def cloud_launch(config: LaunchConfig, run: Run) -> LaunchResult | OfferTable:
    """Plan, rent within the caps, run every job, bring everything back, destroy every machine."""
    workspace = run.workspace
    paths = [Path(text.removeprefix("@")) for text in config.configs]
    jobs = [TrainJob(workspace, path, setup=config.setup, python=config.python) for path in paths]
    if not jobs:
        raise UsageError("no training config; usage: afs cloud launch vast @train.toml")
    for job in jobs:
        job.check()
    pace = Pace(poll_s=config.poll_s, pull_s=config.pull_s)
    site = open_site(workspace, config.provider, run, pace=pace, stopping=lambda: _is_stopping(run))
    for row in _reap_first(site):
        if row.action in ("destroyed", "STILL BILLED"):
            run.event("notice", text=f"{row.action}: {row.label}: {row.why}")
    need = _need(config, sum(job.gigabytes() for job in jobs))
    offers = rank(site.provider.offers(need), need)
    if not config.yes:
        return _plan(config, offers, need, len(jobs))
    session = _LaunchSession(
        secrets.token_hex(4), site, need, Caps(config.max_usd_hour, config.max_usd, config.hours), offers
    )
    with ThreadPoolExecutor(len(jobs)) as threads:
        outcomes = list(threads.map(lambda pair: _drive(session, config, *pair), enumerate(jobs)))
    return _result(session, jobs, outcomes)


def _reap_first(site: Site) -> list[ReapRow]:
    """What earlier launches left; a provider that answers nonsense twice is not rented from."""
    try:
        return reap_provider(site)
    except ProviderError:
        site.sleep(site.pace.poll_s)
        return reap_provider(site)


def _is_stopping(run: Run) -> bool:
    try:
        run.check_stop()
    except StoppedError:
        return True
    return False


def _plan(config: LaunchConfig, offers: Sequence[Offer], need: Need, jobs: int) -> OfferTable:
    """What would be rented, and the most it can cost."""
    rate = sum(one.usd_hour + one.storage_usd_hour for one in offers[:jobs])
    worst = rate * config.hours
    capped = min(worst, config.max_usd) if config.max_usd else worst
    note = (
        f"{jobs} job(s), at most ${capped:.2f} ({config.hours:g} h at ${rate:.3f}/h); nothing is rented yet: add --yes"
    )
    if config.provider in PAID:
        note += "\nCredit paid in advance without automatic payments is the only cap on the provider's side: set it so."
    totals = tuple(total_usd(one, need) for one in offers)
    return OfferTable(offers=tuple(offers), totals=totals, note=note)


def _drive(session: _LaunchSession, config: LaunchConfig, number: int, job: TrainJob) -> JobOutcome | AfsError:
    driver = JobDriver(session.site, job, session.need, session.caps, session.id, config.image)
    turned = session.offers[number:] + session.offers[:number]  # jobs begin with different offers
    try:
        return driver.run(turned, config.tries)
    except AfsError as error:
        return error


def _result(
    session: _LaunchSession, jobs: Sequence[TrainJob], outcomes: Sequence[JobOutcome | AfsError]
) -> LaunchResult:
    lines, failed = [], False
    for job, outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, AfsError):
            lines.append(f"{job.name}: {outcome}")
            failed = True
            continue
        made = ", ".join(outcome.result.models) or "no new model"
        state = "done" if outcome.exit == 0 else f"`afs train` ended with {outcome.exit}; see `afs cloud logs`"
        lines.append(f"{job.name}: {state}; {made}; {outcome.machines} machine(s)")
        lines += [f"  kept beside, since its place is taken: {path}" for path in outcome.result.beside]
        failed = failed or outcome.exit != 0
    mine = session.site.ledger.of_session(session.id)
    usd = sum_costs(mine, session.site.clock()).billed
    still = tuple(one.label for one in mine if one.gone is None)
    return LaunchResult(session=session.id, lines=tuple(lines), usd=usd, still_billed=still, failed=failed)
