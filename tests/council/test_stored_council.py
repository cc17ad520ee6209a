"""A council as one artifact: pinned to exact versions, promoted, rolled back, refused when a member's files changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from afs import artifacts, verbs
from afs.council.council_setup import open_council
from afs.council.stored_council import list_members, load_council, pin_council, store_council
from afs.errors import DataError, WorkspaceError
from afs.registry import Registry
from afs.serve.council_store_command import CouncilStoreConfig
from afs.types import Artifact
from afs.workspace import Workspace

NAME = "oracle-council-moe-v1"


def add_expert(workspace: Workspace, name: str, text: str) -> Artifact:
    with artifacts.store_artifact(workspace, f"{name}-shots", form="fewshot", base="echo:x") as pending:
        (pending.folder / "examples.json").write_text(text)
    registry = Registry(workspace)
    registry.register(name, pending.artifact.ref, tags=("debug",))
    registry.promote(name, pending.artifact.ref, reason="test")
    return pending.artifact


def test_a_council_is_pinned_promoted_and_rolled_back(workspace: Workspace) -> None:
    first = add_expert(workspace, "farore", "[1]")
    stored = verbs.do("council store", CouncilStoreConfig(), workspace)
    assert isinstance(stored, Artifact) and stored.form == "council" and stored.parents == (first.ref,)
    registry = Registry(workspace)
    registry.register(NAME, stored.ref)
    registry.promote(NAME, stored.ref, reason="test")
    assert [expert.name for expert in list_members(workspace, registry)] == ["farore"], "it is no member of itself"
    add_expert(workspace, "farore", "[2]")
    _, pinned = load_council(workspace, NAME)
    assert pinned.members[0].expert.model == first.ref, "a new champion of a member changes nothing"
    second = store_council(workspace, NAME, pin_council(workspace))
    assert second.digest != stored.digest
    registry.register(NAME, second.ref)
    registry.promote(NAME, second.ref, reason="test")
    assert registry.resolve(NAME).ref == second.ref
    registry.rollback(NAME, reason="worse")
    assert registry.resolve(NAME).ref == stored.ref


def test_a_member_that_changed_and_what_is_no_council_are_refused(workspace: Workspace) -> None:
    expert = add_expert(workspace, "farore", "[1]")
    council = pin_council(workspace)
    broken = msgspec.structs.replace(council.members[0], digest="0" * 64)
    store_council(workspace, "other-council", msgspec.structs.replace(council, members=(broken,)))
    with pytest.raises(DataError, match="no longer the model"):
        open_council(workspace, "other-council")
    with pytest.raises(WorkspaceError, match="is a fewshot, not a council"):
        load_council(workspace, expert.ref)


def test_nothing_to_store(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no council to store"):
        pin_council(Workspace.create(tmp_path / "empty"))


def test_candidates_alone_are_nobody_to_ask(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="no expert is registered"):
        open_council(workspace)
    with artifacts.store_artifact(workspace, "shots", form="fewshot", base="echo:x") as pending:
        (pending.folder / "examples.json").write_text("[1]")
    Registry(workspace).register("farore", pending.artifact.ref)
    with pytest.raises(WorkspaceError, match="farore has no champion; `afs models promote farore`"):
        open_council(workspace)
