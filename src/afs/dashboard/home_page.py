"""Home: what runs, what it costs, what is wrong, and what came out, on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from afs.dashboard.alerts import Alert
from afs.dashboard.campaign_facts import CampaignFacts
from afs.dashboard.cloud_facts import RentalCost, list_machines
from afs.dashboard.curve_charts import render_chart
from afs.dashboard.dashboard_state import Views
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    badge,
    bar,
    cite,
    count_of,
    details,
    format_moment,
    format_number,
    format_seconds,
    format_span,
    format_usd,
    heading,
    link,
    mark,
    paragraph,
    table,
    tile,
    tiles,
    with_code,
)
from afs.dashboard.run_charts import run_charts
from afs.dashboard.run_facts import RunFacts
from afs.dashboard.run_index import FollowedRun
from afs.dashboard.stored_facts import Champion, ReportRow
from afs.pages import Html, format_percent, join
from afs.pages.charts import ForestRow, draw_forest

LIVE = ("running", "quiet", "stalled")
_LATEST = 12
_MOST_ALERTS = 20
_FOLLOWED = ("train", "train resume")


def home_page(views: Views) -> Page:
    """The page."""
    facts = views.run_facts()
    campaigns = views.campaigns()
    alerts = views.alerts()
    sections = [
        PagePart("tiles", _tiles(views, facts, campaigns, alerts)),
        PagePart("alerts", render_alerts(alerts)),
        PagePart("running", _running([one for one in facts if one.liveness in LIVE])),
    ]
    latest = next((one for one in facts if one.verb in _FOLLOWED), None)
    run = views.run(latest.id) if latest else None
    if latest and run:
        sections.append(PagePart("latest", _latest(latest, run), every_s=5.0))
    sections += [
        PagePart("campaigns", _campaigns(campaigns, views.broken_campaigns)),
        PagePart("results", render_results(views.stored.reports()[:_LATEST])),
        PagePart("champions", _champions(views.stored.champions())),
        PagePart("recent", _recent(facts)),
    ]
    return Page("index.html", "What runs, what it costs, what is wrong", sections)


def _tiles(
    views: Views, facts: Sequence[RunFacts], campaigns: Sequence[CampaignFacts], alerts: Sequence[Alert]
) -> Html:
    live = [one for one in facts if one.liveness in LIVE]
    urgent = _grouped(alert for alert in alerts if alert.level != "note")
    problems = sum(group[0].level == "problem" for group in urgent)
    disk = views.stored.disk()
    return tiles(
        [
            tile("running", len(live), _ending(live), "good" if live else ""),
            tile(
                "needs attention",
                len(urgent),
                (f"{problems} of them are problems" if problems else "warnings only") if urgent else "all is well",
                "bad" if problems else "odd" if urgent else "good",
            ),
            _cost_tile(views, facts, campaigns, is_live=bool(live)),
            tile(
                "disk free",
                f"{disk.free / 2**30:.0f} GiB",
                f"of {disk.total / 2**30:.0f} GiB",
                "bad" if disk.is_nearly_full else "",
            ),
        ]
    )


def _cost_tile(views: Views, facts: Sequence[RunFacts], campaigns: Sequence[CampaignFacts], *, is_live: bool) -> Html:
    machines = list_machines(views.workspace)
    spent, projected, unknown = total_cost(facts, campaigns, machines)
    rate = sum(one.rental.usd_hour for one in machines if one.is_open)
    notes = [f"{format_usd(projected)} when all that runs is done"] if is_live else []
    notes += [f"rented machines: {format_usd(rate)} an hour"] if rate else []
    notes = notes or ["nothing is being spent"]
    if unknown:
        notes.append(f"calls of unknown price at most {format_usd(unknown)} more")
    unpriced = sum(one.verb.startswith("train") and one.cost_usd is None for one in facts)
    if unpriced:
        notes.append(f"{count_of(unpriced, 'training run')} without a price")
    return tile("spent so far", format_usd(spent), "; ".join(notes))


def _ending(live: Sequence[RunFacts]) -> str:
    known = [one.eta_s.value for one in live if one.eta_s.value is not None]
    return f"the last one ends in {format_seconds(max(known))}" if known else "nothing runs" if not live else ""


def total_cost(
    facts: Iterable[RunFacts], campaigns: Iterable[CampaignFacts], machines: Iterable[RentalCost]
) -> tuple[float | None, float | None, float]:
    """Dollars so far, projected, and at most for calls without a price; None where nothing has a price.

    A run on a rented machine is paid by the machine: where machines were rented, the runs' own hours are not added.
    """
    rented = [one.usd for one in machines]
    spent, projected, unknown, is_known = 0.0, 0.0, 0.0, False
    for one in facts:
        if one.verb != "generate" and one.cost_usd is not None and not rented:
            is_known = True
            spent += one.cost_usd
            projected += one.projected_usd if one.projected_usd is not None else one.cost_usd
    for campaign in campaigns:
        is_known = True
        cost = campaign.status.cost_usd
        spent += cost
        unknown += campaign.status.unknown_at_most_usd
        share = campaign.wanted / campaign.accepted if campaign.accepted and campaign.wanted else 1.0
        projected += cost * max(1.0, share)
    spent, projected, is_known = spent + sum(rented), projected + sum(rented), is_known or bool(rented)
    return (spent, projected, unknown) if is_known else (None, None, 0.0)


def render_alerts(alerts: Sequence[Alert]) -> Html:
    """What needs attention, a line for each subject and kind; notes behind a click. Nothing is good news, and said."""
    urgent = _grouped(alert for alert in alerts if alert.level != "note")
    notes = _grouped(alert for alert in alerts if alert.level == "note")
    said = (
        join([heading("Needs attention"), _alert_list(urgent)])
        if urgent
        else paragraph("Nothing needs attention.", "calm")
    )
    more = details(f"{count_of(len(notes), 'note')} on what ended well", _alert_list(notes)) if notes else Html("")
    return join([said, more])


def _grouped(alerts: Iterable[Alert]) -> list[list[Alert]]:
    groups: dict[tuple[str, str, str], list[Alert]] = {}
    for alert in alerts:
        groups.setdefault((alert.level, alert.subject, alert.kind), []).append(alert)
    return list(groups.values())


def _alert_list(groups: Sequence[Sequence[Alert]]) -> Html:
    rows = join(_alert_row(group[0], len(group) - 1) for group in groups[:_MOST_ALERTS])
    left = len(groups) - _MOST_ALERTS
    more = paragraph(f"and {left} more: `afs dashboard alerts`", "soft") if left > 0 else Html("")
    return join([Html(f'<ul class="alerts">{rows}</ul>'), more])


def _alert_row(alert: Alert, others: int) -> Html:
    name = link(alert.page, alert.subject) if alert.page else alert.subject
    path, _, at = alert.record.partition("?at=")
    when = format_moment(alert.at) if alert.at else ""
    record = cite("record", path, int(at) if at else None) if path not in (".", "") else Html("")
    kind = {"problem": "bad", "warning": "odd", "note": "soft"}[alert.level]
    again = f", and {others} before" if others else ""
    parts = [
        mark(alert.kind, kind),
        " ",
        name,
        " ",
        with_code(alert.text),
        again,
        Html(f' <span class="soft">{when}</span> '),
        record,
    ]
    return Html(f'<li class="{kind}">{join(parts)}</li>')


def _running(live: Sequence[RunFacts]) -> Html:
    if not live:
        return Html("")
    return join([heading("Running now"), Html(f'<div class="cards">{join(_run_card(one) for one in live)}</div>')])


def _run_card(one: RunFacts) -> Html:
    status = f"runs/{one.id}/status.json"
    head = join(
        [Html("<h3>"), link(f"run-{one.id}.html", f"{one.verb} {one.name}"), Html("</h3>"), badge(one.liveness)]
    )
    count = cite(f"{one.step:,} of {one.total:,} {one.what}", f"runs/{one.id}/events.jsonl") if one.total else one.what
    facts = [
        ("left", format_span(one.eta_s)),
        ("cost", f"{format_usd(one.cost_usd)} of {format_usd(one.projected_usd)}" if one.cost_usd is not None else ""),
        ("loss", format_number(one.loss) if one.loss is not None else ""),
        ("silent for", format_seconds(one.quiet_s) if one.quiet_s > 20 else ""),
        ("started", cite(format_moment(one.started), status)),
    ]
    rows = join(join([Html(f"<dt>{name}</dt><dd>"), value, Html("</dd>")]) for name, value in facts if value)
    progress = bar(one.step, one.total, f"progress of {one.id}")
    body = join([head, Html('<div class="progress">'), progress, Html("</div><p>"), count, Html("</p>")])
    return Html(f'<article class="card">{body}<dl class="short">{rows}</dl></article>')


def _latest(one: RunFacts, run: FollowedRun) -> Html:
    title = join(
        [
            Html("<h2>Latest training: "),
            link(f"run-{one.id}.html", one.name or one.id),
            Html(" "),
            badge(one.liveness),
            Html("</h2>"),
        ]
    )
    text = f"{one.step:,} of {one.total:,} steps, loss {format_number(one.loss)}"
    if one.liveness in LIVE:
        text += f", {format_span(one.eta_s)} left"
    progress = join([Html('<div class="progress">'), bar(one.step, one.total, "progress"), Html("</div>")])
    record = cite(text, f"runs/{one.id}/events.jsonl", run.track.last_step_offset or None)
    chart = run_charts(run.track, most=400)[0]
    drawn = render_chart(chart) if not chart.is_empty else Html("")
    return join([title, progress, paragraph(record), drawn])


def _campaigns(campaigns: Sequence[CampaignFacts], broken: dict[str, str]) -> Html:
    if not campaigns and not broken:
        return Html("")
    rows: list[Sequence[object]] = []
    for facts in campaigns:
        record = f"campaigns/{facts.name}/calls.db"
        price = format_usd(facts.price_usd)
        fill = join([bar(facts.accepted, facts.wanted, f"fill of {facts.name}")])
        count = cite(f"{facts.accepted:,} of {facts.wanted:,}", record)
        rows.append(
            (link(f"campaign-{facts.name}.html", facts.name), fill, count, format_usd(facts.status.cost_usd), price)
        )
    rows += [(name, mark("cannot be read", "bad"), problem, "", "") for name, problem in broken.items()]
    hint = "samples made by teacher models or packs and kept only when their check passes"
    head = ("campaign", "filled", "accepted of wanted", "cost", "per verified sample")
    return join([heading("Campaigns", hint), table(head, rows)])


def render_results(reports: Sequence[ReportRow]) -> Html:
    """The last evaluations with their intervals; gates by their word."""
    measured = [row for row in reports if row.gate is None]
    rows: list[Sequence[object]] = []
    for row in reports:
        folder = f"reports/{row.ref.name}/{row.ref.version}"
        gate = "" if row.gate is None else mark("gate passed", "good") if row.gate else mark("gate failed", "bad")
        page = Html("") if row.gate is not None else cite("report", f"{folder}/report.html")
        share = "" if row.gate is not None else cite(format_percent(row.solved), f"{folder}/manifest.json")
        rows.append((cite(row.ref, f"{folder}/manifest.json"), row.subject, share, gate, row.verdict, page))
    if not rows:
        return Html("")
    forest = [
        ForestRow(f"{row.subject}", row.difference, _verdict_of(row), _points(row), True)
        for row in measured
        if row.difference is not None and row.difference.value is not None
    ]
    drawn = (
        draw_forest(forest, _forest_words(measured), "points against its base, 95 % interval") if forest else Html("")
    )
    hint = "each model beside its base on the same questions; an interval off zero is a real difference"
    head = ("report", "model", "solved", "gate", "verdict", "")
    return join([heading("Last results", hint), Html(f'<div class="forest">{drawn}</div>'), table(head, rows)])


def _forest_words(reports: Iterable[ReportRow]) -> str:
    return "; ".join(row.verdict for row in reports if row.verdict)[:600]


def _verdict_of(row: ReportRow) -> str:
    d = row.difference
    if d is None or d.low is None or d.high is None:
        return "unknown"
    return "better" if d.low > 0 else "worse" if d.high < 0 else "undecided"


def _points(row: ReportRow) -> str:
    d = row.difference
    if d is None or d.value is None or d.low is None or d.high is None:
        return ""
    return f"{100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}], {d.n} items"


def _champions(champions: Sequence[Champion]) -> Html:
    if not champions:
        return Html("")
    rows = [
        (
            one.name,
            cite(one.ref, "events/registry.jsonl"),
            mark("champion", "good") if one.is_champion else mark("not promoted", "odd"),
            one.report or "not evaluated",
        )
        for one in champions
    ]
    hint = "the version that answers under each expert's name"
    return join([heading("Champions", hint), table(("expert", "version", "", "report"), rows)])


def _recent(facts: Sequence[RunFacts]) -> Html:
    if not facts:
        text = "No run yet: `afs quickstart` runs the full pipeline, `afs train` one training run."
        return join([heading("Runs"), paragraph(text)])
    more = link("runs.html", f"all {len(facts)} runs") if len(facts) > _LATEST else Html("")
    return join([heading("Recent runs"), render_runs(facts[:_LATEST]), more])


def render_runs(facts: Iterable[RunFacts]) -> Html:
    """A table of runs."""
    return table(("run", "state", "progress", "started (UTC)", "took", "result"), _run_rows(facts))


def _run_rows(facts: Iterable[RunFacts]) -> Iterator[Sequence[object]]:
    for one in facts:
        done = f"{one.step:,} of {one.total:,} {one.what}" if one.total else ""
        if one.liveness == "done" and one.what != "steps":
            done = ""
        name = link(f"run-{one.id}.html", f"{one.verb} {one.name}".strip() or one.id)
        started = format_moment(one.started).removesuffix(" UTC")
        yield (
            join([name, Html('<span class="id">'), one.id, Html("</span>")]),
            badge(one.liveness),
            done,
            cite(started, f"runs/{one.id}/status.json") if one.started else "",
            format_seconds(one.seconds) if one.started else "",
            one.result or one.problem[:120],
        )


def runs_page(views: Views) -> Page:
    """Every run."""
    facts = views.run_facts()
    hint = "one run is one execution of a command: its config, its events and its result lie in one folder"
    body = join([paragraph(hint, "hint"), render_runs(facts)]) if facts else paragraph("No run yet.")
    return Page("runs.html", "Runs", [PagePart("runs", body)])
