"""Names, versions and locks; what a crash or a second process may not break."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from afs.errors import UsageError, WorkspaceError
from afs.types import Ref
from afs.workspace import MANIFEST, Workspace


def _put(workspace: Workspace, name: str, content: str = "{}") -> Ref:
    with workspace.new_version("dataset", name) as (ref, folder):
        (folder / MANIFEST).write_text(content)
    return ref


def test_versions_count_up_and_the_newest_is_found(workspace: Workspace) -> None:
    assert [str(_put(workspace, "a")), str(_put(workspace, "a"))] == ["a@1", "a@2"]
    assert str(workspace.resolve("a", "dataset")) == "a@2"
    assert str(workspace.resolve("a@1", "dataset")) == "a@1"


def test_what_is_not_there_is_said_with_the_nearest_name(workspace: Workspace) -> None:
    _put(workspace, "snes-sft")
    with pytest.raises(UsageError, match="did you mean 'snes-sft'"):
        workspace.resolve("snes-sfx", "dataset")
    with pytest.raises(UsageError, match="has no version 7; there are: 1"):
        workspace.resolve("snes-sft@7", "dataset")
    with pytest.raises(UsageError, match="want a name"):
        workspace.resolve("../../etc", "dataset")
    with pytest.raises(UsageError, match="cannot store under this name"), workspace.new_version("dataset", "../x"):
        pass


def test_a_failed_writer_leaves_nothing(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError), workspace.new_version("dataset", "a") as (_, folder):
        (folder / "half").write_text("x")
        raise RuntimeError
    assert workspace.names("dataset") == []
    with pytest.raises(WorkspaceError, match="without a manifest"), workspace.new_version("dataset", "a"):
        pass
    assert str(_put(workspace, "a")) == "a@1"


def test_a_killed_writer_is_swept_by_the_next(workspace: Workspace) -> None:
    code = (
        "import os, sys; from pathlib import Path; from afs.workspace import Workspace\n"
        "with Workspace(Path(sys.argv[1])).new_version('dataset', 'a') as (ref, folder):\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(workspace.root)], check=False).returncode == -9
    assert workspace.names("dataset") == []
    assert str(_put(workspace, "a")) == "a@1"
    assert [p.name for p in (workspace.root / "datasets" / "a").iterdir()] == ["1"]


def test_the_second_process_is_told_who_holds_the_lock(workspace: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from afs.errors import WorkspaceError; from afs.workspace import Workspace\n"
        "try:\n"
        "    with Workspace(Path(sys.argv[1])).lock('x', verb='second'): print('got it')\n"
        "except WorkspaceError as error: print(error)\n"
    )
    argv = [sys.executable, "-c", code, str(workspace.root)]
    with workspace.lock("x", verb="first"):
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert f"process {os.getpid()} (`first`" in told
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "got it\n"


def test_a_newer_schema_is_refused_and_untouched(workspace: Workspace) -> None:
    (workspace.root / "afs.toml").write_text("schema = 99\n")
    with pytest.raises(WorkspaceError, match="schema 99, this version reads schema 1"):
        Workspace(workspace.root)
    assert (workspace.root / "afs.toml").read_text() == "schema = 99\n"


def test_a_moved_workspace_works(workspace: Workspace, tmp_path: Path) -> None:
    _put(workspace, "a")
    shutil.move(workspace.root, tmp_path / "elsewhere")
    assert Workspace(tmp_path / "elsewhere").names("dataset") == ["a"]


def test_a_folder_that_is_no_workspace_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="afs init"):
        Workspace(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot create a workspace"):
        Workspace.create(tmp_path / "file" / "inside")


def test_it_is_found_upward_and_by_the_environment(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = workspace.root / "deep" / "er"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert Workspace.find().root == workspace.root
    monkeypatch.chdir("/")
    monkeypatch.setenv("AFS_WORKSPACE", str(workspace.root))
    assert Workspace.find().root == workspace.root
