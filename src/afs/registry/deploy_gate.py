"""Whether a model may be deployed: as for a promotion, a passing gate, or a reason that is recorded."""

from __future__ import annotations

from afs.errors import RefusedError
from afs.registry import Registry
from afs.registry.lineage import ancestry
from afs.registry.log_check import read_trusted
from afs.registry.promotion_gate import find_newest_gate, refuse_unless_passed
from afs.registry.registry_state import Version, fold_events
from afs.types import Artifact
from afs.workspace import Workspace

HOSTS = ("llama", "lmstudio", "ollama")
"""Targets of `afs ship` that run a model for others; the other targets only write files."""


def refuse_ungated(workspace: Workspace, model: Artifact, reason: str) -> None:
    """Raise unless the model, or one it was converted from, is a champion or has passed its gate."""
    if reason or not (model.base or model.dataset or model.parents):
        return  # a base was not trained here: there is nothing to compare it with
    registry = Registry(workspace)
    events = read_trusted(registry.log)
    champions = {entry.aliases.get("champion") for entry in fold_events(events).values()}
    forms, _ = ancestry(workspace, model)
    refusals = []
    for one in forms:
        if one.ref in champions:
            return
        report = find_newest_gate(workspace, one.ref, events)
        if report is not None:
            try:
                refuse_unless_passed(report, Version(ref=one.ref, digest=one.digest, form=one.form), events)
                return
            except RefusedError as error:
                refusals.append(str(error))
    why = refusals[0] if refusals else f"{model.ref} has no gate report and is no champion; run `afs eval gate`"
    raise RefusedError(f"not deployed: {why} (or give a --reason, which is recorded in the registry)")
