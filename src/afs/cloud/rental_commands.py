"""`afs cloud list`, `logs`, `pull`, `destroy`, `reap` and `costs`: what was rented, and its end."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

from afs.cloud.job import pull_runs
from afs.cloud.launch import end_machine, job_folder
from afs.cloud.ledger import Ledger, Rental, RentalCosts, costs_by
from afs.cloud.reap import ReapRow, reap_provider
from afs.cloud.settings import PAID, find_key, load_settings, open_site
from afs.config import Config
from afs.errors import AfsError, ProviderError, RefusedError, UsageError
from afs.types import Value
from afs.workspace import Workspace


class CloudListConfig(Config, frozen=True, kw_only=True):
    """Show what runs or may still be billed, with its cost so far."""

    all: bool = False
    """Show ended machines too."""


class RentalTable(Value, frozen=True, kw_only=True):
    """Machines of the ledger."""

    rentals: tuple[Rental, ...]
    now: float

    def text(self) -> str:
        """A line per machine, then the sum by the hour."""
        rows = []
        for one in self.rentals:
            state = "gone" if one.gone else "running" if one.running else "starting"
            left = max(0.0, one.deadline - self.now) / 3600
            rows.append(
                f"{state:<9}{one.usd_hour:6.3f} $/h  ${one.cost_usd(self.now):7.2f}  {left:5.1f} h left  "
                f"{one.job:<20} {one.gpu:<22} {one.provider} {one.machine} {one.label}"
            )
        rate = sum(one.usd_hour for one in self.rentals if one.gone is None)
        return "\n".join([*rows, f"${rate:.3f}/h in all" if rows else "nothing is rented"])


def cloud_list(config: CloudListConfig, workspace: Workspace) -> RentalTable:
    """Read the ledger; the providers are asked by `reap`."""
    ledger = Ledger(job_folder(workspace.root))
    found = ledger.rentals().values() if config.all else ledger.open_rentals()
    return RentalTable(rentals=tuple(found), now=time.time())


class CloudLabelConfig(Config, frozen=True, kw_only=True):
    """Name a machine by its label, or by the beginning of it."""

    positional: ClassVar[tuple[str, ...]] = ("label",)
    label: str
    """Label as `afs cloud list` shows it."""


def _find(workspace: Workspace, text: str) -> Rental:
    known = Ledger(job_folder(workspace.root)).rentals()
    hits = [one for label, one in known.items() if label.startswith(text) or one.job == text]
    open_ones = [one for one in hits if one.gone is None] or hits
    if len(open_ones) != 1:
        raise UsageError(f"{len(open_ones)} machines are called {text!r}; see `afs cloud list --all`")
    return open_ones[0]


def cloud_logs(config: CloudLabelConfig, workspace: Workspace) -> str:
    """What the machine printed."""
    rental = _find(workspace, config.label)
    return open_site(workspace, rental.provider, workspace.log).provider.logs(rental.machine)


def cloud_pull(config: CloudLabelConfig, workspace: Workspace) -> str:
    """Copy events and checkpoints here now."""
    rental = _find(workspace, config.label)
    site = open_site(workspace, rental.provider, workspace.log)
    machine = site.provider.get(rental.machine)
    if machine is None or machine.ssh is None:
        raise ProviderError(f"{rental.label} cannot be reached; see `afs cloud list`")
    fetched = pull_runs(workspace, site.connect(machine.ssh))
    return f"{len(fetched.files)} files fetched, {len(fetched.changing)} still being written"


class ReapConfig(Config, frozen=True, kw_only=True):
    """Compare the providers with the ledger, and destroy what nobody looks after."""

    timer: bool = False
    """Print a systemd timer that does this every ten minutes, and do nothing."""


class ReapResult(Value, frozen=True, kw_only=True):
    """What was found."""

    rows: tuple[tuple[str, ...], ...]
    problems: tuple[str, ...] = ()
    unit: str = ""

    @property
    def exit_code(self) -> int:
        """1 when something may still be billed, or a provider did not answer."""
        return 1 if self.problems or any(row[4] == "STILL BILLED" for row in self.rows) else 0

    def text(self) -> str:
        """A line per machine and volume."""
        if self.unit:
            return self.unit
        rows = [f"{row[4]:<14}{row[0]} {row[1]} {row[2]} ({row[3]}): {row[5]}" for row in self.rows]
        return "\n".join([*(rows or ["nothing is rented"]), *self.problems])


_TIMER = """# ~/.config/systemd/user/afs-reap.service
[Service]
Type=oneshot
EnvironmentFile=%h/.config/afs-keys
ExecStart=afs cloud reap --workspace {root}

# ~/.config/systemd/user/afs-reap.timer     systemctl --user enable --now afs-reap.timer
[Timer]
OnCalendar=*:0/10
Persistent=true

[Install]
WantedBy=timers.target
"""


def cloud_reap(config: ReapConfig, workspace: Workspace) -> ReapResult:
    """Every provider whose key is at hand, and every one with an open rental."""
    if config.timer:
        return ReapResult(rows=(), unit=_TIMER.format(root=workspace.root.resolve()))
    settings, ledger = load_settings(workspace), Ledger(job_folder(workspace.root))
    names = {one.provider for one in ledger.open_rentals()} | {name for name in PAID if find_key(settings, name)}
    rows: list[ReapRow] = []
    problems = []
    for name in sorted(names):
        try:
            rows += reap_provider(open_site(workspace, name, workspace.log))
        except AfsError as error:
            problems.append(f"{name}: {error}; what it has rented is unknown")
    return ReapResult(rows=tuple(tuple(map(str, row)) for row in rows), problems=tuple(problems))


class DestroyConfig(CloudLabelConfig, frozen=True, kw_only=True):
    """Destroy one machine; its last checkpoint that was pulled stays here."""


def cloud_destroy(config: DestroyConfig, workspace: Workspace) -> str:
    """End it, and look until it is gone."""
    rental = _find(workspace, config.label)
    if not end_machine(open_site(workspace, rental.provider, workspace.log), rental.label):
        raise RefusedError(f"{rental.label} may still be billed; run `afs cloud reap`, or use the provider's web page")
    return f"{rental.label} is gone"


class CostsConfig(Config, frozen=True, kw_only=True):
    """What rented machines have cost: by the hour, and as billed where the provider says so."""

    by: Literal["job", "session", "provider"] = "job"
    """One line for each of these."""


class CostTable(Value, frozen=True, kw_only=True):
    """Dollars by name."""

    rows: dict[str, RentalCosts]

    def text(self) -> str:
        """Computed and billed."""
        lines = [f"{name:<24} computed ${own:8.2f}  billed ${billed:8.2f}" for name, (own, billed) in self.rows.items()]
        return "\n".join(lines) if lines else "nothing was rented"


def cloud_costs(config: CostsConfig, workspace: Workspace) -> CostTable:
    """Sum up the ledger."""
    ledger = Ledger(job_folder(workspace.root))
    return CostTable(rows=costs_by(ledger.rentals().values(), config.by, time.time()))
