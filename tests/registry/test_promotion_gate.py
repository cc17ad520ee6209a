"""Which report permits a promotion, and which does not."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from afs import artifacts, manifests
from afs.errors import RefusedError
from afs.registry import Registry
from afs.registry.alpha_spending import allowance
from afs.registry.deploy_gate import refuse_ungated
from afs.registry.event_log import Event
from afs.registry.promotion_gate import find_newest_gate, refuse_unless_passed
from afs.registry.registry_state import Version
from afs.types import Artifact, Report
from afs.workspace import MANIFEST, Workspace

VERSION = Version(ref="lo@1", digest="d1", form="adapter")


def write_gate(workspace: Workspace, name: str, passed: bool, subject: str = "lo@1", age_s: float = 0) -> Report:
    with workspace.new_version("report", name) as (ref, folder):
        (folder / "results").write_text("{}")
        report = Report(
            ref=str(ref), subject=subject, suite="s", suite_digest="d", summary={},
            results=manifests.file_entry(folder, folder / "results"),
            environment={"gate": {"passed": passed, "reason": "target failed"}, "subject_digest": "d1"},
        )  # fmt: skip
        report = manifests.write_manifest(folder / MANIFEST, report)
    path: Path = workspace.path(workspace.resolve(str(ref), "report")) / MANIFEST
    os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    return report


def test_the_newest_gate_on_a_model_counts(workspace: Workspace) -> None:
    assert find_newest_gate(workspace, "lo@1", []) is None
    write_gate(workspace, "b", passed=True, age_s=90)
    write_gate(workspace, "a", passed=False, age_s=30)
    write_gate(workspace, "c", passed=True, age_s=60)
    write_gate(workspace, "d", passed=True, subject="other@1")
    found = find_newest_gate(workspace, "lo@1", [])
    assert found is not None and found.ref == "a@1"
    gates = [
        Event(number=number, time=0, action="gate", name="lo", ref=f"{name}@1", previous="")
        for number, name in enumerate("abd", 1)
    ]
    found = find_newest_gate(workspace, "lo@1", gates)
    assert found is not None and found.ref == "b@1", "a restored report has the time of its copying"


def test_only_a_passed_gate_of_these_very_files_permits(workspace: Workspace) -> None:
    report = write_gate(workspace, "a", passed=True)
    refuse_unless_passed(report, VERSION)
    changed = msgspec.structs.replace
    other_files = changed(report, environment={**report.environment, "subject_digest": "d2"})
    plain = changed(report, environment={"subject_digest": "d1"})
    odd = changed(report, environment={"gate": {"passed": "yes"}, "subject_digest": "d1"})
    failed = write_gate(workspace, "b", passed=False)
    for wrong, problem in (
        (None, "no gate report"),
        (plain, "not a gate report"),
        (odd, "not a gate report"),
        (changed(report, subject="lo@2"), r"measured lo@2, not lo@1"),
        (other_files, "measured different files"),
        (failed, "the gate did not pass: target failed"),
    ):
        with pytest.raises(RefusedError, match=problem):
            refuse_unless_passed(wrong, VERSION)


def test_a_report_that_the_gate_did_not_write_is_refused(workspace: Workspace) -> None:
    report = write_gate(workspace, "a", passed=True)

    def event(seal: str) -> Event:
        return Event(number=1, time=0, action="gate", name="a", ref=report.ref, fields={"seal": seal}, previous="")

    refuse_unless_passed(report, VERSION, [event(report.seal)])
    with pytest.raises(RefusedError, match="changed since the gate wrote it"):
        refuse_unless_passed(report, VERSION, [event("another")])


def test_each_gate_on_the_same_items_may_err_less_often() -> None:
    def gate(results: str, suite: str = "s") -> Event:
        fields = {"suite": suite, "results": results}
        return Event(number=1, time=0, action="gate", name="a", fields=fields, previous="")

    assert allowance([], "s", "r1") == (first := allowance([gate("r1")], "s", "r1"))
    assert (first.number, first.share, first.left) == (1, 1.0, 1.0)
    events = [gate("r1"), gate("r2"), gate("rx", "other"), gate("r1"), gate("r3")]
    third = allowance(events, "s", "r3")
    assert (third.number, third.share) == (3, pytest.approx(0.151982, abs=1e-6)) and third.left == pytest.approx(
        0.240091, abs=1e-6
    )
    second = allowance(events, "s", "r2")
    assert (second.number, second.share) == (2, pytest.approx(0.607927, abs=1e-6)) and second.left == pytest.approx(
        0.392073, abs=1e-6
    )
    assert allowance(events, "s", "new").number == 4


def test_a_host_gets_a_champion_a_base_or_what_passed_and_the_refusal_says_why(workspace: Workspace) -> None:
    def store(name: str, **fields: str) -> Artifact:
        with artifacts.store_artifact(workspace, name, form="adapter", **fields) as pending:
            (pending.folder / "weights").write_text(name)
        return pending.artifact

    base, lora = store("base"), store("lo", base="base@1")
    refuse_ungated(workspace, base, "")
    refuse_ungated(workspace, lora, "a test")
    with pytest.raises(RefusedError, match="lo@1 has no gate report and is no champion"):
        refuse_ungated(workspace, lora, "")
    report = write_gate(workspace, "a", passed=True)
    path = workspace.path(workspace.resolve("a@1", "report")) / MANIFEST
    environment = {**report.environment, "subject_digest": lora.digest}
    manifests.write_manifest(
        path, msgspec.structs.replace(report, environment={**environment, "gate": {"passed": False}})
    )
    with pytest.raises(RefusedError, match="not deployed: a@1: the gate did not pass"):
        refuse_ungated(workspace, lora, "")
    passed = manifests.write_manifest(path, msgspec.structs.replace(report, environment=environment))
    refuse_ungated(workspace, lora, "")
    registry = Registry(workspace)
    with registry.log.locked():
        registry.log.append("gate", "lo", "a@1", seal="what the gate wrote")
    with pytest.raises(RefusedError, match="changed since the gate wrote it"):
        refuse_ungated(workspace, lora, "")
    assert passed.environment["gate"] == {"passed": True, "reason": "target failed"}
    registry.register("lo", lora.ref)
    registry.promote("lo", reason="shown elsewhere")
    refuse_ungated(workspace, lora, "")
