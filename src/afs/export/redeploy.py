"""After a rollback: the champion again wherever its name is deployed, in the same way and with its smoke test."""

from __future__ import annotations

from afs import runs
from afs.config import decode
from afs.errors import AfsError
from afs.export import ShipConfig, ship
from afs.registry.registry_state import Entry
from afs.workspace import Workspace


def redeploy(workspace: Workspace, entry: Entry) -> None:
    """Deploy the champion on every host of the name; failures are reported after all were tried."""
    problems = []
    for host, row in entry.deployments.items():
        options = row.get("options")
        table = dict(options) if isinstance(options, dict) else {}
        config = decode(ShipConfig, {**table, "to": host, "artifact": f"{entry.name}:champion"}, prefix=host)
        try:
            with runs.open_run(workspace, "ship", config, salt={"champion": entry.aliases["champion"]}) as run:
                ship(config, run)
        except AfsError as error:
            problems.append(f"{host}: {error}")
    if problems:
        said = "\n  ".join(problems)
        raise AfsError(f"{entry.name} is {entry.aliases['champion']} again, but not everywhere:\n  {said}")
