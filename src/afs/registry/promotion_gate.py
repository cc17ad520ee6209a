"""Whether a report permits a promotion: it must have measured exactly these files, and its gate must have passed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from afs.errors import RefusedError
from afs.manifests import read_manifest
from afs.registry.event_log import Event
from afs.registry.registry_state import Version
from afs.types import Report
from afs.workspace import MANIFEST, Workspace


def refuse_unless_passed(report: Report | None, version: Version, events: Iterable[Event] = ()) -> None:
    """Raise unless the report is a passed gate for this version, and the one that the gate recorded."""
    if report is None:
        raise RefusedError(
            f"{version.ref}: no gate report; run `afs eval gate`, or give a --reason, which is recorded in the registry"
        )
    gate = report.environment.get("gate")
    if not isinstance(gate, Mapping) or not isinstance(gate.get("passed"), bool):
        raise RefusedError(f"{report.ref}: not a gate report; run `afs eval gate`")
    if report.subject != version.ref:
        raise RefusedError(f"{report.ref} measured {report.subject}, not {version.ref}")
    measured = report.environment.get("subject_digest", version.digest)
    if measured != version.digest:
        raise RefusedError(f"{report.ref} measured different files than {version.ref} has now (the digests differ)")
    seals = {event.fields.get("seal") for event in events if event.action == "gate" and event.ref == report.ref}
    if seals - {None, report.seal}:
        raise RefusedError(f"{report.ref}: changed since the gate wrote it")
    if not gate["passed"]:
        raise RefusedError(f"{report.ref}: the gate did not pass: {gate.get('reason') or 'see the report'}")


def load_report(workspace: Workspace, text: str) -> Report:
    """A stored report."""
    return read_manifest(workspace.path(workspace.resolve(text, "report")) / MANIFEST, Report)


def find_newest_gate(workspace: Workspace, ref: str, events: Iterable[Event]) -> Report | None:
    """The newest report with a gate's verdict on this artifact, in the order of the registry's events.

    A file's time is that of its copying, so it decides only among reports of versions that recorded no gates.
    """
    order = {event.ref: event.number for event in events if event.action == "gate"}
    found: list[tuple[int, float, Report]] = []
    for name in workspace.names("report"):
        for version in workspace.versions("report", name):
            report = load_report(workspace, f"{name}@{version}")
            if report.subject == ref and "gate" in report.environment:
                path = workspace.path(workspace.resolve(report.ref, "report")) / MANIFEST
                found.append((order.get(report.ref, 0), path.stat().st_mtime, report))
    return max(found, key=lambda row: row[:2])[2] if found else None
