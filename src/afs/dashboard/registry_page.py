"""The page of the registry: who answers, and how that came."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from afs import artifacts, datasets
from afs.dashboard.dashboard_state import Views
from afs.dashboard.lineage_drawing import draw_lineage
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    cite,
    format_moment,
    heading,
    mark,
    paragraph,
    table,
)
from afs.errors import AfsError
from afs.pages import Html, join
from afs.registry import Entry, Event, Version


def report_path(ref: str) -> str:
    name, _, version = ref.partition("@")
    return f"reports/{name}/{version}/manifest.json"


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
        join(join([cite(ref, report_path(ref)), " "]) for ref in version.reports)
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
