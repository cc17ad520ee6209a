"""`afs models verify`: every hash that the registry depends on, and its chain of events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from afs import artifacts, datasets, manifests
from afs.config import Config
from afs.errors import DataError, RefusedError, UsageError
from afs.registry import Registry
from afs.registry.event_log import chain_problems
from afs.registry.lineage import ancestry, data_ancestry, list_artifacts
from afs.registry.log_check import rendered_problems
from afs.registry.promotion_gate import load_report
from afs.registry.registry_state import fold_events
from afs.types import Artifact, FileEntry, Value
from afs.workspace import Workspace


class Integrity(Value, frozen=True, kw_only=True):
    """The result of `afs models verify`."""

    events: int
    models: int
    datasets: int = 0
    reports: int = 0
    files: int
    bytes: int
    problems: tuple[str, ...] = ()


class ModelsVerifyConfig(Config, frozen=True, kw_only=True):
    """Check the registry's event chain, and re-hash stored models, their ancestors, training data and reports."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str = ""
    """Only this registered name or artifact, with everything it depends on; empty: all."""


def verify(config: ModelsVerifyConfig, workspace: Workspace) -> Integrity:
    """Check everything; raises an error that lists all problems."""
    registry = Registry(workspace)
    events = registry.log.read()
    found = [*chain_problems(events), *rendered_problems(registry.log, events)]
    found += _entry_problems(registry)
    models, missing = _models(registry, config.name)
    sets, lost = data_ancestry(workspace, dict.fromkeys(model.dataset for model in models if model.dataset))
    found += [f"{ref}: an ancestor, no longer stored" for ref in dict.fromkeys(missing)]
    found += [f"{ref}: training data, no longer readable" for ref in lost if "@" in ref]
    reports = [] if config.name else list(_report_refs(workspace))
    checked: list[FileEntry] = []
    places: list[tuple[Path, Iterable[FileEntry]]] = [
        *((artifacts.folder_of(workspace, model), model.files) for model in models),
        *((datasets.folder_of(workspace, one), manifests.listed_files(one)) for one in sets),
    ]
    for ref in reports:
        try:
            report = load_report(workspace, ref)
            places.append((workspace.path(workspace.resolve(ref, "report")), manifests.listed_files(report)))
        except DataError as error:
            found.append(str(error))
    for folder, entries in places:
        listed = list(entries)
        checked += listed
        found += manifests.verify_files(folder, listed)
    if found:
        listing = "\n  ".join(found)
        raise RefusedError(f"{len(found)} problems in {len(models)} models:\n  {listing}")
    return Integrity(
        events=len(events),
        models=len(models),
        datasets=len(sets),
        reports=len(reports),
        files=len(checked),
        bytes=sum(entry.size for entry in checked),
    )


def _models(registry: Registry, name: str) -> tuple[list[Artifact], list[str]]:
    """The models to check with their ancestors, and the ancestors that are missing."""
    roots = [registry.resolve(name)] if name else list(list_artifacts(registry.workspace))
    found: dict[str, Artifact] = {}
    missing: list[str] = []
    for root in roots:
        models, lost = ancestry(registry.workspace, root)
        found |= {model.ref: model for model in models}
        missing += [ref for ref in lost if "@" in ref]  # a hub id or a folder is not stored here
    return list(found.values()), missing


def _report_refs(workspace: Workspace) -> Iterator[str]:
    for name in workspace.names("report"):
        yield from (f"{name}@{version}" for version in workspace.versions("report", name))


def _entry_problems(registry: Registry) -> Iterator[str]:
    for entry in fold_events(registry.log.read()).values():
        for version in entry.versions:
            try:
                artifact = artifacts.load(registry.workspace, version.ref)
            except (UsageError, DataError) as error:
                yield f"{entry.name}: {version.ref} is registered but not stored ({error})"
                continue
            if artifact.digest != version.digest:
                yield f"{entry.name}: {version.ref} differs from what was registered (its digest changed)"
