"""Reports of an evaluation: one self-contained page, Markdown, and the machine's summary, all from the same facts."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

import afs
from afs.evaluate.compare import Cut, Metric
from afs.evaluate.report.html_report import render_html
from afs.evaluate.report.markdown import render_markdown
from afs.evaluate.report.report_facts import (
    JUDGED,
    OF_BASE,
    Facts,
    ReportView,
    build_view,
    reproduce_command,
    summary_intervals,
)
from afs.evaluate.result_rows import Table
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.providers.base import Sampling
from afs.types import Json, Report

__all__ = [
    "OF_BASE",
    "BuiltReport",
    "Facts",
    "ReportView",
    "build_report",
    "build_view",
    "facts_of",
    "report_environment",
    "reproduce_command",
]


class BuiltReport(NamedTuple):
    """The manifest's fields and the rendered pages."""

    report: Json
    pages: Sequence[tuple[str, bytes]]
    view: ReportView


def build_report(facts: Facts, table: Table) -> BuiltReport:
    """Compute a report and render its pages."""
    view = build_view(facts, table)
    fields: Json = {
        "subject": view.subject,
        "suite": view.suite,
        "suite_digest": view.suite_digest,
        "summary": msgspec.to_builtins(summary_intervals(view)),
        "environment": report_environment(view),
        "run": view.run,
    }
    pages = (("report.html", render_html(view, table)), ("report.md", render_markdown(view).encode()))
    return BuiltReport(fields, pages, view)


def report_environment(view: ReportView) -> Json:
    """All that was view but the flips, with the machine it was measured on."""
    plain = msgspec.to_builtins(view, enc_hook=str)
    for name in ("flips", "subject", "suite", "suite_digest", "run"):
        plain.pop(name, None)
    own = next((model for model in view.models if model["model"] == view.subject), {})
    machine = {"python": platform.python_version(), "system": platform.platform(), "afs": afs.__version__}
    return {**plain, "subject_digest": own.get("digest", ""), "machine": machine}


def facts_of(old: Report, items: Sequence[SuiteItem], command: str, run: str) -> Facts:
    """Facts of a stored report, to render it again."""
    known = old.environment
    return Facts(
        suite=Suite(name=old.suite, items=tuple(items), version=str(known.get("suite_version", "1"))),
        models=tuple(cast(list[Json], known.get("models", []))),
        subject=old.subject,
        base=str(known.get("base", "")),
        metric=cast(Metric, known.get("metric", "solved")),
        cut=cast(Cut, known.get("cut", "unsolved")),
        sampling=msgspec.convert(known.get("sampling", {}), Sampling),
        command=command,
        run=run,
        numbers={name: n for name, n in old.summary.items() if name.partition(":")[0] not in JUDGED},
    )
