"""Registering, resolving, promoting and going back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from afs.errors import RefusedError, UsageError
from afs.registry import Registry
from afs.registry.registry_commands import DeprecateConfig, deprecate
from afs.types import Artifact, FileEntry, Report
from afs.workspace import Workspace

Store = Callable[..., Artifact]


def report(subject: Artifact, *, passed: bool = True, **environment: object) -> Report:
    """A gate's report on an artifact."""
    return Report(
        ref="gate@1",
        subject=subject.ref,
        suite="s",
        suite_digest="d",
        results=FileEntry(path="r.jsonl", size=0, sha256=""),
        summary={},
        environment={"gate": {"passed": passed, "reason": "worse on guards"}, **environment},
    )


def test_register_promote_and_rollback(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    first, second = store("din-lora", "a"), store("din-lora", "b")
    registry.register("din", first.ref, tags=("optimize",), domain="snes")
    assert registry.resolve("din") == first
    assert registry.resolve("din:candidate") == first
    assert registry.experts() == []
    entry = registry.promote("din", gate=report(first, report="eval@4"))
    assert entry.versions[0].reports == ("eval@4", "gate@1"), "the evaluation behind the gate is kept with it"
    assert [expert.model for expert in registry.experts()] == [first.ref]
    registry.register("din", second.ref)
    assert registry.resolve("din") == first, "a candidate does not replace the champion"
    entry = registry.promote("din", gate=report(second))
    assert entry.aliases == {"champion": second.ref, "previous": first.ref}
    assert registry.rollback("din").aliases == {"champion": first.ref, "previous": second.ref}
    assert registry.expert("din").tags == ("optimize",)


class Killed(BaseException):
    """What a killed process leaves behind: no handler of errors runs."""


def test_a_killed_rollback_is_finished_not_undone(
    workspace: Workspace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(workspace)
    for artifact in (store("din-lora", "a"), store("din-lora", "b")):
        registry.register("din", artifact.ref)
        registry.promote("din", gate=report(artifact))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Registry, "_rendered", lambda *_: (_ for _ in ()).throw(Killed()))
        registry.rollback("din")
    assert registry.rollback("din").aliases["champion"] == "din-lora@1"
    assert [event.action for event in registry.log.read()].count("rollback") == 1
    assert f"events = {len(registry.log.read())}\n" in (workspace.root / "registry.toml").read_text()
    assert registry.rollback("din").aliases["champion"] == "din-lora@2", "a whole one is undone by the next"


def test_deprecating_the_same_again_writes_nothing(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    registry.register("din", store("din-lora").ref)
    registry.deprecate("din", "din-lora@1", "loses")
    before = registry.log.path.read_bytes()
    registry.deprecate("din", "din-lora@1", "loses")
    assert registry.log.path.read_bytes() == before
    assert registry.deprecate("din", "din-lora@1", "loses much").versions[0].deprecated == "loses much"


def test_what_a_killed_command_appended_is_rendered_also_after_a_gate(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    registry.register("din", store("din-lora").ref)
    with registry.log.locked():
        registry.log.append("deprecate", "din", "din-lora@1", reason="loses")
        registry.log.append("gate", "sums:add", "r-gate@1", suite="s", results="r")
    with registry.log.locked():
        registry.refresh_stale()
    assert '"din-lora@1" = "loses"' in (workspace.root / "registry.toml").read_text()


def test_registering_the_same_again_writes_nothing(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    artifact = store("din-lora")
    registry.register("din", artifact.ref, tags=("optimize",))
    before = registry.log.path.read_bytes()
    registry.register("din", artifact.ref, tags=("optimize",))
    assert registry.log.path.read_bytes() == before


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (lambda a: None, "no gate report"),
        (lambda a: report(a, passed=False), "worse on guards"),
        (lambda a: report(a, subject_digest="other"), "different files"),
    ],
)
def test_promotion_needs_a_passing_gate(
    workspace: Workspace, store: Store, gate: Callable[[Artifact], Report | None], message: str
) -> None:
    registry = Registry(workspace)
    artifact = store("din-lora")
    registry.register("din", artifact.ref)
    with pytest.raises(RefusedError, match=message):
        registry.promote("din", gate=gate(artifact))
    assert "champion" not in registry.entry("din").aliases


def test_a_gate_of_another_model_does_not_count(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    artifact, other = store("din-lora"), store("other")
    registry.register("din", artifact.ref)
    with pytest.raises(RefusedError, match="measured other@1"):
        registry.promote("din", gate=report(other))


def test_an_override_keeps_its_reason(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    registry.register("din", store("din-lora").ref)
    registry.promote("din", reason="demo day")
    assert registry.log.read()[-1].fields["reason"] == "demo day"


def test_rollback_without_a_previous_champion_is_refused(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    registry.register("din", store("din-lora").ref)
    with pytest.raises(RefusedError, match="no previous"):
        registry.rollback("din")


def test_every_kind_of_name_resolves(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    artifact = store("farore-lora")
    registry.register("farore", artifact.ref, detail="2026-01-07-1562samples")
    registry.describe("farore", legacy=("farore-v5:latest", "oracle-farore"))
    for name in ("farore", "farore:2026-01-07-1562samples", "farore-v5:latest", "oracle-farore", "farore-lora@1"):
        assert registry.resolve(name) == artifact
    with pytest.raises(UsageError, match="did you mean 'farore'"):
        registry.entry("farroe")
    with pytest.raises(UsageError, match="farore has no champion"):
        registry.resolve("farore:champion")


def test_a_deprecated_version_resolves_with_a_warning(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    artifact = store("din-lora")
    registry.register("din", artifact.ref)
    deprecate(DeprecateConfig(name="din", artifact=artifact.ref, reason="replaced"), workspace)
    with pytest.warns(UserWarning, match="deprecated: replaced"):
        assert registry.resolve("din") == artifact
    with pytest.raises(RefusedError, match="deprecated"):
        registry.promote("din", artifact.ref, reason="x")
