"""`afs generate report`: one HTML file with a campaign's funnel, money and models, and the decisions of people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from afs import jsonl
from afs.config import Config
from afs.errors import UsageError
from afs.generate.attempts import read_attempts
from afs.generate.config import FOLDER
from afs.generate.review import agreement
from afs.generate.status import CampaignStatus, CellStatus, read_status
from afs.model_calls.ledger_reader import reading
from afs.pages import Html, escape_text, format_percent, join, render_page, render_table
from afs.pages.charts import BarPair, draw_bars
from afs.types import Interval, Value
from afs.workspace import Workspace


class CampaignReportConfig(Config, frozen=True, kw_only=True):
    """Write the report of a campaign."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """The campaign."""
    to: Path | None = None
    """File to write; default: `exports/` in the workspace."""


class CampaignPage(Value, frozen=True, kw_only=True):
    """Where the report lies."""

    file: str


class Repairs(NamedTuple):
    """What showing the diagnostics to the teacher gained."""

    asked: int
    accepted: int
    dollars: float


def write_report(config: CampaignReportConfig, workspace: Workspace) -> CampaignPage:
    """Read the campaign's file and write the page."""
    if not (workspace.root / FOLDER / config.name / "calls.db").is_file():
        raise UsageError(f"no campaign is called {config.name!r}")
    path = config.to or workspace.root / "exports" / f"campaign-{config.name}.html"
    jsonl.replace(path, render_page(f"Campaign {config.name}", _body(workspace, config.name)).encode())
    return CampaignPage(file=str(path))


def _body(workspace: Workspace, name: str) -> Iterator[Html]:
    status = read_status(workspace, name)
    path = workspace.root / FOLDER / name / "calls.db"
    yield _summary(status)
    head = ("cell", "wanted", "accepted", "rejected", "failed", "waiting", "acceptance")
    rows = [
        (c.cell, c.wanted or "", c.accepted, c.rejected, c.failed, c.waiting, format_percent(c.acceptance))
        for c in status.cells
    ]
    yield join([Html("<h2>Cells</h2>"), render_table(head, rows)])
    bars = [BarPair(c.cell, f"{c.accepted} of {c.wanted}", _filled(c), c.acceptance) for c in status.cells if c.wanted]
    if bars:
        yield draw_bars(bars, "gray: filled of what is wanted; green: accepted of the candidates")
    reasons, repairs = _attempts(path)
    yield join([Html("<h2>Why answers were rejected</h2>"), render_table(("reason", "answers"), reasons.most_common())])
    yield join([Html("<h2>Models</h2>"), _models(status)])
    if repairs.asked:
        price = f"{repairs.accepted / repairs.dollars:.1f} a dollar" if repairs.dollars else "at no cost"
        text = f"{repairs.accepted} samples were gained from {repairs.asked} repairs, {price}."
        yield join([Html("<h2>Self-repair</h2><p>"), escape_text(text), Html("</p>")])
    people = agreement(name, path.with_name("reviews.jsonl"))
    if people.reviewed:
        yield join([Html("<h2>People and checks</h2><p>"), escape_text(people.text()), Html("</p>")])


def _filled(cell: CellStatus) -> Interval:
    return Interval(value=min(1.0, cell.accepted / (cell.wanted or 1)))


def _summary(status: CampaignStatus) -> Html:
    accepted = sum(cell.accepted for cell in status.cells)
    tried = accepted + sum(cell.rejected + cell.failed for cell in status.cells)
    calls = sum(int(str(model["calls"])) for model in status.models)
    price = f", ${status.cost_usd / accepted:.6f} per accepted sample" if accepted else ""
    unknown = (
        f"; calls of unknown cost at most ${status.unknown_at_most_usd:.4f} more" if status.unknown_at_most_usd else ""
    )
    text = (
        f"{calls:,} calls, {tried:,} candidates, {accepted:,} accepted samples. ${status.cost_usd:.4f}{price}{unknown}."
    )
    return join([Html("<p>"), escape_text(text), Html("</p>")])


def _models(status: CampaignStatus) -> Html:
    head = ("model", "calls", "failed", "unknown cost", "tokens read", "tokens written", "$")
    rows = [
        (
            m["model"],
            m["calls"],
            m["failed"],
            m["unknown_cost"],
            m["input_tokens"],
            m["output_tokens"],
            f"{m['cost_usd']:.6f}",
        )
        for m in status.models
    ]
    return render_table(head, rows)


def _attempts(path: Path) -> tuple[Counter[str], Repairs]:
    """Reasons of rejected answers, and what repairs gained."""
    reasons: Counter[str] = Counter()
    asked = accepted = spent = 0
    with reading(path) as database:
        for (raw,) in database.execute("SELECT result FROM pieces WHERE result IS NOT NULL"):
            for attempt in read_attempts(raw):
                is_good = attempt.verdict is not None and attempt.verdict.ok is True
                if not is_good:
                    reasons[attempt.problem or f"verdict: {attempt.verdict.stage if attempt.verdict else 'none'}"] += 1
                if attempt.is_repair:
                    asked, accepted, spent = asked + 1, accepted + is_good, spent + (attempt.cost or 0)
    return reasons, Repairs(asked, accepted, spent / 1e9)
