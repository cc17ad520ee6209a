"""Names that keep to a scheme and tell the truth."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from afs import datasets
from afs.errors import RefusedError, UsageError
from afs.registry import Registry
from afs.registry.name_rules import read_name_claims
from afs.types import Artifact, Message, Origin, Record
from afs.workspace import Workspace

Store = Callable[..., Artifact]


@pytest.mark.parametrize("name", ["din", "hyrule-asm-v1", "oracle-farore-pathfinder", "euclid-asm-qwen25-coder-1.5b"])
def test_names_of_every_scheme(workspace: Workspace, store: Store, name: str) -> None:
    assert Registry(workspace).register(name, store("some").ref).name == name


@pytest.mark.parametrize("name", ["Din", "din v2", "din--x", "-din", "din:x:y", "../din", ""])
def test_names_of_no_scheme_are_refused(workspace: Workspace, store: Store, name: str) -> None:
    with pytest.raises(UsageError):
        Registry(workspace).register(name, store("some").ref)
    assert not (workspace.root / "events" / "registry.jsonl").exists()


def test_what_a_name_claims() -> None:
    said = read_name_claims("oracle-rauru-assembler-qwen3-coder-14b-20251221")
    assert (said.base, said.size_b) == ("qwen3-coder", 14.0)
    assert read_name_claims("2026-01-07-1562samples").samples == 1562
    assert read_name_claims("nayru") == (None, None, None)


def test_a_name_that_contradicts_base_or_size_is_refused(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    model = store("rauru", base="Qwen/Qwen2.5-Coder-14B-Instruct")
    with pytest.raises(RefusedError, match="it claims qwen3-coder, the base is qwen25-coder"):
        registry.register("oracle-rauru-assembler-qwen3-coder-14b-20251221", model.ref)
    with pytest.raises(RefusedError, match="it claims 7b, the base is called 14b"):
        registry.register("oracle-rauru-qwen2.5-coder-7b", model.ref)
    registry.register("oracle-rauru-qwen2.5-coder-14b", model.ref)


def test_the_size_is_compared_with_the_base_that_is_stored(workspace: Workspace, store: Store) -> None:
    store("coder", "b", form="base", facts={"parameters": 7_615_616_512})
    model = store("nayru", base="coder@1")
    registry = Registry(workspace)
    registry.register("nayru-asm-7b", model.ref)
    with pytest.raises(RefusedError, match=r"it claims 14b, the base has 7\.62 billion"):
        registry.register("nayru-asm-14b", model.ref)


def test_a_wrong_number_of_samples_is_refused(workspace: Workspace, store: Store) -> None:
    with datasets.write_dataset(workspace, "sft", "dataset") as pending:
        for number in range(3):
            messages = (Message(role="user", text=str(number)),)
            origin = Origin(source="test", license="MIT")
            pending.add("train", Record(id=f"{number:032x}", domain="sums", kind="x", messages=messages, origin=origin))
    model = store("farore-lora", dataset=pending.dataset.ref)
    registry = Registry(workspace)
    with pytest.raises(RefusedError, match="it claims 1562 samples, the training set has 3"):
        registry.register("farore", model.ref, detail="2026-01-07-1562samples")
    entry = registry.register("farore", model.ref, detail="2026-01-07-3samples")
    assert entry.versions[0].facts["samples"] == 3
