"""Reports of an evaluation: one self-contained page, Markdown, and the machine's summary, all from the same facts."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

import afs
from afs.evaluate.compare import Cut, Metric
from afs.evaluate.report.html_report import page
from afs.evaluate.report.markdown import markdown
from afs.evaluate.report.report_facts import JUDGED, OF_BASE, Facts, Told, command, summary, tell
from afs.evaluate.result_rows import Table
from afs.evaluate.suite_items import Suite, SuiteItem
from afs.providers.base import Sampling
from afs.types import Json, Report

__all__ = ["OF_BASE", "Built", "Facts", "Told", "build", "command", "environment", "facts_of", "tell"]


class Built(NamedTuple):
    """The manifest's fields and the pages beside it."""

    report: Json
    pages: Sequence[tuple[str, bytes]]
    told: Told


def build(facts: Facts, table: Table) -> Built:
    """Compute a report and render its pages."""
    told = tell(facts, table)
    fields: Json = {
        "subject": told.subject,
        "suite": told.suite,
        "suite_digest": told.suite_digest,
        "summary": msgspec.to_builtins(summary(told)),
        "environment": environment(told),
        "run": told.run,
    }
    pages = (("report.html", page(told, table)), ("report.md", markdown(told).encode()))
    return Built(fields, pages, told)


def environment(told: Told) -> Json:
    """All that was told but the flips, with the machine it was measured on."""
    plain = msgspec.to_builtins(told, enc_hook=str)
    for name in ("flips", "subject", "suite", "suite_digest", "run"):
        plain.pop(name, None)
    own = next((model for model in told.models if model["model"] == told.subject), {})
    machine = {"python": platform.python_version(), "system": platform.platform(), "afs": afs.__version__}
    return {**plain, "subject_digest": own.get("digest", ""), "machine": machine}


def facts_of(old: Report, items: Sequence[SuiteItem], command: str, run: str) -> Facts:
    """What the caller of a stored report knew, to tell it again."""
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
