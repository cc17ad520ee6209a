"""A campaign: how full its cells are, what was rejected and why, what providers do, what a verified sample costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from afs.dashboard.campaign_facts import CampaignFacts, ProviderFigures
from afs.dashboard.curve_charts import Chart, Series, draw_columns, render_chart
from afs.dashboard.curve_downsampling import Curve
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    badge,
    bar,
    cite,
    details,
    format_moment,
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
)
from afs.dashboard.run_facts import RunFacts, read_facts
from afs.dashboard.run_liveness import MEANING
from afs.generate.status import CellStatus
from afs.intervals import share_interval
from afs.pages import Html, escape_text, format_percent, join

_SHOWN_CELLS = 60
_PULSES = 400


def campaign_page(facts: CampaignFacts) -> Page:
    """The page."""
    run = read_facts(facts.run) if facts.run else None
    parts = [
        PagePart("state", _state(facts, run)),
        PagePart("money", _tiles(facts, run)),
        PagePart("fill", _over_time(facts), every_s=5.0),
        PagePart("cells", _cells(facts)),
        PagePart("sparse", _sparse(facts)),
        PagePart("reasons", _reasons(facts)),
        PagePart("providers", _providers(facts)),
        PagePart("links", _links(facts)),
    ]
    return Page(f"campaign-{facts.name}.html", f"Campaign {facts.name}", parts)


def _state(facts: CampaignFacts, run: RunFacts | None) -> Html:
    parts: list[object] = []
    if run is not None:
        parts += [Html('<p class="state">'), badge(run.liveness), " ", MEANING[run.liveness], Html("</p>")]
        if run.problem:
            parts.append(paragraph(cite(run.problem, f"runs/{run.id}/status.json"), "bad"))
    if facts.wanted:
        parts += [Html('<div class="progress">'), bar(facts.accepted, facts.wanted, "fill"), Html("</div>")]
    return join(parts)


def _tiles(facts: CampaignFacts, run: RunFacts | None) -> Html:
    ledger = f"campaigns/{facts.name}/calls.db"
    share = share_interval(facts.accepted, facts.tried)
    unknown = facts.status.unknown_at_most_usd
    note = (
        f"and at most {format_usd(unknown)} for calls of unknown price" if unknown else "of calls whose price is known"
    )
    projected = f"{format_usd(_projected(facts))} when all cells are full"
    limit = f", budget ${facts.budget_usd:g}" if facts.budget_usd else ""
    parts = [
        tile("accepted", cite(f"{facts.accepted:,}", ledger), f"of {facts.wanted:,} wanted"),
        tile("acceptance", format_percent(share), "of judged answers, 95 % interval"),
        tile("cost", cite(format_usd(facts.status.cost_usd), ledger), f"{note}; {projected}{limit}"),
        tile("per verified sample", format_usd(facts.price_usd), "cost of all calls over accepted samples"),
    ]
    if run is not None and run.liveness in ("running", "quiet"):
        parts.append(tile("time left", format_span(run.eta_s), "at the pace so far"))
    return tiles(parts)


def _projected(facts: CampaignFacts) -> float | None:
    if not facts.accepted or not facts.wanted:
        return None
    return facts.status.cost_usd * max(1.0, facts.wanted / facts.accepted)


def _over_time(facts: CampaignFacts) -> Html:
    pulses = list(facts.run.track.pulses) if facts.run else []
    if len(pulses) < 2 or pulses[0].time is None:
        return Html("")
    every = max(1, len(pulses) // _PULSES)
    chosen = [*pulses[::every], pulses[-1]]
    begun = pulses[0].time
    seconds: list[int] = []
    accepted: list[float | None] = []
    tried: list[float | None] = []
    for pulse in chosen:
        at = int((pulse.time or begun) - begun)
        if seconds and at <= seconds[-1]:
            continue
        seconds.append(at)
        accepted.append(pulse.number("accepted"))
        tried.append(pulse.number("tried"))
    curves = [Series("judged", "raw", Curve(seconds, tried)), Series("accepted", "smooth", Curve(seconds, accepted))]
    chart = Chart("fill", "Samples over time", "seconds since the run began; only accepted ones are kept", curves)
    return join([heading("Progress"), render_chart(chart)])


def _cells(facts: CampaignFacts) -> Html:
    rows = [_cell_row(facts, cell) for cell in facts.status.cells]
    hint = "a cell is one kind of sample: a family of tasks, made by given models and prompts"
    head = ("cell", "filled", "accepted", "wanted", "rejected", "failed", "waiting", "accepted of judged")
    shown = table(head, rows[:_SHOWN_CELLS])
    rest = (
        details(f"{len(rows) - _SHOWN_CELLS} more", table(head, rows[_SHOWN_CELLS:]))
        if len(rows) > _SHOWN_CELLS
        else Html("")
    )
    return join([heading("Cells", hint), shown, rest])


def _cell_row(facts: CampaignFacts, cell: CellStatus) -> Sequence[object]:
    wanted: object = "" if cell.wanted is None else cell.wanted
    fill = bar(cell.accepted, cell.wanted or 0, f"fill of {cell.cell}")
    share = format_percent(cell.acceptance)
    return (cell.cell, fill, cell.accepted, wanted, cell.rejected, cell.failed, cell.waiting, share)


def _sparse(facts: CampaignFacts) -> Html:
    if not facts.sparse or len(facts.status.cells) < 2:
        return Html("")
    items = join(Html(f"<li>{escape_text(_missing(cell))}</li>") for cell in facts.sparse)
    hint = "cells that are least filled: few tasks, hard checks or a model that cannot do them"
    return join([heading("Sparse regions", hint), Html(f"<ul>{items}</ul>")])


def _missing(cell: CellStatus) -> str:
    missing = (cell.wanted or 0) - cell.accepted
    return f"{cell.cell}: {missing:,} missing, {cell.rejected + cell.failed:,} tried in vain"


_COLORS = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7")


def _reasons(facts: CampaignFacts) -> Html:
    bins = facts.reasons
    if not bins.looked_at:
        return Html("")
    names = sorted(bins.counts, key=lambda name: (name != "accepted", -sum(bins.counts[name])))
    colors: Mapping[str, str] = {
        name: "accepted" if name == "accepted" else _COLORS[number % len(_COLORS)] for number, name in enumerate(names)
    }
    ordered = {name: bins.counts[name] for name in names}
    of = f"the latest {bins.looked_at:,} of {bins.total:,}" if bins.total > bins.looked_at else f"all {bins.total:,}"
    chart = draw_columns(ordered, colors, f"outcomes over time, {of} samples") if bins.edges[0] else Html("")
    rows = [(Html(f'<span class="swatch {colors[name]}"></span> {join([name])}'), sum(ordered[name])) for name in names]
    span = f"{format_moment(bins.edges[0])} to {format_moment(bins.edges[-1])}" if bins.edges[0] else ""
    hint = f"{of} finished samples over the time of their last call; a reason names the step of the check that failed"
    return join(
        [
            heading("Accepted and rejected", hint),
            chart,
            paragraph(span, "soft"),
            table(("outcome", "samples"), rows),
        ]
    )


def _providers(facts: CampaignFacts) -> Html:
    rows = [_provider_row(facts, one) for one in facts.providers]
    if not rows:
        return paragraph("No model was called: the pack itself wrote the answers.", "soft")
    head = (
        "model",
        "calls",
        "failed",
        "a minute",
        "median / 95 %",
        "unknown price",
        "cost",
        "left of its limit",
        "last error",
    )
    hint = "rate over the last minute, waiting time of the latest 500 answers; a rested model is called again later"
    return join([heading("Providers", hint), table(head, rows)])


def _provider_row(facts: CampaignFacts, one: ProviderFigures) -> Sequence[object]:
    latency = " / ".join(_wait(second) for second in one.latency_s) if one.latency_s else "unknown"
    name = join([one.name, " ", mark("resting", "odd")]) if one.closed else one.name
    error = one.closed or one.problem
    cost = cite(format_usd(one.cost_usd), f"campaigns/{facts.name}/calls.db")
    quota = one.quota or "not stated"
    return (name, one.calls, one.failed, one.per_minute, latency, one.unknown, cost, quota, error[:160])


def _wait(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.001 else "under 1 ms"


def _links(facts: CampaignFacts) -> Html:
    return paragraph(join(_link_parts(facts)))


def _link_parts(facts: CampaignFacts) -> Iterator[object]:
    yield link(f"review-{facts.name}.html", "Look at samples")
    if facts.run is not None:
        yield " · "
        yield link(f"run-{facts.run.id}.html", "its run, config and notices")
        yield f" · took {format_seconds(read_facts(facts.run).seconds)}"
