"""Machines of one's own: this one (`local`) and what ssh reaches (`ssh`). They cost nothing, and destroying them only
ends the job's folder."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from afs.cloud.job import HOME
from afs.cloud.machine_provider import Need, Offer, RentalOrder, RentedMachine, SshPlace, Volume
from afs.cloud.shells import LocalShell, Shell
from afs.config import Config
from afs.errors import ProviderError


class HostSettings(Config, frozen=True, kw_only=True):
    """A machine that ssh reaches: a table `[hosts.NAME]` in cloud.toml."""

    host: str
    """Name or address."""
    port: int = 22
    """Port of its sshd."""
    user: str = "root"
    """Who logs in; a key without a passphrase must open the door."""
    gpu: str = "unknown"
    """Its card."""
    gpu_gb: float = 0.0
    """Memory of the card; 0: not checked."""


class LocalMachines:
    """The provider `local`: jobs run on this machine, in folders of the workspace."""

    name = "local"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def offers(self, need: Need) -> list[Offer]:
        """This machine."""
        return [Offer(provider=self.name, id="here", gpu="this machine", gpu_gb=need.gpu_gb, usd_hour=0.0)]

    def create(self, order: RentalOrder) -> RentedMachine:
        """A folder."""
        (self.folder / order.label).mkdir(parents=True)
        return self._machine(order.label)

    def _machine(self, label: str) -> RentedMachine:
        place = SshPlace(host=str(self.folder / label))
        return RentedMachine(provider=self.name, id=label, label=label, state="running", said="running", ssh=place)

    def get(self, machine: str) -> RentedMachine | None:
        """None when its folder is gone."""
        return self._machine(machine) if (self.folder / machine).is_dir() else None

    def list(self) -> list[RentedMachine]:
        """Every folder."""
        return [self._machine(path.name) for path in sorted(self.folder.glob("*")) if path.is_dir()]

    def destroy(self, machine: str) -> None:
        """End the job and remove its folder."""
        pid = self.folder / machine / HOME / "pid"
        with suppress(OSError, ValueError):
            os.killpg(int(pid.read_text()), signal.SIGKILL)
        shutil.rmtree(self.folder / machine, ignore_errors=True)

    def logs(self, machine: str) -> str:
        """What the job printed."""
        path = self.folder / machine / HOME / "log.txt"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def volumes(self) -> Sequence[Volume]:
        """None."""
        return ()

    def bill(self, machine: str, since: float) -> float | None:
        """Nothing."""
        return 0.0

    def connect(self, place: SshPlace) -> Shell:
        """A shell in the folder."""
        return LocalShell(Path(place.host))


class SshMachines:
    """The provider `ssh`: hosts of one's own; a host holds one job at a time."""

    name = "ssh"

    def __init__(self, hosts: Mapping[str, HostSettings], connect: Callable[[SshPlace], Shell]) -> None:
        self.hosts, self.connect = hosts, connect

    def offers(self, need: Need) -> list[Offer]:
        """Hosts whose card is large enough and that hold no job."""
        busy = {machine.id for machine in self.list()}
        return [
            Offer(provider=self.name, id=name, gpu=host.gpu, gpu_gb=host.gpu_gb, usd_hour=0.0)
            for name, host in self.hosts.items()
            if (not host.gpu_gb or host.gpu_gb >= need.gpu_gb)
            and need.gpu.lower() in host.gpu.lower()
            and name not in busy
        ]

    def _shell(self, name: str) -> Shell:
        return self.connect(self._place(name))

    def _place(self, name: str) -> SshPlace:
        host = self.hosts[name]
        return SshPlace(host=host.host, port=host.port, user=host.user)

    def create(self, order: RentalOrder) -> RentedMachine:
        """Put the label into the job's folder there."""
        name = order.offer.id
        taken = f"mkdir -p {HOME} && (set -C; echo {order.label} > {HOME}/label) 2>/dev/null"
        if self._shell(name).run(taken).rc:
            raise ProviderError(f"{name} holds another job; see `afs cloud list`")
        return self._machine(name, order.label)

    def _machine(self, name: str, label: str) -> RentedMachine:
        place = self._place(name)
        return RentedMachine(provider=self.name, id=name, label=label, state="running", said="running", ssh=place)

    def get(self, machine: str) -> RentedMachine | None:
        """None when no job is there."""
        done = self._shell(machine).run(f"cat {HOME}/label 2>/dev/null || true")
        label = done.out.decode("utf-8", "replace").strip()
        return self._machine(machine, label) if label else None

    def list(self) -> list[RentedMachine]:
        """Hosts that hold a job; a host that does not answer is left out of offers by the error it raises later."""
        found = []
        for name in self.hosts:
            with suppress(ProviderError):
                found.append(self.get(name))
        return [one for one in found if one is not None]

    def destroy(self, machine: str) -> None:
        """End the job and remove its folder; the machine stays."""
        stop = f"kill -9 -$(cat {HOME}/pid 2>/dev/null) 2>/dev/null; rm -rf {HOME}"
        self._shell(machine).run(stop)

    def logs(self, machine: str) -> str:
        """What the job printed."""
        return self._shell(machine).run(f"cat {HOME}/log.txt 2>/dev/null || true").out.decode("utf-8", "replace")

    def volumes(self) -> Sequence[Volume]:
        """None."""
        return ()

    def bill(self, machine: str, since: float) -> float | None:
        """Nothing."""
        return 0.0
