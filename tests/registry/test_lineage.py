"""Tracing both ways, the model card, backup and restore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from afs import datasets
from afs.errors import DataError, UsageError
from afs.registry import Registry
from afs.registry.backup import BackupConfig, RestoreConfig, backup, restore
from afs.registry.integrity import ModelsVerifyConfig, verify
from afs.registry.lineage import Origins
from afs.registry.model_card import CardConfig, card
from afs.registry.trace_command import TraceConfig, trace
from afs.types import Artifact, Message, Origin, Record
from afs.workspace import Workspace

Store = Callable[..., Artifact]
FIRST, CHILD = "a" * 32, "b" * 32


@pytest.fixture
def traced(workspace: Workspace, store: Store) -> Workspace:
    """base <- adapter (trained on two records, one derived from a third) <- merged, registered as din."""
    origin = Origin(source="zelda-notes", uri="notes/dma.md", license="MIT", maker="openai:teacher")
    messages = (Message(role="user", text="q"), Message(role="assistant", text="a"))
    with datasets.write_dataset(workspace, "sft", "dataset") as pending:
        pending.add("train", Record(id=FIRST, domain="sums", kind="qa", messages=messages, origin=origin))
        derived = Origin(source="zelda-notes", parents=("c" * 32,))
        pending.add("train", Record(id=CHILD, domain="sums", kind="qa", messages=messages, origin=derived))
    base = store("base", "base", form="base")
    adapter = store("din-lora", "lora", base=base.ref, dataset=pending.dataset.ref)
    merged = store("din-merged", "merged", form="merged", base=base.ref, parents=(adapter.ref,))
    Registry(workspace).register("din", merged.ref, tags=("optimize",))
    return workspace


def test_from_a_model_down_to_its_samples(traced: Workspace) -> None:
    found = trace(TraceConfig(target="din", sample=FIRST[:8]), traced)
    assert isinstance(found, Origins)
    assert found.artifacts == ("din-merged@1", "din-lora@1", "base@1")
    assert found.datasets == ("sft@1",)
    assert [(row.source, row.license, row.records) for row in found.sources] == [
        ("zelda-notes", "MIT", 1),
        ("zelda-notes", "unknown", 1),
    ]
    assert found.sample is not None
    assert found.sample.origin.uri == "notes/dma.md"


def test_from_a_sample_up_to_every_model_that_saw_it(traced: Workspace) -> None:
    seen = trace(TraceConfig(target=FIRST), traced)
    assert isinstance(seen, list)
    assert {(row.model, row.how) for row in seen} == {("din-lora@1", "itself"), ("din-merged@1", "itself")}
    assert [row.names for row in seen if row.model == "din-merged@1"] == [("din",)]
    parents = trace(TraceConfig(target="c" * 12), traced)
    assert isinstance(parents, list)
    assert {row.how for row in parents} == {"derived from it"}
    assert trace(TraceConfig(target="dddddddd"), traced) == []
    with pytest.raises(UsageError, match="no artifact is called"):
        trace(TraceConfig(target="nobody"), traced)


def test_the_card_says_what_is_known_and_what_is_not(traced: Workspace) -> None:
    text = card(CardConfig(name="din"), traced)
    assert text.startswith('---\nbase_model: "base@1"\n')
    assert "| zelda-notes | MIT | openai:teacher | 1 |" in text
    assert "Not evaluated" in text
    assert "1 training records have no known license" in text


def test_a_restored_workspace_has_identical_digests(traced: Workspace, tmp_path: Path) -> None:
    first = backup(BackupConfig(folder=tmp_path / "backup"), traced)
    assert first.copied == len(first.files)
    assert backup(BackupConfig(folder=tmp_path / "backup"), traced).copied == 0
    other = Workspace.create(tmp_path / "other")
    restore(RestoreConfig(folder=tmp_path / "backup"), other)
    assert Registry(other).resolve("din") == Registry(traced).resolve("din")
    assert verify(ModelsVerifyConfig(), other) == verify(ModelsVerifyConfig(), traced)
    assert trace(TraceConfig(target="din"), other) == trace(TraceConfig(target="din"), traced)


def test_a_torn_backup_is_refused_and_a_foreign_registry_is_kept(
    traced: Workspace, tmp_path: Path, store: Store
) -> None:
    made = backup(BackupConfig(folder=tmp_path / "backup"), traced)
    victim = next(entry for entry in made.files if entry.path.endswith("data.bin"))
    (tmp_path / "backup" / victim.path).write_text("torn")
    other = Workspace.create(tmp_path / "other")
    with pytest.raises(DataError, match="content does not match"):
        restore(RestoreConfig(folder=tmp_path / "backup"), other)
    assert Registry(other).entries() == {}, "the registry comes last"
    with pytest.raises(DataError, match="not a complete backup"):
        restore(RestoreConfig(folder=tmp_path / "nothing"), other)
    Registry(traced).register("nayru", store("nayru-lora").ref)
    with pytest.raises(UsageError, match="already has a registry"):
        restore(RestoreConfig(folder=tmp_path / "backup"), traced)
