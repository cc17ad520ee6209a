"""`cloud.toml` in the workspace: keys by the name of their variable, own hosts, and how a provider is opened."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import cast

from afs.cloud.launch import Pace, Site, job_folder
from afs.cloud.ledger import Ledger
from afs.cloud.machine_provider import MachineProvider, SshPlace
from afs.cloud.own_machines import HostSettings, LocalMachines, SshMachines
from afs.cloud.runpod import URL as RUNPOD_URL
from afs.cloud.runpod import Runpod
from afs.cloud.shells import Shell, SshShell
from afs.cloud.vast import URL as VAST_URL
from afs.cloud.vast import Vast
from afs.cloud.watchdog import onstart_script
from afs.config import Config, decode, load_toml
from afs.errors import MissingError, UsageError
from afs.events import EventLog
from afs.plugins import suggest_name
from afs.workspace import Workspace

DEFAULT_PACE = Pace()
PROVIDERS = ("local", "ssh", "vast", "runpod")
PAID = ("vast", "runpod")


class AccountSettings(Config, frozen=True, kw_only=True):
    """An account at a provider."""

    key: str = ""
    """Environment variable that holds the key; empty: VAST_API_KEY, RUNPOD_API_KEY."""
    url: str = ""
    """Another address of its interface."""


class CloudSettings(Config, frozen=True, kw_only=True):
    """The file `cloud.toml`."""

    vast: AccountSettings = AccountSettings()
    """The account at vast.ai."""
    runpod: AccountSettings = AccountSettings()
    """The account at RunPod."""
    hosts: dict[str, HostSettings] = {}
    """Machines of one's own, by name."""


def load_settings(workspace: Workspace) -> CloudSettings:
    """The settings; without a file, the defaults."""
    path = workspace.root / "cloud.toml"
    return decode(CloudSettings, load_toml(path), file=str(path)) if path.is_file() else CloudSettings()


def find_key(settings: CloudSettings, provider: str) -> str:
    """The account's key, or an empty text."""
    account = cast(AccountSettings, getattr(settings, provider))
    return os.environ.get(account.key or f"{provider.upper()}_API_KEY", "")


def open_site(
    workspace: Workspace,
    name: str,
    log: EventLog,
    *,
    pace: Pace = DEFAULT_PACE,
    stopping: Callable[[], bool] = lambda: False,
) -> Site:
    """Everything a launch at one provider works with."""
    if name not in PROVIDERS:
        raise UsageError(f"no provider of machines is called {name!r}{suggest_name(name, PROVIDERS)}")
    settings, folder = load_settings(workspace), job_folder(workspace.root)
    own_key = folder / "ssh_key" if name in PAID else None

    def connect(place: SshPlace) -> Shell:
        return SshShell(place, own_key, folder / "known_hosts")

    provider = _open_provider(settings, name, folder, connect)
    public = make_ssh_key(folder / "ssh_key") if own_key else ""
    url = {"vast": settings.vast.url or VAST_URL, "runpod": settings.runpod.url or RUNPOD_URL}.get(name, "")
    return Site(
        provider,
        Ledger(folder),
        log,
        provider.connect if isinstance(provider, LocalMachines) else connect,
        lambda deadline: onstart_script(name, url, public, deadline),
        public,
        pace,
        stopping=stopping,
    )


def _open_provider(
    settings: CloudSettings, name: str, folder: Path, connect: Callable[[SshPlace], Shell]
) -> MachineProvider:
    if name == "local":
        return LocalMachines(folder / "machines")
    if name == "ssh":
        if not settings.hosts:
            raise UsageError("no host of your own is named; add a table [hosts.NAME] with `host` to cloud.toml")
        return SshMachines(settings.hosts, connect)
    key = find_key(settings, name)
    if not key:
        variable = cast(AccountSettings, getattr(settings, name)).key or f"{name.upper()}_API_KEY"
        raise UsageError(f"{name} needs its key in the environment variable {variable}")
    url = cast(AccountSettings, getattr(settings, name)).url
    return Vast(key, url) if name == "vast" else Runpod(key, url)


def make_ssh_key(path: Path) -> str:
    """The public half of the workspace's key for rented machines; it is made when it is first needed."""
    if not path.is_file():
        if shutil.which("ssh-keygen") is None:
            raise MissingError("ssh is not installed here: apt install openssh-client")
        path.parent.mkdir(parents=True, exist_ok=True)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "afs", "-f", str(path)]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return path.with_name(path.name + ".pub").read_text().strip()
