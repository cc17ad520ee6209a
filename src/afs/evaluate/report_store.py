"""Stored reports: a folder with the summary, the results table and the rendered pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import msgspec

from afs import jsonl
from afs.errors import DataError
from afs.evaluate import result_rows
from afs.evaluate.result_rows import LOST, ResultRow, Table
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.manifests import file_entry, other_entries, read_manifest, refuse_changed, write_manifest
from afs.types import Interval, Json, Ref, Report, Task
from afs.workspace import MANIFEST, Workspace

RESULTS = "results.jsonl.zst"
ITEMS = "items.jsonl.zst"
PAGE = "report.html"


class StoredReport(Report, frozen=True, kw_only=True):
    """A report with its text for the terminal."""

    def text(self) -> str:
        """The verdict, the shares, and the path of the page."""
        notes = [str(note) for note in cast(Sequence[object], self.environment.get("notes", ()))]
        parts = [str(self.environment.get("verdict", "")), self._table(), "\n".join(notes), f"report {self.ref}"]
        return "\n\n".join(part for part in parts if part)

    def _table(self) -> str:
        """One line per category: subject, base and difference with their intervals."""
        columns = {"solved": self.subject, "base": str(self.environment.get("base", "")), "difference": "difference"}
        shown = [name for name in columns if name in self.summary]
        scopes = dict.fromkeys(key.partition(":")[2] for key in self.summary if key.partition(":")[0] in columns)
        width = max((len(scope) for scope in scopes), default=0)
        lines = [" ".join([f"{'':<{max(width, 3)}}", *(f"{columns[name]:<25.24}" for name in shown)]).rstrip()]
        for scope in scopes:
            cells = [percent(self.summary.get(f"{name}:{scope}" if scope else name)) for name in shown]
            lines.append(" ".join([f"{scope or 'all':<{max(width, 3)}}", *(f"{cell:<25}" for cell in cells)]).rstrip())
        return "\n".join(lines) if shown else ""


def percent(interval: Interval | None) -> str:
    """A share with its interval, in percent."""
    if interval is None or interval.value is None:
        return "unknown"
    value = f"{100 * interval.value:.1f}"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def write_packed(path: Path, rows: Iterable[object]) -> None:
    """JSON lines in a compressed file."""
    content = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    jsonl.replace(path, jsonl.compress(content))


def store(
    workspace: Workspace,
    name: str,
    suite: Suite,
    rows: Sequence[ResultRow],
    report: Json,
    pages: Sequence[tuple[str, bytes]] = (),
) -> StoredReport:
    """Store a report: results first, pages, the manifest last."""
    earlier = workspace.newest_of_run("report", name, str(report.get("run", "")), StoredReport)
    if earlier and table(workspace, earlier).rows == list(rows):
        return earlier
    with workspace.new_version("report", name) as (ref, folder):
        write_packed(folder / RESULTS, rows)
        write_packed(folder / ITEMS, suite.items)
        for file, content in pages:
            jsonl.replace(folder / file, content)
        entry = file_entry(folder, folder / RESULTS, len(rows))
        made = msgspec.convert({**report, "ref": str(ref), "results": msgspec.to_builtins(entry)}, StoredReport)
        made = write_manifest(folder / MANIFEST, msgspec.structs.replace(made, files=other_entries(folder, [entry])))
    return made


def load(workspace: Workspace, text: str) -> StoredReport:
    """A stored report."""
    return read_manifest(folder_of(workspace, text) / MANIFEST, StoredReport)


def folder_of(workspace: Workspace, text: str) -> Path:
    """The folder of a report."""
    return workspace.path(workspace.resolve(text, "report"))


def all_reports(workspace: Workspace) -> list[StoredReport]:
    """All stored reports, by name and version."""
    refs = [
        Ref(kind="report", name=name, version=version)
        for name in workspace.names("report")
        for version in workspace.versions("report", name)
    ]
    return [load(workspace, str(ref)) for ref in refs]


def items(workspace: Workspace, report: Report) -> list[SuiteItem]:
    """The items a report was measured on, as they were."""
    path = workspace.path(Ref.parse(report.ref, "report")) / ITEMS
    for entry in report.files:
        if entry.path == ITEMS:
            refuse_changed(path, entry)
    return list(jsonl.read(path, SuiteItem))


def table(workspace: Workspace, report: Report) -> Table:
    """The rows of a report."""
    folder = workspace.path(Ref.parse(report.ref, "report"))
    path = folder / report.results.path
    if not path.is_file():
        raise DataError(f"{path}: the report's results are missing")
    refuse_changed(path, report.results)
    return result_rows.read(path)


def subject_results(workspace: Workspace, text: str) -> list[tuple[Task, bool]]:
    """The tasks of a report and whether its subject solved each; what it could not be asked is left out."""
    report = load(workspace, text)
    tasks = {item.id: item.task for item in items(workspace, report)}
    rows = table(workspace, report).of(report.subject)
    return [(tasks[row.item], row.ok is True) for row in rows if row.outcome not in LOST and row.item in tasks]
