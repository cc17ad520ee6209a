"""`afs generate status`: how a campaign stands, read from its file while it runs or after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from afs.config import Config
from afs.errors import UsageError
from afs.generate.config import FOLDER
from afs.generate.low_acceptance_words import SparseRegion, sparse_regions
from afs.intervals import share_interval
from afs.model_calls.ledger_reader import Bill, bills, piece_counts, reading
from afs.model_calls.store import State, piece_results
from afs.plugins import suggest_name
from afs.types import Interval, Value
from afs.workspace import Workspace


class StatusConfig(Config, frozen=True, kw_only=True):
    """Say how a campaign stands."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str = ""
    """The campaign; empty: all of the workspace."""
    coverage: bool = False
    """Also name the kinds of questions that are nearly missing among the accepted samples."""


class CellStatus(Value, frozen=True, kw_only=True):
    """One cell."""

    cell: str
    wanted: int | None
    accepted: int
    rejected: int
    failed: int
    waiting: int
    acceptance: Interval
    sparse: tuple[SparseRegion, ...] = ()
    """Kinds of questions that are nearly missing; only looked for when asked."""


class CampaignStatus(Value, frozen=True, kw_only=True):
    """One campaign."""

    name: str
    cells: tuple[CellStatus, ...]
    models: tuple[dict[str, object], ...]
    cost_usd: float
    """Of the calls whose cost is known."""
    unknown_at_most_usd: float
    """The worst case of the calls whose cost is unknown."""
    repair: str = ""
    """What self-repair gained."""


class StatusTable(Value, frozen=True, kw_only=True):
    """What `afs generate status` prints."""

    campaigns: tuple[CampaignStatus, ...]

    def text(self) -> str:
        """A table for each campaign."""
        return "\n\n".join(_text(campaign) for campaign in self.campaigns)


def campaign_status(config: StatusConfig, workspace: Workspace) -> StatusTable:
    """Read the files of the campaigns; nothing is locked."""
    folder = workspace.root / FOLDER
    names = sorted(path.parent.name for path in folder.glob("*/calls.db")) if folder.is_dir() else []
    if config.name and config.name not in names:
        raise UsageError(f"no campaign is called {config.name!r}{suggest_name(config.name, names)}")
    if not names:
        raise UsageError("no campaign yet; `afs generate` begins one")
    return StatusTable(
        campaigns=tuple(
            read_status(workspace, name, coverage=config.coverage) for name in ([config.name] if config.name else names)
        )
    )


def read_status(workspace: Workspace, name: str, *, coverage: bool = False) -> CampaignStatus:
    """One campaign from its file."""
    with reading(workspace.root / FOLDER / name / "calls.db") as database:
        counts = piece_counts(database)
        row = database.execute("SELECT value FROM facts WHERE name = 'cells'").fetchone()
        known: dict[str, list[object]] = msgspec.msgpack.decode(row[0]) if row else {}
        found = bills(database)
        ended: tuple[State, ...] = ("accepted", "rejected", "failed")
        sparse = {cell: sparse_regions(piece_results(database, cell, ended)) for cell in counts} if coverage else {}
    by_label = sorted(counts, key=lambda cell: str(known.get(cell, cell)))
    cells = [_cell(counts[cell], known.get(cell), sparse.get(cell, ())) for cell in by_label]
    return CampaignStatus(
        name=name,
        cells=tuple(cells),
        models=tuple(_model(bill) for bill in found),
        cost_usd=sum(bill.cost for bill in found) / 1e9,
        unknown_at_most_usd=sum(bill.at_most for bill in found) / 1e9,
    )


def _cell(states: dict[str, int], known: list[object] | None, sparse: Sequence[SparseRegion]) -> CellStatus:
    accepted, rejected, failed = (states.get(state, 0) for state in ("accepted", "rejected", "failed"))
    return CellStatus(
        cell=str(known[0]) if known else "of an earlier configuration",
        wanted=int(str(known[1])) if known else None,
        accepted=accepted,
        rejected=rejected,
        failed=failed,
        waiting=states.get("waiting", 0) + states.get("answered", 0),
        acceptance=share_interval(accepted, accepted + rejected + failed),
        sparse=tuple(sparse),
    )


def _model(bill: Bill) -> dict[str, object]:
    return {
        "model": bill.target,
        "calls": bill.calls,
        "failed": bill.failed,
        "unknown_cost": bill.unknown,
        "cost_usd": bill.cost / 1e9,
        "input_tokens": bill.input_tokens,
        "output_tokens": bill.output_tokens,
    }


def _text(campaign: CampaignStatus) -> str:
    lines = [
        campaign.name,
        f"  {'cell':<32} {'wanted':>7} {'accepted':>8} {'rejected':>8} {'failed':>6} {'waiting':>7}  acceptance",
    ]
    for cell in campaign.cells:
        share = cell.acceptance
        shown = "unknown" if share.value is None else f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
        wanted = "" if cell.wanted is None else f"{cell.wanted:,}"
        numbers = f"{cell.accepted:>8,} {cell.rejected:>8,} {cell.failed:>6,} {cell.waiting:>7,}"
        lines.append(f"  {cell.cell:<32} {wanted:>7} {numbers}  {shown}")
        for region in cell.sparse:
            few = f"{region.accepted} of {region.tried} accepted, such as: {region.example}"
            lines.append(f"    sparse: questions with {region.word!r}: {few}")
    for model in campaign.models:
        text = f"{model['calls']:,} calls, {model['failed']:,} failed, {model['unknown_cost']:,} of unknown cost"
        lines.append(f"  {model['model']}: {text}, ${model['cost_usd']:.6f}")
    price = _price(campaign)
    lines.append(f"  cost ${campaign.cost_usd:.6f}, unknown at most ${campaign.unknown_at_most_usd:.6f}{price}")
    return "\n".join(lines)


def _price(campaign: CampaignStatus) -> str:
    accepted = sum(cell.accepted for cell in campaign.cells)
    return f"; ${campaign.cost_usd / accepted:.6f} per accepted sample" if accepted else ""
