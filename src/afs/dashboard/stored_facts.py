"""What the whole workspace says at a glance: results, champions, gates, disk. Unreadable files are named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from afs.errors import AfsError
from afs.manifests import read_manifest
from afs.registry import Entry, Event, Registry
from afs.types import Dataset, Interval, Ref, RefKind, Report
from afs.workspace import MANIFEST, Workspace


class ReportRow(NamedTuple):
    """A stored report in one line."""

    ref: Ref
    subject: str
    suite: str
    verdict: str
    solved: Interval | None
    difference: Interval | None
    gate: bool | None
    """Whether its gate passed; None: it is no gate's report."""
    reason: str
    written: float


class Champion(NamedTuple):
    """An expert and the version that answers for it."""

    name: str
    ref: str
    is_champion: bool
    report: str
    """The newest report on it."""


class Disk(NamedTuple):
    """Room on the workspace's disk, in bytes."""

    free: int
    total: int

    @property
    def is_nearly_full(self) -> bool:
        """Under 5 % or 2 GiB."""
        return self.free < max(self.total * 0.05, 2 << 30)


def list_versions(workspace: Workspace, kind: RefKind) -> Iterator[Ref]:
    """Every complete version of a kind; links are left out."""
    folder = workspace.folder(kind)
    if not folder.is_dir():
        return
    for place in sorted(folder.iterdir()):
        if place.is_symlink() or place.name.startswith(".") or not place.is_dir():
            continue
        for version in workspace.versions(kind, place.name):
            yield Ref(kind=kind, name=place.name, version=version)


class StoredFacts:
    """Reports, sets and the registry; a file is read again only when it changed."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._reports: dict[Ref, tuple[int, ReportRow | str]] = {}
        self._registry: tuple[int, dict[str, Entry], list[Event]] = (-1, {}, [])
        self.problems: dict[str, str] = {}
        """Path -> why it cannot be read."""

    def reports(self) -> list[ReportRow]:
        """Every report, the newest first."""
        rows = [row for ref in list_versions(self.workspace, "report") if (row := self._report(ref)) is not None]
        return sorted(rows, key=lambda row: row.written, reverse=True)

    def _report(self, ref: Ref) -> ReportRow | None:
        path = self.workspace.path(ref) / MANIFEST
        try:
            stamp = path.stat().st_mtime_ns
            known = self._reports.get(ref)
            if known is None or known[0] != stamp:
                known = (stamp, _row(ref, read_manifest(path, Report), stamp / 1e9))
                self._reports[ref] = known
        except (OSError, AfsError, msgspec.DecodeError) as error:
            self.problems[str(path.relative_to(self.workspace.root))] = str(error)
            return None
        return known[1] if isinstance(known[1], ReportRow) else None

    def datasets(self) -> list[tuple[Ref, Dataset]]:
        """Every stored dataset and set of records."""
        found: list[tuple[Ref, Dataset]] = []
        kinds: tuple[RefKind, ...] = ("dataset", "records")
        for kind in kinds:
            for ref in list_versions(self.workspace, kind):
                path = self.workspace.path(ref) / MANIFEST
                try:
                    found.append((ref, read_manifest(path, Dataset)))
                except (OSError, AfsError, msgspec.DecodeError) as error:
                    self.problems[str(path.relative_to(self.workspace.root))] = str(error)
        return found

    def entries(self) -> dict[str, Entry]:
        """The registered names."""
        return self._read_registry()[1]

    def history(self) -> list[Event]:
        """Every event of the registry, oldest first."""
        return self._read_registry()[2]

    def _read_registry(self) -> tuple[int, dict[str, Entry], list[Event]]:
        path = self.workspace.root / "events" / "registry.jsonl"
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            return self._registry
        if stamp != self._registry[0]:
            try:
                registry = Registry(self.workspace)
                self._registry = (stamp, registry.entries(), registry.log.read())
                self.problems.pop("events/registry.jsonl", None)
            except (AfsError, OSError) as error:
                self.problems["events/registry.jsonl"] = str(error)
        return self._registry

    def champions(self) -> list[Champion]:
        """Each expert with the version that its name means now."""
        found = []
        for entry in self.entries().values():
            version = entry.version(entry.current)
            report = version.reports[-1] if version and version.reports else ""
            found.append(Champion(entry.name, entry.current, "champion" in entry.aliases, report))
        return found

    def disk(self) -> Disk:
        """Room where the workspace lies."""
        usage = shutil.disk_usage(self.workspace.root)
        return Disk(usage.free, usage.total)


def _row(ref: Ref, report: Report, written: float) -> ReportRow:
    gate = report.environment.get("gate")
    passed = gate.get("passed") if isinstance(gate, dict) else None
    return ReportRow(
        ref=ref,
        subject=report.subject,
        suite=report.suite,
        verdict=str(report.environment.get("verdict", "")),
        solved=report.summary.get("solved"),
        difference=report.summary.get("difference"),
        gate=passed if isinstance(passed, bool) else None,
        reason=str(gate.get("reason") or "") if isinstance(gate, dict) else "",
        written=written,
    )
