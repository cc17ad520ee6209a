"""The page of evaluations: leaderboards, what changed between reports, and the reports themselves."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from afs.dashboard.dashboard_state import Views
from afs.dashboard.flips import find_flips
from afs.dashboard.home_page import render_results
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    cite,
    details,
    heading,
    mark,
    paragraph,
    table,
)
from afs.dashboard.registry_page import report_path
from afs.dashboard.stored_facts import ReportRow
from afs.errors import AfsError
from afs.evaluate.leaderboard import LeaderboardConfig, eval_leaderboard
from afs.pages import Html, format_percent, join

_FLIP_REPORTS = 5


def evaluation_page(views: Views) -> Page:
    """Reports, ranks, and where each answer can be looked at."""
    reports = views.stored.reports()
    parts = [
        PagePart("reports", render_results(reports) or paragraph("No report yet: `afs eval run` makes one.")),
        PagePart(
            "ranks", join(_board(views, suite) for suite in dict.fromkeys(r.suite for r in reports if r.gate is None))
        ),
        PagePart("flips", _flips(views, reports), every_s=-1),
        PagePart("inspect", _inspect(views)),
    ]
    return Page("evaluation.html", "Evaluation", parts)


def _board(views: Views, suite: str) -> Html:
    try:
        boards = eval_leaderboard(LeaderboardConfig(suite=suite), views.workspace).boards
    except AfsError as error:
        return paragraph(str(error), "bad")
    tables = [
        table(
            ("rank", "model", "solved", "report"),
            [
                (one.place, one.model, format_percent(one.solved, 1), cite(one.report, report_path(one.report)))
                for one in board.places
            ],
        )
        for board in boards
    ]
    hint = "same items, sampling and scorer; models whose intervals overlap share a rank"
    return join([heading(f"Ranks on {suite}", hint), *tables])


def _flips(views: Views, reports: Sequence[ReportRow]) -> Html:
    """Of the newest reports with a base: what only one of the two solved, losses first."""
    shown: list[Html] = []
    for row in [one for one in reports if one.gate is None][:_FLIP_REPORTS]:
        found = find_flips(views.workspace.root, str(row.ref))
        if found is None or not found.latest:
            continue
        lines = [
            (
                mark("gained", "good") if flip.is_gain else mark("lost", "bad"),
                join([flip.family, Html(f'<span class="id">{escape(flip.item)}</span>')]),
                flip.answer,
                flip.base_answer,
                flip.reason,
            )
            for flip in found.latest
        ]
        title = join([cite(row.ref, report_path(str(row.ref))), f": {found.gained} gained, {found.lost} lost"])
        head = ("", "item", row.subject, found.base, "why the wrong one is wrong")
        shown.append(details(title, table(head, lines), is_open=not shown))
    hint = "items that only one of the two models solved; the difference between them is these"
    return join([heading("Flips", hint), *shown]) if shown else Html("")


def _inspect(views: Views) -> Html:
    found = [run.id for run in views.index.runs[:200] if (run.folder / "inspect").is_dir()]
    if not found:
        return Html("")
    lines = [paragraph(f"inspect view --log-dir runs/{run}/inspect") for run in found[:10]]
    return join([heading("Transcripts", "every sample with its messages, in inspect's own viewer"), *lines])
