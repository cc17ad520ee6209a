"""Maintenance of stored models: verify every hash, and remove what nothing refers to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import ClassVar

from afs import artifacts, manifests
from afs.config import Config
from afs.errors import DataError, RefusedError, UsageError
from afs.registry import Registry, snapshot
from afs.registry.event_log import chain_problems
from afs.registry.lineage import ancestry, list_artifacts
from afs.registry.registry_state import Entry, fold_events
from afs.registry.toml_view import read_head
from afs.types import Artifact, Ref, Value
from afs.workspace import Workspace


class Integrity(Value, frozen=True, kw_only=True):
    """The result of `afs models verify`."""

    events: int
    models: int
    files: int
    bytes: int
    problems: tuple[str, ...] = ()


class ModelsVerifyConfig(Config, frozen=True, kw_only=True):
    """Check the registry's event chain and re-hash every stored model."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str = ""
    """Only this registered name or artifact; empty: all."""


def verify(config: ModelsVerifyConfig, workspace: Workspace) -> Integrity:
    """Check everything; raises an error that lists all problems."""
    registry = Registry(workspace)
    events = registry.log.read()
    found = list(_chain(registry)) + list(_entries(registry))
    models = [registry.resolve(config.name)] if config.name else list(list_artifacts(workspace))
    for model in models:
        found += manifests.verify_files(artifacts.folder_of(workspace, model), model.files)
    entries = [entry for model in models for entry in model.files]
    size = sum(entry.size for entry in entries)
    made = Integrity(events=len(events), models=len(models), files=len(entries), bytes=size, problems=tuple(found))
    if found:
        listing = "\n  ".join(found)
        raise RefusedError(f"{len(found)} problems in {len(models)} models:\n  {listing}")
    return made


def _chain(registry: Registry) -> Iterator[str]:
    events = registry.log.read()
    yield from chain_problems(events)
    yield from filter(None, [snapshot.find_problem(registry.log)])
    rendered = registry.workspace.root / "registry.toml"
    if not rendered.is_file():
        return
    number, head = read_head(rendered)
    if number > len(events):
        yield f"registry.toml was rendered at event {number}, the log has {len(events)}: the log was truncated"
    elif number and events[number - 1].hash != head:
        yield f"registry.toml was rendered from a different event {number}: the log was replaced"


def _entries(registry: Registry) -> Iterator[str]:
    for entry in fold_events(registry.log.read()).values():
        for version in entry.versions:
            try:
                artifact = artifacts.load(registry.workspace, version.ref)
            except (UsageError, DataError) as error:
                yield f"{entry.name}: {version.ref} is registered but not stored ({error})"
                continue
            if artifact.digest != version.digest:
                yield f"{entry.name}: {version.ref} differs from what was registered (its digest changed)"


class GcRow(Value, frozen=True, kw_only=True):
    """A model that nothing refers to."""

    model: str
    bytes: int
    registered: tuple[str, ...] = ()
    removed: bool = False


class GcConfig(Config, frozen=True, kw_only=True):
    """Remove models with no alias, no deployment and no descendant that are not among the newest."""

    keep: int = 2
    """Newest versions of each name that are always kept."""
    unregistered: bool = False
    """Also remove models that were never registered."""
    dry_run: bool = False
    """Only list what would be removed."""


def gc(config: GcConfig, workspace: Workspace) -> list[GcRow]:
    """Remove unreachable models; the registry records the removal."""
    if config.keep < 1:
        raise UsageError("--keep: want at least 1; a name's newest version is always kept")
    registry = Registry(workspace)
    with registry.log.writing():
        entries = registry.entries()
        kept = reachable_refs(registry, config.keep)
        names_of = names_by_ref(entries)
        rows = []
        for model in list_artifacts(workspace):
            names = names_of.get(model.ref, [])
            if model.ref in kept or (not names and not config.unregistered):
                continue
            if not config.dry_run:
                _remove(registry, model, names)
            size = sum(entry.size for entry in model.files)
            rows.append(GcRow(model=model.ref, bytes=size, registered=tuple(names), removed=not config.dry_run))
    return rows


def names_by_ref(entries: dict[str, Entry]) -> dict[str, list[str]]:
    """Artifact -> the names it is registered under."""
    found: dict[str, list[str]] = {}
    for entry in entries.values():
        for version in entry.versions:
            found.setdefault(version.ref, []).append(entry.name)
    return found


def reachable_refs(registry: Registry, keep: int) -> set[str]:
    """Every artifact that an alias, a deployment or a newest version needs, with all ancestors."""
    roots: set[str] = set()
    for entry in registry.entries().values():
        roots |= set(entry.aliases.values())
        roots |= {str(row[key]) for row in entry.deployments.values() for key in ("ref", "made") if row.get(key)}
        roots |= {version.ref for version in entry.versions[-keep:]}
    for name in registry.workspace.names("artifact"):
        roots.add(f"{name}@{registry.workspace.versions('artifact', name)[-1]}")
    kept: set[str] = set()
    for ref in roots:
        try:
            models, _ = ancestry(registry.workspace, artifacts.load(registry.workspace, ref))
        except (UsageError, DataError):
            continue
        kept |= {model.ref for model in models}
    return kept


def _remove(registry: Registry, model: Artifact, names: list[str]) -> None:
    """Record the removal, hide the folder in one rename, then delete it."""
    for name in names:
        registry.log.append("delete", name, model.ref)
    folder = registry.workspace.path(Ref.parse(model.ref, "artifact"))
    hidden = folder.with_name(f".staged-gc-{folder.name}")
    folder.rename(hidden)
    shutil.rmtree(hidden)
    for name in names:
        registry.refresh(name)
