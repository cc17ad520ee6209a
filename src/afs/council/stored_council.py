"""A council as a registered artifact: its experts by exact version and digest, its router, its settings.

Evaluated, gated, promoted and rolled back like any model; while it answers, a new champion of a member changes nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from afs import artifacts, jsonl
from afs.errors import DataError, WorkspaceError
from afs.registry import Registry
from afs.types import Artifact, Expert, Value
from afs.workspace import CouncilSettings, Workspace

FILE: Final = "council.json"
FORM: Final = "council"


class StoredMember(Value, frozen=True, kw_only=True):
    """An expert whose model is an exact version."""

    expert: Expert
    digest: str
    """Of the model's files."""


class StoredCouncil(Value, frozen=True, kw_only=True):
    """What a council is made of."""

    schema: int = 1
    members: tuple[StoredMember, ...]
    settings: CouncilSettings
    """With the router by its exact version."""


def pin_council(workspace: Workspace) -> StoredCouncil:
    """Today's council: each champion by its exact version."""
    registry, settings = Registry(workspace), workspace.settings.council
    experts = list_members(workspace, registry)
    if not experts:
        raise WorkspaceError("no expert is registered: there is no council to store")
    members = []
    for expert in experts:
        artifact = artifacts.load(workspace, expert.model)
        members.append(StoredMember(expert=msgspec.structs.replace(expert, model=artifact.ref), digest=artifact.digest))
    router = settings.router
    if router and not router.startswith("keywords:"):
        router = artifacts.load(workspace, router).ref
    return StoredCouncil(members=tuple(members), settings=msgspec.structs.replace(settings, router=router, use=""))


def list_members(workspace: Workspace, registry: Registry) -> list[Expert]:
    """The registered experts of the settings; routers and councils are registered too, but answer nothing."""
    wanted = workspace.settings.council.experts
    chosen = [expert for expert in registry.experts() if not wanted or expert.name in wanted]
    return [one for one in chosen if artifacts.load(workspace, one.model).form not in (FORM, "router")]


def store_council(workspace: Workspace, name: str, council: StoredCouncil, run: str = "") -> Artifact:
    """Store it; the parents are its members and its router."""
    parents = [member.expert.model for member in council.members]
    parents += [council.settings.router] if "@" in council.settings.router else []
    with artifacts.store_artifact(workspace, name, form=FORM, parents=tuple(parents), run=run) as pending:
        jsonl.replace(pending.folder / FILE, msgspec.json.format(msgspec.json.encode(council), indent=2))
        pending.facts |= {
            "experts": [member.expert.name for member in council.members],
            "router": council.settings.router,
        }
    return pending.artifact


def load_council(workspace: Workspace, name: str) -> tuple[Artifact, StoredCouncil]:
    """A stored council by a registered name or its version; members whose files changed are refused."""
    artifact = Registry(workspace).resolve(name)
    if artifact.form != FORM:
        raise WorkspaceError(f"{artifact.ref} is a {artifact.form}, not a council")
    path = artifacts.checked_folder(workspace, artifact) / FILE
    try:
        council = msgspec.json.decode(path.read_bytes(), type=StoredCouncil)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a council ({error})") from error
    for member in council.members:
        if artifacts.load(workspace, member.expert.model).digest != member.digest:
            raise DataError(f"{artifact.ref}: {member.expert.model} is no longer the model that was stored")
    return artifact, council
