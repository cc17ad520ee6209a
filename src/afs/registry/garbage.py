"""`afs models gc`: remove stored models that nothing refers to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator

from afs import artifacts, runs
from afs.config import Config
from afs.errors import DataError, UsageError
from afs.registry import Registry
from afs.registry.lineage import ancestry, list_artifacts
from afs.registry.log_check import change_registry
from afs.registry.registry_state import Entry
from afs.types import Artifact, Ref, Value
from afs.workspace import Workspace

_HIDDEN = ".staged-gc-"
_REF = re.compile(r"(?:^|[:/,\s])([A-Za-z0-9][A-Za-z0-9._-]*)(?:@(\d+))?")


class GcRow(Value, frozen=True, kw_only=True):
    """A model that nothing refers to."""

    model: str
    bytes: int
    registered: tuple[str, ...] = ()
    removed: bool = False


class GcConfig(Config, frozen=True, kw_only=True):
    """Remove models with no alias, no deployment, no descendant and no unfinished run that are not among the newest."""

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
    with change_registry(registry.log):
        if not config.dry_run:
            _finish_killed_run(registry)
        names_of = names_by_ref(registry.entries())
        rows = []
        for model in _removable(registry, config, names_of):
            names = names_of.get(model.ref, [])
            if not config.dry_run:
                _remove(registry, model, names)
            size = sum(entry.size for entry in model.files)
            rows.append(GcRow(model=model.ref, bytes=size, registered=tuple(names), removed=not config.dry_run))
    return rows


def _finish_killed_run(registry: Registry) -> None:
    """Delete folders that were hidden but not deleted, and render removals that were recorded but not rendered."""
    for hidden in registry.workspace.folder("artifact").glob(f"*/{_HIDDEN}*"):
        shutil.rmtree(hidden)
    registry.refresh_stale()


def names_by_ref(entries: dict[str, Entry]) -> dict[str, list[str]]:
    """Artifact -> the names it is registered under."""
    found: dict[str, list[str]] = {}
    for entry in entries.values():
        for version in entry.versions:
            found.setdefault(version.ref, []).append(entry.name)
    return found


def _removable(registry: Registry, config: GcConfig, names_of: dict[str, list[str]]) -> list[Artifact]:
    """Models to remove: unreachable ones that no model that stays descends from."""
    kept = reachable_refs(registry, config.keep)
    removed_before = {ref for entry in registry.entries().values() for ref in entry.deleted}
    models = list(list_artifacts(registry.workspace))
    chosen = {
        model.ref
        for model in models
        if model.ref not in kept and (model.ref in names_of or model.ref in removed_before or config.unregistered)
    }
    chosen -= _with_ancestors(registry.workspace, (model.ref for model in models if model.ref not in chosen))
    return [model for model in models if model.ref in chosen]


def reachable_refs(registry: Registry, keep: int) -> set[str]:
    """Every artifact that an alias, a deployment, an unfinished run or a newest version needs, with all ancestors."""
    roots: set[str] = set(_refs_of_unfinished_runs(registry.workspace))
    for entry in registry.entries().values():
        roots |= set(entry.aliases.values())
        roots |= {str(row[key]) for row in entry.deployments.values() for key in ("ref", "made") if row.get(key)}
        roots |= {version.ref for version in entry.versions[-keep:]}
    for name in registry.workspace.names("artifact"):
        roots.add(f"{name}@{registry.workspace.versions('artifact', name)[-1]}")
    return _with_ancestors(registry.workspace, roots)


def _with_ancestors(workspace: Workspace, refs: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for ref in refs:
        try:
            models, _ = ancestry(workspace, artifacts.load(workspace, ref))
        except (UsageError, DataError):
            continue
        found |= {model.ref for model in models}
    return found


def _refs_of_unfinished_runs(workspace: Workspace) -> Iterator[str]:
    """Models named anywhere in the config of a run that is running or can be resumed; a bare name: all its versions."""
    stored = set(workspace.names("artifact"))
    for run in runs.list_runs(workspace):
        if run.state.status == "done":
            continue
        for text in _texts(run.config):
            for name, version in _REF.findall(text):
                if name in stored:
                    versions = [int(version)] if version else workspace.versions("artifact", name)
                    yield from (f"{name}@{number}" for number in versions)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _remove(registry: Registry, model: Artifact, names: list[str]) -> None:
    """Record the removal, hide the folder in one rename, then delete it."""
    for name in names:
        registry.log.append("delete", name, model.ref)
    folder = registry.workspace.path(Ref.parse(model.ref, "artifact"))
    hidden = folder.with_name(f"{_HIDDEN}{folder.name}")
    folder.rename(hidden)
    shutil.rmtree(hidden)
    for name in names:
        registry.refresh(name)
