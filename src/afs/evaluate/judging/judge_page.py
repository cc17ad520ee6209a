"""The judges on a report's page: reliability, corrected scores, ranking, and proposed items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import msgspec

from afs.evaluate.judging.judge_findings import JudgeHealth, Twin
from afs.evaluate.report import Facts, build_view
from afs.evaluate.report.html_report import html_table, render_html
from afs.evaluate.report.markdown import format_number, format_share, render_markdown
from afs.evaluate.report.markdown import markdown_table as lines
from afs.evaluate.result_rows import Table
from afs.evaluate.suite_types import SuiteItem
from afs.types import Interval

SHOWN_TWINS = 60
"""Proposals shown; `twins.jsonl` has all of them."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Results of the judges' votes."""

    scores: Mapping[str, Interval]
    judges: Sequence[JudgeHealth]
    ranked: Mapping[str, Interval]
    twins: Sequence[Twin]
    panel: float
    """Effective number of independent judges."""
    gold: int
    """Answers with known truth."""


def judge_pages(facts: Facts, table: Table, found: Findings, notes: Sequence[str]) -> list[tuple[str, bytes]]:
    """The source's page with the judges above its answers, and the same in Markdown; `notes`: verdict, then notes."""
    view = msgspec.structs.replace(build_view(facts, table), verdict=notes[0], notes=tuple(notes[1:]))
    items = {item.id: item for item in facts.suite.items}
    health = [_health(judge) for judge in found.judges]
    scores = [[name, format_share(interval)] for name, interval in found.scores.items()]
    ranked = [[name, _strength(interval)] for name, interval in found.ranked.items()]
    head = ["judge", "votes", "abstained", "sensitivity", "specificity", "flip rate", "note"]
    sections = [
        ("Judges", html_table(head, _safe(health))),
        ("Corrected scores", html_table(["model", "right"], _safe(scores))),
    ]
    if ranked:
        sections.append(("Strength in pairs (Bradley-Terry)", html_table(["model", "strength"], _safe(ranked))))
    if found.twins:
        sections.append(("New items are needed", _twins(found.twins, items)))
    text = f"{render_markdown(view)}\n## Judges\n\n{lines(head, health)}\n\n## Corrected scores\n\n"
    text += lines(["model", "right"], scores) + "\n"
    return [("report.html", render_html(view, table, sections)), ("report.md", text.encode())]


def _safe(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[escape(cell) for cell in row] for row in rows]


def _health(judge: JudgeHealth) -> list[str]:
    shares = [format_number(value) for value in (judge.sensitivity, judge.specificity)]
    flips = format_number(judge.flip_rate)
    return [judge.judge, str(judge.votes), str(judge.abstained), *shares, flips, judge.note or "–"]


def _strength(interval: Interval) -> str:
    return f"{interval.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def _twins(twins: Sequence[Twin], items: Mapping[str, SuiteItem]) -> str:
    rows = [
        [
            escape(t.family),
            escape(t.item),
            escape(t.model),
            format_number(t.chance),
            escape(items[t.item].task.prompt[:160]),
        ]
        for t in twins[:SHOWN_TWINS]
    ]
    text = "<p>The judges disagree on these answers. Add new items of these families; never train on these.</p>"
    return text + html_table(["family", "item", "model", "chance it is right", "question"], rows, "source")
