"""`afs eval history` and `note`: an expert's evaluations in order."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from afs import jsonl
from afs.config import Config
from afs.errors import UsageError
from afs.evaluate import report_store
from afs.evaluate.compare import format_difference
from afs.evaluate.report_store import StoredReport, percent
from afs.plugins import suggest_name
from afs.registry import Registry
from afs.registry.registry_state import Version
from afs.types import Interval, Value
from afs.workspace import Workspace

LESSONS = "lessons.jsonl"


class NoteConfig(Config, frozen=True, kw_only=True):
    """Attach a lesson to a report; `afs eval history` shows it with the version."""

    positional: ClassVar[tuple[str, ...]] = ("report", "lesson")
    report: str
    """The report."""
    lesson: str
    """The lesson, in a sentence."""


class Lesson(Value, frozen=True, kw_only=True):
    """A sentence noted with a report."""

    text: str
    time: float


def eval_note(config: NoteConfig, workspace: Workspace) -> str:
    """Append the lesson to the report's notes."""
    if not config.lesson.strip():
        raise UsageError("a lesson needs a text")
    report = report_store.load(workspace, config.report)
    jsonl.append(_lessons_of(workspace, report), [Lesson(text=config.lesson.strip(), time=time.time())])
    return f"noted with {report.ref}, {report.subject}"


def _lessons_of(workspace: Workspace, report: StoredReport) -> Path:
    return report_store.folder_of(workspace, report.ref) / LESSONS


class HistoryConfig(Config, frozen=True, kw_only=True):
    """Show every evaluated version of an expert, with its lessons."""

    positional: ClassVar[tuple[str, ...]] = ("expert",)
    expert: str
    """A registered name, or the name of a stored model."""
    suite: str = ""
    """Only reports of this suite."""


class VersionMeasured(Value, frozen=True, kw_only=True):
    """One evaluation of one version."""

    model: str
    report: str
    suite: str
    suite_digest: str
    solved: Interval
    difference: Interval
    base: str
    gate: str
    """passed, refused, or empty: no gate was run."""
    detail: str
    """The version's detail tag in the registry."""
    lessons: tuple[str, ...]
    """Lessons noted with the report, and why the version is deprecated."""


class ExpertHistory(Value, frozen=True, kw_only=True):
    """Evaluations, oldest first, grouped by suite."""

    expert: str
    rows: tuple[VersionMeasured, ...]

    def text(self) -> str:
        """A table per suite."""
        parts = []
        for suite in dict.fromkeys((row.suite, row.suite_digest) for row in self.rows):
            rows = [row for row in self.rows if (row.suite, row.suite_digest) == suite]
            lines = [f"{suite[0]}  (sha256 {suite[1][:12]})"]
            for row in rows:
                against = f"{format_difference(row.difference)} to {row.base}" if row.base else "no base"
                lines.append(f"  {row.model:<20} {percent(row.solved):<22} {against:<44} {row.gate}".rstrip())
                lines += [f"      {text}" for text in (row.detail, *row.lessons) if text]
            parts.append("\n".join(lines))
        return "\n\n".join(parts)


def eval_history(config: HistoryConfig, workspace: Workspace) -> ExpertHistory:
    """Collect the reports on any version of the expert."""
    notes = _versions(workspace, config.expert)
    reports = report_store.all_reports(workspace)
    gates = _gates(reports)
    rows = [
        _measured(workspace, report, gates, notes)
        for report in reports
        if report.results.path == report_store.RESULTS
        and (report.subject in notes or report.subject.partition("@")[0] == config.expert)
        and config.suite in ("", report.suite)
    ]
    if not rows:
        names = {report.subject.partition("@")[0] for report in reports}
        raise UsageError(f"no report on {config.expert!r}{suggest_name(config.expert, names)}")
    return ExpertHistory(expert=config.expert, rows=tuple(rows))


def _versions(workspace: Workspace, expert: str) -> dict[str, Version]:
    """Artifact ref -> registry entry."""
    entries = Registry(workspace).entries()
    if expert not in entries:
        return {}
    return {version.ref: version for version in entries[expert].versions}


def _gates(reports: list[StoredReport]) -> dict[str, str]:
    found = {}
    for report in reports:
        gate = report.environment.get("gate")
        if isinstance(gate, dict):
            found[str(report.environment.get("report"))] = "gate passed" if gate.get("passed") else "gate refused"
    return found


def _measured(
    workspace: Workspace, report: StoredReport, gates: dict[str, str], versions: dict[str, Version]
) -> VersionMeasured:
    unknown = Interval(value=None)
    path, version = _lessons_of(workspace, report), versions.get(report.subject)
    lessons = [f"lesson: {lesson.text}" for lesson in jsonl.read(path, Lesson)] if path.exists() else []
    if version is not None and version.deprecated:
        lessons.append(f"deprecated: {version.deprecated}")
    return VersionMeasured(
        model=report.subject,
        report=report.ref,
        suite=report.suite,
        suite_digest=report.suite_digest,
        solved=report.summary.get("solved", unknown),
        difference=report.summary.get("difference", unknown),
        base=str(report.environment.get("base", "")),
        gate=gates.get(report.ref, ""),
        detail=version.detail if version else "",
        lessons=tuple(lessons),
    )
