"""`ingest git` runs nothing that a repository names: every known way of a config to start a program, tried."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from afs.errors import DataError
from afs.ingest.base import Reading
from afs.ingest.read_unit import make_source
from afs.types import Record

ATTRIBUTES = "*.py filter=evil diff=evil merge=evil export-subst\n*.c filter=lfs\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two commits and attributes that name filters and diff drivers."""
    place = tmp_path_factory.mktemp("template") / "repo"
    place.mkdir()
    environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(place), "-c", "user.name=n", "-c", "user.email=e@x", *arguments],
            check=True, env=environment, capture_output=True,
        )  # fmt: skip

    git("init", "-q", "-b", "main")
    (place / ".gitattributes").write_text(ATTRIBUTES)
    (place / "a.py").write_text(
        'def add(a, b):\n    """Add two numbers and return the sum."""\n    c = a - b\n    return c\n'
    )
    git("add", ".")
    git("commit", "-qm", "Add two numbers")
    (place / "a.py").write_text(
        'def add(a, b):\n    """Add two numbers and return the sum."""\n    c = a + b\n    return c\n'
    )
    git("commit", "-qam", "Fix wrong sign in add")
    return place


def attacks(run: str, folder: Path) -> dict[str, str]:
    """Name -> text that is appended to the repository's config."""
    (folder / "include").write_text(f'[core]\n\tfsmonitor = {run}\n[filter "evil"]\n\tsmudge = {run}\n')
    lazy = '[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = evil\n[remote "evil"]\n\tpromisor = true\n'
    return {
        "smudge": f'[filter "evil"]\n\tsmudge = {run}\n\tclean = {run}\n\trequired = true\n',
        "process": f'[filter "evil"]\n\tprocess = {run}\n\trequired = true\n',
        "lfs": f'[filter "lfs"]\n\tprocess = {run}\n\tsmudge = {run}\n',
        "gpg": f"[log]\n\tshowSignature = true\n[gpg]\n\tprogram = {run}\n",
        "gpg.ssh": f'[log]\n\tshowSignature = true\n[gpg]\n\tformat = ssh\n[gpg "ssh"]\n\tprogram = {run}\n',
        "textconv": f'[diff "evil"]\n\ttextconv = {run}\n\tcommand = {run}\n',
        "external": f"[diff]\n\texternal = {run}\n",
        "fsmonitor": f"[core]\n\tfsmonitor = {run}\n",
        "hooks": f"[core]\n\thooksPath = {folder}\n",
        "pager": f"[core]\n\tpager = {run}\n[pager]\n\tlog = {run}\n\tshow = {run}\n",
        "alias": f'[alias]\n\tlog = "!{run}"\n\tshow = "!{run}"\n\tls-tree = "!{run}"\n\tcat-file = "!{run}"\n',
        "tar": f'[tar "tar.gz"]\n\tcommand = {run}\n[tar "zip"]\n\tcommand = {run}\n',
        "include": f"[include]\n\tpath = {folder}/include\n",
        "ssh": f"{lazy}\turl = ssh://nobody@127.0.0.1/x\n[core]\n\tsshCommand = {run}\n",
        "ext": f'{lazy}\turl = "ext::{run}"\n[protocol]\n\tallow = always\n',
        "uploadpack": f"{lazy}\turl = {folder}\n\tuploadpack = {run}\n",
        "credential": f"[credential]\n\thelper = {run}\n",
        "worktree": "[core]\n\tworktree = /etc\n",
        "mailmap": "[mailmap]\n\tfile = /etc/passwd\n",
    }  # fmt: skip


NAMES = [
    "smudge",
    "process",
    "lfs",
    "gpg",
    "gpg.ssh",
    "textconv",
    "external",
    "fsmonitor",
    "hooks",
    "pager",
    "alias",
    "tar",
    "include",
    "ssh",
    "ext",
    "uploadpack",
    "credential",
    "worktree",
    "mailmap",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_program_of_the_repository_runs(
    template: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, marker, script = tmp_path / "repo", tmp_path / "marker", tmp_path / "evil.sh"
    shutil.copytree(template, place)
    script.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    script.chmod(0o755)
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        shutil.copy(script, tmp_path / hook)
    config = place / ".git" / "config"
    text = attacks(str(script), tmp_path)[name]
    config.write_text(config.read_text() + text)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text(f'[filter "evil"]\n\tsmudge = {script}\n')
    if "promisor" in text:
        with pytest.raises(DataError, match="partial clone"):
            list(make_source("git", {}).units(place))
    else:
        (unit,) = make_source("git", {}).units(place)
        reading = Reading(unit, source="t", domain="general")
        items = list(make_source("git", {}).read(unit, reading))
        assert any(isinstance(item, Record) and item.kind == "debug" for item in items)
        assert any(isinstance(item, Record) and item.kind == "code" for item in items)
    assert not marker.exists()


def test_objects_outside_of_the_repository_are_refused(template: Path, tmp_path: Path) -> None:
    place = tmp_path / "repo"
    shutil.copytree(template, place)
    shutil.rmtree(place / ".git" / "objects")
    (place / ".git" / "objects").symlink_to(template / ".git" / "objects")
    with pytest.raises(DataError, match="no objects folder inside"):
        list(make_source("git", {}).units(place))


def test_a_work_tree_is_read_from_its_repository_and_only_if_that_knows_it(template: Path, tmp_path: Path) -> None:
    repository, tree, other = tmp_path / "repo", tmp_path / "tree", tmp_path / "other"
    shutil.copytree(template, repository)
    subprocess.run(["git", "-C", str(repository), "worktree", "add", "-q", "-b", "side", str(tree)], check=True)
    source = make_source("git", {})

    def ids(place: Path) -> list[str]:
        return [
            item.id
            for unit in source.units(place)
            for item in source.read(unit, Reading(unit, source="s", domain="d"))
            if isinstance(item, Record)
        ]

    assert ids(tree) == ids(repository) != []
    other.mkdir()
    (other / ".git").write_text((tree / ".git").read_text())
    with pytest.raises(DataError, match="not a git repository"):
        ids(other)
