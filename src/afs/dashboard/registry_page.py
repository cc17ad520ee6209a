"""Evaluation, Registry and Council: reports and ranks, who answers and how that came, how questions are routed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from afs import artifacts, datasets
from afs.council.router import RouterCard
from afs.dashboard.dashboard_state import Views
from afs.dashboard.flips import find_flips
from afs.dashboard.home_page import render_results
from afs.dashboard.lineage_drawing import draw_lineage
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    cite,
    details,
    format_moment,
    heading,
    mark,
    paragraph,
    table,
)
from afs.dashboard.route_log import ROUTES, read_routes
from afs.dashboard.run_facts import read_json
from afs.dashboard.stored_facts import ReportRow, list_versions
from afs.errors import AfsError
from afs.evaluate.history import LeaderboardConfig, eval_leaderboard
from afs.pages import Html, format_percent, join
from afs.registry import Entry, Event, Version
from afs.types import Interval

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
                (one.place, one.model, format_percent(one.solved, 1), cite(one.report, _report_path(one.report)))
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
        title = join([cite(row.ref, _report_path(str(row.ref))), f": {found.gained} gained, {found.lost} lost"])
        head = ("", "item", row.subject, found.base, "why the wrong one is wrong")
        shown.append(details(title, table(head, lines), is_open=not shown))
    hint = "items that only one of the two models solved; the difference between them is these"
    return join([heading("Flips", hint), *shown]) if shown else Html("")


def _report_path(ref: str) -> str:
    name, _, version = ref.partition("@")
    return f"reports/{name}/{version}/manifest.json"


def _inspect(views: Views) -> Html:
    found = [run.id for run in views.index.runs[:200] if (run.folder / "inspect").is_dir()]
    if not found:
        return Html("")
    lines = [paragraph(f"inspect view --log-dir runs/{run}/inspect") for run in found[:10]]
    return join([heading("Transcripts", "every sample with its messages, in inspect's own viewer"), *lines])


def registry_page(views: Views) -> Page:
    """Names, versions, gates, how they became champions, and what they were made of."""
    entries = list(views.stored.entries().values())
    if not entries:
        body = paragraph("No model is registered: `afs models register` adds one.")
        return Page("registry.html", "Registry", [PagePart("none", body)])
    parts = [
        PagePart(
            "names", join([heading("Names", "an expert and its versions"), *(_entry(entry) for entry in entries)])
        ),
        PagePart("lineage", _lineage(views, entries), every_s=-1),
        PagePart("history", _history(views.stored.history())),
    ]
    return Page("registry.html", "Registry", parts)


def _entry(entry: Entry) -> Html:
    holders: dict[str, list[str]] = {}
    for alias, ref in entry.aliases.items():
        holders.setdefault(ref, []).append(alias)
    rows = [_version_row(version, holders.get(version.ref, [])) for version in reversed(entry.versions)]
    shown = table(("version", "", "form", "base", "registered", "reports"), rows)
    runs_on = [f"runs on {host}: {row.get('ref')}" for host, row in entry.deployments.items()]
    answers = f"answers {', '.join(entry.expert.tags)}" if entry.expert.tags else ""
    return join([Html(f"<h3>{escape(entry.name)}</h3>"), paragraph(answers, "soft"), shown, *map(paragraph, runs_on)])


def _version_row(version: Version, aliases: Sequence[str]) -> Sequence[object]:
    name, _, number = version.ref.partition("@")
    marks = [mark(alias, "good" if alias == "champion" else "soft") for alias in aliases]
    marks += [mark("deprecated", "odd")] if version.deprecated else []
    reports = (
        join(join([cite(ref, _report_path(ref)), " "]) for ref in version.reports)
        if version.reports
        else "not evaluated"
    )
    ref = cite(version.ref, f"models/{name}/{number}/manifest.json")
    return (ref, join(marks), version.form, version.base, version.registered[:16].replace("T", " "), reports)


def _lineage(views: Views, entries: Sequence[Entry]) -> Html:
    edges: dict[tuple[str, str], None] = {}
    waiting = [entry.current for entry in entries if entry.current]
    seen = set(waiting)
    while waiting and len(seen) < 200:
        ref = waiting.pop()
        for parent in _parents(views, ref):
            edges[(parent, ref)] = None
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    for entry in entries:
        if entry.current:
            edges[(entry.current, f"expert {entry.name}")] = None
    hint = "from records to datasets, models and experts; `afs models trace MODEL` goes down to the source line"
    return join([heading("Lineage", hint), draw_lineage(list(edges))]) if edges else Html("")


def _parents(views: Views, ref: str) -> list[str]:
    try:
        model = artifacts.load(views.workspace, ref)
        named = [model.dataset, model.base, *model.parents]
    except AfsError:
        try:
            named = list(datasets.load(views.workspace, ref).parents)
        except AfsError:
            return []
    plain = [one.rpartition(":")[2] for one in named if one and "@" in one]
    return list(dict.fromkeys(plain))


def _history(events: Sequence[Event]) -> Html:
    rows = []
    for event in reversed(events[-200:]):
        word = {"promote": "good", "rollback": "odd", "deprecate": "odd", "delete": "odd"}.get(event.action, "soft")
        rows.append((format_moment(event.time), mark(event.action, word), event.name, event.ref, _why(event)))
    record = cite("events/registry.jsonl", "events/registry.jsonl")
    shown = table(("when", "what", "name", "version", "why"), rows)
    hint = "every change in a chain that cannot be altered unnoticed"
    return join([heading("History", hint), shown, paragraph(join(["Read from ", record]), "soft")])


def _why(event: Event) -> str:
    parts = []
    if event.action == "gate":
        parts.append(f"{event.fields.get('subject')} {'passed' if event.fields.get('passed') else 'did not pass'}")
    parts += [f"gate {event.fields['gate']}"] if event.fields.get("gate") else []
    parts += [str(event.fields[name]) for name in ("reason", "report", "host") if event.fields.get(name)]
    return ", ".join(parts)


def council_page(views: Views) -> Page:
    """Experts, routers with what was measured of them, and the routes of answered questions."""
    entries = views.stored.entries()
    rows = [(e.name, ", ".join(e.expert.tags), e.current, e.expert.domain or "nothing") for e in entries.values()]
    shown = table(("expert", "answers", "model", "checked by"), rows) if rows else paragraph("No expert yet.")
    parts = [
        PagePart("experts", join([heading("Experts", "who may answer; each question goes to those that fit"), shown])),
        PagePart("routers", _routers(views)),
        PagePart("routes", _routes(views)),
    ]
    return Page("council.html", "Council", parts)


def _routers(views: Views) -> Html:
    found = []
    for ref in list_versions(views.workspace, "artifact"):
        stored = read_json(views.workspace.path(ref) / "router.json")
        try:
            card = msgspec.convert(stored, RouterCard) if stored else None
        except msgspec.ValidationError:
            continue
        if card is not None:
            found.append(_router(str(ref), f"models/{ref.name}/{ref.version}/manifest.json", card))
    hint = "a router reads a question and names the expert; when it is not sure, it abstains"
    return join([heading("Routers", hint), *reversed(found)]) if found else Html("")


def _router(ref: str, record: str, card: RouterCard) -> Html:
    known = card.figures
    rows: list[tuple[str, Interval | None, str]] = [
        ("routed right", known.accuracy if known else None, "of all held-out questions"),
        ("answered right", known.answered if known else None, "of those it is sure of"),
        ("sure", known.coverage if known else None, "share it does not abstain from"),
        ("abstains off topic", card.off_topic, "share of foreign questions it sends to no expert"),
    ]
    shown = table(
        ("figure", "value", ""), [(name, cite(format_percent(value, 1), record), hint) for name, value, hint in rows]
    )
    experts = [(name, format_percent(value, 1)) for name, value in known.by_label.items()] if known else []
    by_expert = details("by expert", table(("expert", "routed right"), experts)) if experts else Html("")
    title = f"{ref}: {', '.join(card.labels)}; {card.held_out:,} held-out questions"
    return join([Html(f"<h3>{escape(title)}</h3>"), shown, by_expert])


def _routes(views: Views) -> Html:
    found = read_routes(views.workspace.root)
    if found is None:
        text = "No question was answered yet: `afs ask`, `afs chat` and `afs serve` write the log."
        return join([heading("Routes"), paragraph(text, "soft")])
    hint = "who answered the latest questions, at which step its check ended, and how long it took"
    head = ("expert", "answers", "share", "checks ended at", "median / 95 %")
    latest = table(("when", "expert", "router", "verdict", "took"), found.latest)
    record = paragraph(join(["Read from ", cite(ROUTES, ROUTES)]), "soft")
    return join([heading("Routes", hint), table(head, found.by_expert), details("the latest", latest), record])
