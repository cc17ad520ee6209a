"""The dashboard in a terminal: the same facts as the pages, as tables. Foreign text is text, never markup."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from afs.dashboard.alerts import Alert
from afs.dashboard.campaign_facts import CampaignFacts
from afs.dashboard.cloud_facts import list_machines
from afs.dashboard.curve_downsampling import downsample, smooth
from afs.dashboard.dashboard_state import Views
from afs.dashboard.home_page import LIVE, total_cost
from afs.dashboard.page_parts import format_number, format_seconds, format_span, format_usd
from afs.dashboard.run_facts import RunFacts, read_facts
from afs.dashboard.run_index import FollowedRun
from afs.errors import UsageError
from afs.intervals import share_interval
from afs.pages import format_percent
from afs.plugins import suggest_name
from afs.printable import show_controls
from afs.types import Value

_WIDTH = 110
_RECENT = 8
_SPARKS = "▁▂▃▄▅▆▇█"
_STYLES = {
    "running": "green",
    "quiet": "yellow",
    "stopped": "yellow",
    "done": "dim",
    "problem": "bold red",
    "warning": "yellow",
    "note": "dim",
}


class CampaignLine(Value, frozen=True, kw_only=True):
    """A campaign in one line."""

    name: str
    accepted: int
    wanted: int
    tried: int
    cost_usd: float
    unknown_at_most_usd: float
    price_usd: float | None
    cells: tuple[tuple[str, int, int | None, int], ...] = ()
    """(cell, accepted, wanted, rejected or failed); only for the campaign that was asked for."""
    models: tuple[tuple[str, int, int, float, str], ...] = ()
    """(model, calls, failed, answers a minute, why it rests)."""


class TerminalView(Value, frozen=True, kw_only=True):
    """What a terminal shows."""

    title: str
    runs: tuple[RunFacts, ...]
    campaigns: tuple[CampaignLine, ...]
    alerts: tuple[Alert, ...]
    spent_usd: float | None
    projected_usd: float | None
    disk_free_gib: float
    loss: tuple[float, ...] = ()
    """The smoothed loss of the run that was asked for, in at most 100 points."""
    held_out: tuple[tuple[int, float], ...] = ()
    """Steps and held-out losses."""


def read_view(views: Views, what: str) -> TerminalView:
    """The facts of the workspace, of a run or of a campaign."""
    campaigns = views.campaigns()
    facts = views.run_facts()
    spent, projected, _ = total_cost(facts, campaigns, list_machines(views.workspace))
    alerts = views.alerts()
    title, run, chosen = views.workspace.root.name, None, None
    if what:
        run, chosen = _find(views, campaigns, what)
        subject = run.id if run is not None else chosen.name if chosen is not None else ""
        title, alerts = subject, [alert for alert in alerts if alert.subject == subject]
        facts = [read_facts(run)] if run is not None else [read_facts(chosen.run)] if chosen and chosen.run else []
        campaigns = [chosen] if chosen is not None else []
    return TerminalView(
        title=title,
        runs=tuple(facts),
        campaigns=tuple(_campaign_line(one, in_full=one is chosen) for one in campaigns),
        alerts=tuple(alerts),
        spent_usd=spent,
        projected_usd=projected,
        disk_free_gib=round(views.stored.disk().free / 2**30, 1),
        loss=_loss(run) if run else (),
        held_out=_held_out(run) if run else (),
    )


def _find(
    views: Views, campaigns: Sequence[CampaignFacts], what: str
) -> tuple[FollowedRun | None, CampaignFacts | None]:
    runs = views.index.runs
    if what == "latest" and runs:
        return runs[0], None
    for campaign in campaigns:
        if campaign.name == what:
            return None, campaign
    found = [run for run in runs if what in run.id]
    if len(found) == 1 or (found and found[0].id == what):
        return found[0], None
    if found:
        raise UsageError(f"more than one run has {what!r} in its id: {', '.join(run.id for run in found[:5])}")
    known = [run.id for run in runs] + [campaign.name for campaign in campaigns]
    raise UsageError(f"no run and no campaign is called {what!r}{suggest_name(what, known)}")


def _campaign_line(facts: CampaignFacts, *, in_full: bool) -> CampaignLine:
    cells = [(c.cell, c.accepted, c.wanted, c.rejected + c.failed) for c in facts.status.cells]
    models = [(p.name, p.calls, p.failed, p.per_minute, p.closed) for p in facts.providers]
    return CampaignLine(
        name=facts.name,
        accepted=facts.accepted,
        wanted=facts.wanted,
        tried=facts.tried,
        cost_usd=facts.status.cost_usd,
        unknown_at_most_usd=facts.status.unknown_at_most_usd,
        price_usd=facts.price_usd,
        cells=tuple(cells) if in_full else (),
        models=tuple(models) if in_full else (),
    )


def _loss(run: FollowedRun) -> tuple[float, ...]:
    curve = downsample(run.track.steps, run.track.values["loss"], 200)
    values = [value for value in smooth(curve.values) if value is not None]
    every = max(1, len(values) // 100)
    return tuple(round(value, 5) for value in values[::every])


def _held_out(run: FollowedRun) -> tuple[tuple[int, float], ...]:
    pairs = [(e.number("step"), e.number("loss")) for e in run.track.evaluations]
    return tuple((int(step), loss) for step, loss in pairs[-10:] if step is not None and loss is not None)


def view_text(view: TerminalView) -> str:
    """The view without colors, for pipes and files."""
    target = io.StringIO()
    Console(file=target, width=_WIDTH, force_terminal=False, color_system=None).print(render_view(view))
    return target.getvalue().rstrip()


def render_view(view: TerminalView) -> RenderableType:
    """The view as rich draws it."""
    return Group(*_parts(view))


def _plain(value: object, style: str = "") -> Text:
    return Text(show_controls(str(value)), style=style)


def _parts(view: TerminalView) -> Iterator[RenderableType]:
    live = [run for run in view.runs if run.liveness in LIVE]
    problems = sum(alert.level == "problem" for alert in view.alerts)
    cost = format_usd(view.spent_usd)
    if view.projected_usd is not None:
        cost += f", {format_usd(view.projected_usd)} at the end"
    free = f"{view.disk_free_gib:.0f} GiB free"
    head = f"{view.title}   {len(live)} running   {problems} need attention   spent {cost}   {free}"
    yield _plain(head, "bold")
    for alert in view.alerts[:8]:
        yield _plain(f"  {alert.level}: {alert.subject}: {alert.text}", _STYLES[alert.level])
    if live:
        yield _run_table("running", live)
    if view.loss:
        yield _plain(f"\nloss {_spark(view.loss)} {format_number(view.loss[-1])}")
    if view.held_out:
        yield _plain("held-out " + ", ".join(f"{format_number(loss)} at {step:,}" for step, loss in view.held_out[-5:]))
    if view.campaigns:
        yield _campaign_table(view.campaigns)
        yield from (_cell_table(one) for one in view.campaigns if one.cells)
        yield from (_model_table(one) for one in view.campaigns if one.models)
    ended = [run for run in view.runs if run.liveness not in LIVE][:_RECENT]
    if ended:
        yield _run_table("ended", ended)
    if not view.runs:
        yield _plain("no run yet: `afs quickstart` runs the full pipeline")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title, "bold"), title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, style="", header_style="dim", no_wrap=column == "state")
    return table


def _run_table(title: str, runs: Sequence[RunFacts]) -> Table:
    is_live = title == "running"
    table = _table(f"\n{title}", "run", "state", "progress", "", "left" if is_live else "took", "cost", "loss")
    for run in runs:
        done: RenderableType = ProgressBar(total=run.total, completed=run.step, width=16) if run.total else ""
        count = f"{run.step:,} of {run.total:,} {run.what}" if run.total else run.problem[:40]
        left = format_span(run.eta_s) if is_live else format_seconds(run.seconds)
        cost = format_usd(run.cost_usd) if run.cost_usd is not None else ""
        loss = format_number(run.loss) if run.loss is not None else ""
        name = _plain(f"{run.verb} {run.name}\n{run.id}" if is_live else f"{run.verb} {run.name}")
        state = Text(run.liveness, _STYLES.get(run.liveness, "bold red"))
        table.add_row(name, state, done, _plain(count), left, cost, loss)
    return table


def _campaign_table(campaigns: Sequence[CampaignLine]) -> Table:
    table = _table("\ncampaigns", "campaign", "", "accepted", "accepted of judged", "cost", "a verified sample")
    for one in campaigns:
        done = ProgressBar(total=one.wanted or 1, completed=one.accepted, width=16)
        count, share = f"{one.accepted:,} of {one.wanted:,}", format_percent(share_interval(one.accepted, one.tried))
        table.add_row(_plain(one.name), done, count, share, format_usd(one.cost_usd), format_usd(one.price_usd))
    return table


def _cell_table(one: CampaignLine) -> Table:
    table = _table("\ncells", "cell", "", "accepted", "rejected or failed")
    for cell, accepted, wanted, lost in one.cells[:40]:
        done = ProgressBar(total=wanted or accepted or 1, completed=accepted, width=16)
        table.add_row(_plain(cell), done, f"{accepted:,} of {wanted:,}" if wanted else f"{accepted:,}", f"{lost:,}")
    return table


def _model_table(one: CampaignLine) -> Table:
    table = _table("\nmodels", "model", "calls", "failed", "a minute", "")
    for name, calls, failed, rate, closed in one.models:
        table.add_row(_plain(name), f"{calls:,}", f"{failed:,}", f"{rate:,.0f}", _plain(closed, "yellow"))
    return table


def _spark(values: Sequence[float]) -> str:
    """A curve as one line of blocks."""
    low, high = min(values), max(values)
    scale = (len(_SPARKS) - 1) / ((high - low) or 1.0)
    every = max(1, len(values) // 60)
    return "".join(_SPARKS[round((value - low) * scale)] for value in values[::every])
