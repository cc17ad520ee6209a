"""Backup and restore: every file the registry refers to, copied once and checked by its hash; the index comes last."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import msgspec

from afs import artifacts, datasets, jsonl
from afs.config import Config
from afs.errors import DataError, UsageError
from afs.manifests import (
    file_entry,
    file_sha256,
    listed_files,
    other_entries,
    read_manifest,
    refuse_outside,
    refuse_schema,
)
from afs.plugins import suggest_name
from afs.registry import Registry, remote_copy
from afs.registry.lineage import ancestry, data_ancestry
from afs.registry.log_check import change_registry
from afs.registry.promotion_gate import load_report
from afs.registry.registry_state import Entry
from afs.types import Artifact, Dataset, FileEntry, Ref, RefKind, Value
from afs.workspace import FOLDER_OF, MANIFEST, Workspace

INDEX = "backup.json"
_KINDS: tuple[RefKind, ...] = ("records", "dataset", "artifact")
_ROOT_FILES = ("afs.toml", "providers.toml", "nodes.toml", "registry.toml", "events/registry.jsonl")


class Backup(Value, frozen=True, kw_only=True):
    """The file `backup.json`, written last."""

    schema: int = 1
    head: str
    """Hash of the registry's last event."""
    files: tuple[FileEntry, ...]
    copied: int = 0
    """Files copied by this run."""


class BackupConfig(Config, frozen=True, kw_only=True):
    """Back up the registry, all its names refer to, and what else is named into a folder, and from there elsewhere."""

    positional: ClassVar[tuple[str, ...]] = ("folder",)
    folder: Path
    """Folder of the backup; files already in it are not copied again."""
    also: tuple[str, ...] = ()
    """Records, datasets and models that nothing registered refers to, such as `clean` or `raw@2`; `all`: every one."""
    remote: str = ""
    """rclone remote to copy the folder to, e.g. `drive:afs`; every file is compared with its copy."""
    scp: str = ""
    """Machine to copy the folder to by scp, e.g. `box:backups`, or a Windows one: `me@pc:D:\\afs`."""


class RestoreConfig(Config, frozen=True, kw_only=True):
    """Restore a backup into this workspace, which must have no registry of its own."""

    positional: ClassVar[tuple[str, ...]] = ("folder",)
    folder: Path
    """Folder of the backup."""
    remote: str = ""
    """rclone remote that is copied into the folder first, e.g. `drive:afs`."""


def backup(config: BackupConfig, workspace: Workspace) -> Backup:
    """Copy new files; every copy is read back and compared."""
    registry = Registry(workspace)
    if config.scp:
        remote_copy.scp_target(config.scp)
    with change_registry(registry.log) as events:
        found = {entry.path: entry for entry in list_files(workspace, config.also)}
        wanted = list(found.values())
        copied = sum(_copy(workspace.root, config.folder, entry) for entry in wanted)
        index = Backup(head=events[-1].hash if events else "", files=tuple(wanted), copied=copied)
        jsonl.replace(config.folder / INDEX, msgspec.json.encode(index))
    if config.remote:
        remote_copy.push(config.folder, config.remote, INDEX)
    if config.scp:
        remote_copy.send(config.folder, config.scp)
    return index


def list_files(workspace: Workspace, also: Iterable[str] = ()) -> Iterator[FileEntry]:
    """Every file a backup needs, relative to the workspace, with its hash."""
    for name in _ROOT_FILES:
        if (workspace.root / name).is_file():
            yield file_entry(workspace.root, workspace.root / name)
    for folder, entries in (*_folders(workspace), *_unregistered(workspace, also)):
        inside = folder.relative_to(workspace.root)
        yield file_entry(workspace.root, folder / MANIFEST)
        for entry in entries:
            yield msgspec.structs.replace(entry, path=str(inside / entry.path), count=0)


def _folders(workspace: Workspace) -> Iterator[tuple[Path, tuple[FileEntry, ...]]]:
    """Every registered model with its ancestors, their training data, and the reports named in the registry."""
    registry = Registry(workspace)
    entries = registry.entries().values()
    models: dict[str, Artifact] = {}
    for entry in entries:
        for version in entry.versions:
            found, _ = ancestry(workspace, artifacts.load(workspace, version.ref))
            models |= {model.ref: model for model in found}
    for model in models.values():
        yield artifacts.folder_of(workspace, model), model.files
    sets, _ = data_ancestry(workspace, [model.dataset for model in models.values()])
    for found_set in sets:
        folder = datasets.folder_of(workspace, found_set)
        listed = tuple(listed_files(found_set))
        yield folder, (*listed, *_unlisted(folder, listed))
    yield from _reports(workspace, entries)


def _unregistered(workspace: Workspace, also: Iterable[str]) -> Iterator[tuple[Path, tuple[FileEntry, ...]]]:
    """Records, datasets and models by their names: all versions, or the one that is named."""
    for text in _expand(workspace, also):
        name, _, version = text.partition("@")
        for kind in _KINDS:
            for number in workspace.versions(kind, name):
                if version in ("", str(number)):
                    place = workspace.path(Ref(kind=kind, name=name, version=number))
                    listed = tuple(_list_stored(place / MANIFEST, kind))
                    yield place, (*listed, *_unlisted(place, listed))


def _list_stored(manifest: Path, kind: RefKind) -> Iterator[FileEntry]:
    if kind == "artifact":
        return listed_files(read_manifest(manifest, Artifact))
    return listed_files(read_manifest(manifest, Dataset))


def _expand(workspace: Workspace, also: Iterable[str]) -> Iterator[str]:
    """The names meant; one that names nothing is an error before anything is copied."""
    known = {name for kind in _KINDS for name in workspace.names(kind)}
    for text in also:
        if text == "all":
            yield from sorted(known)
            continue
        name, at, version = text.partition("@")
        stored = [str(number) for kind in _KINDS for number in workspace.versions(kind, name)]
        if name not in known or (at and version not in stored):
            raise UsageError(f"nothing stored is called {text!r}{suggest_name(name, known - {name})}")
        yield text


def _reports(workspace: Workspace, entries: Iterable[Entry]) -> Iterator[tuple[Path, tuple[FileEntry, ...]]]:
    refs = [ref for entry in entries for version in entry.versions for ref in version.reports]
    for ref in dict.fromkeys(refs):
        folder = workspace.path(workspace.resolve(ref, "report"))
        listed = tuple(listed_files(load_report(workspace, ref)))
        yield folder, (*listed, *_unlisted(folder, listed))


def _unlisted(folder: Path, listed: tuple[FileEntry, ...]) -> Iterator[FileEntry]:
    """Files that manifests of earlier versions do not list."""
    yield from (entry for entry in other_entries(folder, listed) if entry.path != MANIFEST)


def _copy(source: Path, target: Path, entry: FileEntry) -> bool:
    """Copy one file unless an identical one exists; a copy that does not match its hash is an error."""
    goal = target / entry.path
    if goal.is_file() and goal.stat().st_size == entry.size and file_sha256(goal) == entry.sha256:
        return False
    goal.parent.mkdir(parents=True, exist_ok=True)
    beside = goal.with_name(f".{goal.name}.part")
    try:
        shutil.copyfile(source / entry.path, beside)
        if file_sha256(beside) != entry.sha256:
            raise DataError(f"{source / entry.path}: content does not match its hash; run `afs models verify`")
        beside.replace(goal)
    except OSError as error:
        raise DataError(f"{goal}: cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return True


def restore(config: RestoreConfig, workspace: Workspace) -> Backup:
    """Copy a backup into an empty workspace; every file is checked, and the registry is copied last."""
    if config.remote:
        remote_copy.pull(config.remote, config.folder)
    try:
        content = (config.folder / INDEX).read_bytes()
        refuse_schema(content, str(config.folder / INDEX))
        index = msgspec.json.decode(content, type=Backup)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{config.folder}: not a complete backup ({error})") from error
    for entry in index.files:
        _refuse_foreign_path(config.folder, entry)
    registry = Registry(workspace)
    past = registry.log.read()
    if past and past[-1].hash != index.head:
        raise UsageError(f"{workspace.root} already has a registry; restore into a new workspace: afs init DIR")
    last = ("registry.toml", "events/registry.jsonl")
    ordered = sorted(index.files, key=lambda entry: (entry.path in last, entry.path))
    with registry.log.locked():
        copied = sum(_copy(config.folder, workspace.root, entry) for entry in ordered)
    return msgspec.structs.replace(index, copied=copied)


def _refuse_foreign_path(folder: Path, entry: FileEntry) -> None:
    """Raise for what no backup holds: a path out of the workspace, an unknown folder, a link."""
    refuse_outside(entry.path, str(folder / INDEX))
    if entry.path not in _ROOT_FILES and Path(entry.path).parts[0] not in FOLDER_OF.values():
        raise DataError(f"{folder / INDEX}: lists {entry.path!r}, which no backup holds")
    place = folder / entry.path
    if any(part.is_symlink() for part in (place, *place.parents) if folder in part.parents or part == place):
        raise DataError(f"{place}: a link; a backup holds files only")
