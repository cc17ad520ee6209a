"""A backup goes to an rclone remote and comes back; scp's targets on Windows; what nothing registered refers to."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from afs import artifacts, datasets
from afs.errors import DataError, MissingError, ProcessError, UsageError
from afs.registry import Registry
from afs.registry.backup import BackupConfig, RestoreConfig, backup, restore
from afs.registry.remote_copy import scp_target
from afs.types import Artifact, Message, Origin, Record
from afs.workspace import Workspace

Store = Callable[..., Artifact]


@pytest.fixture
def filled(workspace: Workspace, store: Store) -> Workspace:
    """A registered model, one that is not, and two versions of records that nothing refers to."""
    messages = (Message(role="user", text="q"), Message(role="assistant", text="a"))
    record = Record(id="a" * 32, domain="sums", kind="qa", messages=messages, origin=Origin(source="s", license="MIT"))
    for count in (1, 2):
        with datasets.write_dataset(workspace, "notes", "records") as pending:
            for _ in range(count):
                pending.add("all", record)
    Registry(workspace).register("din", store("din-merged", "weights", form="merged").ref)
    store("draft", "other weights", form="merged")
    return workspace


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An rclone remote of type `local`."""
    if shutil.which("rclone") is None:
        pytest.skip("needs rclone (apt-get install rclone)")
    configuration = tmp_path / "rclone.conf"
    configuration.write_text("[drive]\ntype = local\n")
    monkeypatch.setenv("RCLONE_CONFIG", str(configuration))
    return f"drive:{tmp_path / 'remote'}"


def test_what_nothing_refers_to_is_backed_up_by_name(filled: Workspace, tmp_path: Path) -> None:
    plain = backup(BackupConfig(folder=tmp_path / "plain"), filled)
    assert not [f for f in plain.files if "draft" in f.path or "notes" in f.path]
    some = backup(BackupConfig(folder=tmp_path / "some", also=("notes@2", "draft")), filled)
    assert {f.path.split("/")[1] + f.path.split("/")[2] for f in some.files if f.path.count("/") > 2} == {
        "din-merged1",
        "draft1",
        "notes2",
    }
    backup(BackupConfig(folder=tmp_path / "every", also=("all",)), filled)
    target = Workspace.create(tmp_path / "new")
    restore(RestoreConfig(folder=tmp_path / "every"), target)
    assert datasets.load(target, "notes@1").digest == datasets.load(filled, "notes@1").digest
    assert artifacts.load(target, "draft").files == artifacts.load(filled, "draft").files


@pytest.mark.parametrize("name", ["nots", "notes@3", "nothing"])
def test_a_name_that_stands_for_nothing_copies_nothing(filled: Workspace, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"nothing stored is called '{name}'"):
        backup(BackupConfig(folder=tmp_path / "b", also=(name,)), filled)
    assert not (tmp_path / "b").exists()


def test_to_a_remote_and_back_incrementally(filled: Workspace, tmp_path: Path, remote: str, store: Store) -> None:
    place = Path(remote.partition(":")[2])
    backup(BackupConfig(folder=tmp_path / "b", remote=remote), filled)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    store("later", "more weights", form="merged")
    backup(BackupConfig(folder=tmp_path / "b", remote=remote, also=("later",)), filled)
    after = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert "backup.json" in changed and not any("din-merged" in str(p) for p in after if p not in before)
    target = Workspace.create(tmp_path / "new")
    restore(RestoreConfig(folder=tmp_path / "fetched", remote=remote), target)
    assert Registry(target).entries().keys() == {"din"}
    assert artifacts.load(target, "later").files == artifacts.load(filled, "later").files


def test_a_damaged_copy_is_repaired_by_the_next_backup_and_refused_by_restore(
    filled: Workspace, tmp_path: Path, remote: str
) -> None:
    backup(BackupConfig(folder=tmp_path / "b", remote=remote), filled)
    victim = Path(remote.partition(":")[2]) / "models/din-merged/1/data.bin"
    whole = victim.read_bytes()
    victim.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(DataError, match="does not match its hash"):
        restore(RestoreConfig(folder=tmp_path / "f", remote=remote), Workspace.create(tmp_path / "new"))
    backup(BackupConfig(folder=tmp_path / "b", remote=remote), filled)
    assert victim.read_bytes() == whole


def test_an_unknown_remote_is_one_line_and_the_local_backup_stays(
    filled: Workspace, tmp_path: Path, remote: str
) -> None:
    with pytest.raises(ProcessError, match=r"rclone copy ended with \d+: .*; the backup is in"):
        backup(BackupConfig(folder=tmp_path / "b", remote="nowhere:x"), filled)
    assert (tmp_path / "b" / "backup.json").is_file()


def test_without_rclone_the_command_is_shown(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"rclone is not installed; the backup is in .*: rclone copy --checksum"):
        backup(BackupConfig(folder=tmp_path / "b", remote="drive:x"), filled)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (r"pc:D:\afs\backups", "pc:/D:/afs/backups"),
        (r"me@pc.lan:d:\My Models", "me@pc.lan:/D:/My Models"),
        ("pc:/C:/Users/me", "pc:/C:/Users/me"),
        ("pc:C:", "pc:/C:/"),
        ("box:backups/afs", "box:backups/afs"),
        ("me@10.0.0.7:/srv/afs", "me@10.0.0.7:/srv/afs"),
        ("me@[fe80::1]:D:\\x", "me@[fe80::1]:/D:/x"),
    ],
)
def test_scp_targets(text: str, target: str) -> None:
    assert scp_target(text) == target


@pytest.mark.parametrize("text", [r"D:\afs", "D:/afs", "backups", ":x", "-oProxyCommand=x:y", "a b:c"])
def test_what_is_no_machine_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="want HOST:PATH"):
        scp_target(text)


def test_the_folder_goes_to_scp_as_it_is(filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program `scp` is replaced by one that writes down its arguments: no Windows machine is at hand."""
    program = tmp_path / "bin" / "scp"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    backup(BackupConfig(folder=tmp_path / "b", scp=r"pc:D:\afs"), filled)
    assert (tmp_path / "words").read_text().splitlines() == ["-q", "-p", "-r", str(tmp_path / "b"), "pc:/D:/afs"]
