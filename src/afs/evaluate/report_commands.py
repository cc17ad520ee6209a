"""Commands on stored reports: compare any two models, write a report in another format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from afs import jsonl, plugins
from afs.config import Config
from afs.errors import UsageError
from afs.evaluate import report_store
from afs.evaluate.compare import Comparison, Cut, Metric, compare, format_points
from afs.evaluate.report.markdown import format_p
from afs.evaluate.result_rows import Table
from afs.plugins import suggest_name
from afs.types import Report, Value
from afs.workspace import Workspace

PICTURE = plugins.Late[Callable[[Report], bytes]]("afs.evaluate.report.report_image:render_image")
"""Loaded on demand: it needs Pillow."""


class EvalCompareConfig(Config, frozen=True, kw_only=True):
    """Compare two models evaluated on the same suite."""

    positional: ClassVar[tuple[str, ...]] = ("reports",)
    reports: tuple[str, ...]
    """One report that holds both models, or two reports."""
    model: str = ""
    """The model; empty: the subject of the first report."""
    base: str = ""
    """The model to compare with; empty: the subject of the second report, or the base of a single one."""
    metric: Metric = "solved"
    """Count solved items, or average scores."""
    cut: Cut = "unsolved"
    """How an answer cut at the token limit counts."""


class Compared(Value, frozen=True, kw_only=True):
    """Differences over all items and per category."""

    comparisons: tuple[Comparison, ...]

    def text(self) -> str:
        """A line a scope."""
        first = self.comparisons[0]
        rows = [f"{first.model} against {first.base}, in points"]
        for c in self.comparisons:
            d = c.difference
            span = f"[{format_points(d.low)}, {format_points(d.high)}]"
            split = f"{c.better} only it, {c.worse} only the base"
            rows.append(
                f"  {c.scope:<16} {format_points(d.value):>7} {span:<18} p {format_p(c.p):<7} n={d.n:<5} {split:<34} "
                f"{c.verdict} ({c.method})"
            )
        return "\n".join(rows)


def eval_compare(config: EvalCompareConfig, workspace: Workspace) -> Compared:
    """Compare, or refuse with the reason."""
    reports = [report_store.load(workspace, name) for name in config.reports]
    if not 1 <= len(reports) <= 2:
        raise UsageError("want one report that holds both models, or two reports")
    rows = [row for report in reports for row in report_store.table(workspace, report).rows]
    model = config.model or reports[0].subject
    other = reports[1].subject if len(reports) == 2 else str(reports[0].environment.get("base", ""))
    base = config.base or other
    table = Table(rows)
    for name in (model, base):
        if name not in table.models:
            raise UsageError(f"the reports hold no model {name!r}{suggest_name(name, table.models)}")
    found = compare(table, model, base, config.metric, config.cut)
    return Compared(comparisons=tuple(found))


class EvalReportConfig(Config, frozen=True, kw_only=True):
    """Write a stored report in another form."""

    positional: ClassVar[tuple[str, ...]] = ("report",)
    report: str
    """The report."""
    to: Literal["html", "md", "json", "png"] = "html"
    """The format; an image holds the verdict and the forest plot."""
    out: Path | None = None
    """File to write; empty: the report's own folder."""


def eval_report(config: EvalReportConfig, workspace: Workspace) -> str:
    """Write the report and return its path."""
    report = report_store.load(workspace, config.report)
    folder = report_store.folder_of(workspace, config.report)
    if config.to == "json":
        content = msgspec.json.format(msgspec.json.encode(report), indent=2)
    elif config.to == "png":
        content = PICTURE.load()(report)
    else:
        page = folder / f"report.{config.to}"
        if not page.is_file():
            raise UsageError(f"{report.ref} is a gate's report and has no page: {report.environment.get('verdict')}")
        content = page.read_bytes()
    target = config.out or folder / f"report.{config.to}"
    if config.out is not None or not target.exists():
        jsonl.replace(target, content)
    return str(target)
