"""The judges on a report's page: what each is worth, the corrected scores, the ranking, the items that are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import msgspec

from afs.evaluate.judging.records import JudgeHealth, Twin
from afs.evaluate.report import Facts, tell
from afs.evaluate.report.html_report import grid, page
from afs.evaluate.report.markdown import grid as lines
from afs.evaluate.report.markdown import markdown, number, share
from afs.evaluate.result_rows import Table
from afs.evaluate.suite_items import SuiteItem
from afs.types import Interval

SHOWN_TWINS = 60
"""Proposals shown; `twins.jsonl` holds all of them."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What the judges' votes came to."""

    scores: Mapping[str, Interval]
    judges: Sequence[JudgeHealth]
    ranked: Mapping[str, Interval]
    twins: Sequence[Twin]
    panel: float
    """How many independent judges it is worth."""
    gold: int
    """Answers of known truth."""


def pages(facts: Facts, table: Table, found: Findings, said: Sequence[str]) -> list[tuple[str, bytes]]:
    """The source's page with the judges above its answers, and the same in Markdown; `said`: verdict, then notes."""
    told = msgspec.structs.replace(tell(facts, table), verdict=said[0], notes=tuple(said[1:]))
    items = {item.id: item for item in facts.suite.items}
    health = [_health(judge) for judge in found.judges]
    scores = [[name, share(interval)] for name, interval in found.scores.items()]
    ranked = [[name, _strength(interval)] for name, interval in found.ranked.items()]
    head = ["judge", "votes", "abstained", "sensitivity", "specificity", "flip rate", "note"]
    sections = [("Judges", grid(head, _safe(health))), ("Corrected scores", grid(["model", "right"], _safe(scores)))]
    if ranked:
        sections.append(("Strength in pairs (Bradley-Terry)", grid(["model", "strength"], _safe(ranked))))
    if found.twins:
        sections.append(("New twin items are wanted", _twins(found.twins, items)))
    text = f"{markdown(told)}\n## Judges\n\n{lines(head, health)}\n\n## Corrected scores\n\n"
    text += lines(["model", "right"], scores) + "\n"
    return [("report.html", page(told, table, sections)), ("report.md", text.encode())]


def _safe(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[escape(cell) for cell in row] for row in rows]


def _health(judge: JudgeHealth) -> list[str]:
    shares = [number(value) for value in (judge.sensitivity, judge.specificity)]
    flips = number(judge.flip_rate)
    return [judge.judge, str(judge.votes), str(judge.abstained), *shares, flips, judge.note or "–"]


def _strength(interval: Interval) -> str:
    return f"{interval.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def _twins(twins: Sequence[Twin], items: Mapping[str, SuiteItem]) -> str:
    rows = [
        [escape(t.family), escape(t.item), escape(t.model), number(t.chance), escape(items[t.item].task.prompt[:160])]
        for t in twins[:SHOWN_TWINS]
    ]
    text = "<p>The judges are at odds about these answers. Make new items of these families; never train on these.</p>"
    return text + grid(["family", "item", "model", "chance it is right", "question"], rows, "source")
