"""Damage to the registry stops every change; a killed change recovers; what is needed is never removed."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from afs import artifacts, datasets, jsonl, manifests, runs
from afs.config import Config
from afs.errors import AfsError, DataError, RefusedError
from afs.registry import Registry, chain_problems
from afs.registry.backup import BackupConfig, RestoreConfig, backup, restore
from afs.registry.garbage import GcConfig, gc
from afs.registry.integrity import ModelsVerifyConfig, verify
from afs.registry.lineage import ancestry, data_ancestry
from afs.registry.registry_commands import PromoteConfig, promote
from afs.types import Artifact, Dataset, Dropped, FileEntry, Message, Origin, Record, Report
from afs.workspace import MANIFEST, Workspace

Store = Callable[..., Artifact]


class Training(Config, frozen=True, kw_only=True):
    """Something that names a model."""

    base: str = ""
    """A model."""


@pytest.fixture
def registry(workspace: Workspace, store: Store) -> Registry:
    registry = Registry(workspace)
    registry.register("din", store("din-lora").ref)
    registry.promote("din", reason="first")
    registry.register("nayru", store("nayru-lora").ref)
    return registry


def _truncated(content: bytes) -> bytes:
    return content.splitlines(keepends=True)[0]


def _changed(content: bytes) -> bytes:
    return content.replace(b'"first"', b'"worst"')


@pytest.mark.parametrize("damage", [_truncated, _changed, lambda content: b""])
def test_nothing_is_changed_on_a_damaged_log(
    registry: Registry, store: Store, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    log, extra = registry.log.path, store("din-lora", "2")
    store("loose", "1")
    log.write_bytes(damage(log.read_bytes()))
    before = log.read_bytes()
    changes: list[Callable[[], object]] = [
        lambda: registry.register("din", extra.ref),
        lambda: registry.promote("din", extra.ref, reason="r"),
        lambda: registry.describe("din", domain="snes"),
        lambda: registry.rollback("din"),
        lambda: registry.deprecate("din", "din-lora@1", "r"),
        lambda: gc(GcConfig(keep=1, unregistered=True), registry.workspace),
        lambda: backup(BackupConfig(folder=tmp_path / "b"), registry.workspace),
    ]
    for change in changes:
        with pytest.raises(DataError, match=r"log is damaged .*nothing was changed"):
            change()
    assert log.read_bytes() == before and artifacts.load(registry.workspace, "loose@1")


def test_a_promotion_killed_before_it_was_rendered_recovers(registry: Registry) -> None:
    rendered = registry.workspace.root / "registry.toml"
    stale = rendered.read_bytes()
    promote(PromoteConfig(name="nayru", reason="better"), registry.workspace)
    whole, log = rendered.read_bytes(), registry.log.path.read_bytes()
    rendered.write_bytes(stale)
    entry = promote(PromoteConfig(name="nayru", reason="better"), registry.workspace)
    assert entry.aliases == {"champion": "nayru-lora@1"}
    assert rendered.read_bytes() == whole and registry.log.path.read_bytes() == log


def test_an_event_of_a_newer_version_says_upgrade(registry: Registry) -> None:
    event = msgspec.structs.replace(registry.log.read()[-1], schema=2, number=99)
    jsonl.append(registry.log.path, [event])
    with pytest.raises(DataError, match=r"registry\.jsonl:\d+: written by a newer version .*upgrade with"):
        registry.entries()


def test_gc_keeps_the_base_of_an_unfinished_run(workspace: Workspace, store: Store) -> None:
    old, _ = store("tiny", "1", form="base"), store("tiny", "2", form="base")
    with pytest.raises(ValueError), runs.open_run(workspace, "train", Training(base="tiny@1")):
        raise ValueError("killed")
    assert gc(GcConfig(keep=1, unregistered=True), workspace) == []
    with runs.open_run(workspace, "train", Training(base="tiny@1")):
        assert gc(GcConfig(keep=1, unregistered=True), workspace) == []
    assert [row.model for row in gc(GcConfig(keep=1, unregistered=True), workspace)] == [old.ref]


def test_gc_keeps_the_ancestors_of_what_it_leaves(workspace: Workspace, store: Store) -> None:
    base, _ = store("tiny", "1", form="base"), store("tiny", "2", form="base")
    registry = Registry(workspace)
    registry.register("tiny", base.ref, alias=None)
    registry.register("tiny", "tiny@2", alias=None)
    store("lo", "1", base=base.ref), store("lo", "2")
    assert gc(GcConfig(keep=1), workspace) == [], "lo@1 stays, because nobody asked for unregistered models"
    removed = [row.model for row in gc(GcConfig(keep=1, unregistered=True), workspace)]
    assert sorted(removed) == ["lo@1", "tiny@1"]


def test_gc_finishes_a_removal_that_was_killed(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    for content in "123":
        registry.register("din", store("din-lora", content).ref, alias=None)
    registry.log.append("delete", "din", "din-lora@1")  # killed here
    assert [row.model for row in gc(GcConfig(keep=2), workspace)] == ["din-lora@1"]
    assert registry.entry("din").deleted == ("din-lora@1",)
    assert verify(ModelsVerifyConfig(), workspace).models == 2


def test_gc_keeps_what_a_host_runs(workspace: Workspace, store: Store) -> None:
    """The version that is deployed, and the file that was made of it for the host."""
    registry = Registry(workspace)
    refs = [store("din-lora", content).ref for content in "1234"]
    file, _ = store("din-file", "1").ref, store("din-file", "2")
    for ref in refs:
        registry.register("din", ref, alias=None)
    registry.deployed("din", refs[1], "llama", made=file)
    removed = [row.model for row in gc(GcConfig(keep=1, unregistered=True), workspace)]
    assert sorted(removed) == [refs[0], refs[2]]


@pytest.mark.parametrize("hidden", [True, False])
def test_gc_renders_and_deletes_what_a_killed_one_had_recorded_and_hidden(
    workspace: Workspace, store: Store, hidden: bool
) -> None:
    registry = Registry(workspace)
    for content in "123":
        registry.register("din", store("din-lora", content).ref, alias=None)
    registry.log.append("delete", "din", "din-lora@1")
    folder = artifacts.folder_of(workspace, artifacts.load(workspace, "din-lora@1"))
    staged = folder.with_name(".staged-gc-1")
    folder.rename(staged)  # killed here, or after the folder was deleted
    if not hidden:
        shutil.rmtree(staged)
    assert gc(GcConfig(keep=2, dry_run=True), workspace) == []
    assert "din-lora@1" in (workspace.root / "registry.toml").read_text(), "a dry run changes nothing"
    assert gc(GcConfig(keep=2), workspace) == []
    assert not staged.exists()
    assert "din-lora@1" not in (workspace.root / "registry.toml").read_text()


def _dataset(workspace: Workspace) -> Dataset:
    record = Record(
        id="r", domain="t", kind="qa", origin=Origin(source="t"),
        messages=(Message(role="user", text="q"), Message(role="assistant", text="a")),
    )  # fmt: skip
    with datasets.write_dataset(workspace, "sft", "dataset") as pending:
        pending.add("train", record)
        pending.drop(Dropped(record=record, reason="test"))
    return pending.dataset


def _report(workspace: Workspace, subject: str) -> Report:
    with workspace.new_version("report", "r") as (ref, folder):
        (folder / "results.jsonl").write_text("{}\n")
        entry = manifests.file_entry(folder, folder / "results.jsonl")
        report = Report(ref=str(ref), subject=subject, suite="s", suite_digest="d", results=entry, summary={})
        manifests.write_manifest(folder / MANIFEST, report)
    return report


def test_verify_covers_ancestors_training_data_drops_and_reports(workspace: Workspace, store: Store) -> None:
    dataset, base = _dataset(workspace), store("tiny", form="base")
    lora = store("din-lora", base=base.ref, dataset=dataset.ref)
    report = _report(workspace, lora.ref)
    Registry(workspace).register("din", lora.ref)
    found = verify(ModelsVerifyConfig(), workspace)
    assert (found.models, found.datasets, found.reports, found.files) == (2, 1, 1, 5)
    for path in (
        workspace.root / "models" / "tiny" / "1" / "data.bin",
        datasets.folder_of(workspace, dataset) / "dropped.jsonl",
        datasets.folder_of(workspace, dataset) / dataset.splits[0].shards[0].path,
        workspace.root / "reports" / "r" / "1" / report.results.path,
    ):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"?")
        name = "" if "reports" in path.parts else "din"
        with pytest.raises(RefusedError, match=f"{path.name}: content changed"):
            verify(ModelsVerifyConfig(name=name), workspace)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "form", "refused"),
    [
        ("oracle-council-moe-v1", "adapter", True),
        ("oracle-council-moe-v1", "council", False),
        ("my-council-v2", "adapter", True),
        ("task-router-v1", "adapter", True),
        ("task-router-v1", "router", False),
        ("din", "router", True),
        ("din", "gguf", False),
        ("agahnim", "adapter", False),
    ],
)
def test_the_role_of_a_name_is_enforced(
    workspace: Workspace, store: Store, name: str, form: str, refused: bool
) -> None:
    artifact = store("x", form=form)
    if refused:
        with pytest.raises(RefusedError, match=rf"{name} is the name of a .*; x@1 has the form {form}"):
            Registry(workspace).register(name, artifact.ref)
    else:
        assert Registry(workspace).register(name, artifact.ref).name == name


@pytest.mark.parametrize(
    "path",
    ["x/../../outside.txt", "../outside.txt", "/tmp/outside.txt", "", ".", "suites/mine.toml", "cache/verdicts.db"],
)
def test_restore_writes_nothing_outside_its_folders(registry: Registry, tmp_path: Path, path: str) -> None:
    folder, target = tmp_path / "backup", Workspace.create(tmp_path / "new")
    index = backup(BackupConfig(folder=folder), registry.workspace)
    content = b"evil"
    (folder / "x").mkdir()
    (tmp_path / "outside.txt").write_bytes(content)
    entry = FileEntry(path=path, size=len(content), sha256=manifests.file_sha256(tmp_path / "outside.txt"))
    (tmp_path / "outside.txt").unlink()
    table = msgspec.structs.replace(index, files=(entry, *index.files))
    (folder / "backup.json").write_bytes(msgspec.json.encode(table))
    before = sorted(target.root.rglob("*"))
    with pytest.raises(DataError, match=r"outside its folder|which no backup holds"):
        restore(RestoreConfig(folder=folder), target)
    assert sorted(target.root.rglob("*")) == before and not (tmp_path / "outside.txt").exists()


def test_restore_follows_no_links(registry: Registry, tmp_path: Path) -> None:
    folder, target = tmp_path / "backup", Workspace.create(tmp_path / "new")
    index = backup(BackupConfig(folder=folder), registry.workspace)
    weights = next(folder / entry.path for entry in index.files if entry.path.endswith("data.bin"))
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="a link"):
        restore(RestoreConfig(folder=folder), target)


def test_a_restored_registry_is_whole(registry: Registry, tmp_path: Path) -> None:
    backup(BackupConfig(folder=tmp_path / "b"), registry.workspace)
    target = Workspace.create(tmp_path / "new")
    restore(RestoreConfig(folder=tmp_path / "b"), target)
    assert chain_problems(Registry(target).log.read()) == []
    assert verify(ModelsVerifyConfig(), target).models == 2
    with pytest.raises(AfsError):
        restore(RestoreConfig(folder=tmp_path / "nothing"), target)


def test_a_restore_that_cannot_write_is_one_line(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(BackupConfig(folder=tmp_path / "b"), registry.workspace)
    target = Workspace.create(tmp_path / "new")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DataError, match=r"cannot be written: No space left on device"):
        restore(RestoreConfig(folder=tmp_path / "b"), target)


def test_an_ancestor_named_twice_is_missing_once(workspace: Workspace, store: Store) -> None:
    base = store("base")
    lora = store("lo", base="gone@1", parents=("gone@1", base.ref, base.ref))
    models, missing = ancestry(workspace, lora)
    assert [model.ref for model in models] == ["lo@1", "base@1"] and missing == ["gone@1"]
    assert data_ancestry(workspace, ["gone@1", "gone@1"]) == ([], ["gone@1"])


def test_a_log_that_was_replaced_by_another_is_noticed(registry: Registry) -> None:
    path = registry.workspace.root / "registry.toml"
    path.write_text(path.read_text().replace(registry.log.read()[-1].hash, "0" * 64))
    with pytest.raises(DataError, match="rendered from a different event 5: the log was replaced"):
        registry.entries()
