"""A campaign in the terminal: the fill of every cell, every model's rate, errors, cost and quota, the time left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR = 24
_MOST_CELLS = 16
"""Cells shown: those that lack most."""


def campaign_lines(event: Mapping[str, Any]) -> tuple[list[list[str]], list[list[str]], str]:
    """(rows of cells, rows of models, the line below) of one `campaign.pulse`."""
    cells = sorted(event["cells"].items(), key=lambda cell: cell[1][0] / cell[1][1] if cell[1][1] else 1.0)
    rows = [
        [label, _bar(done, wanted), f"{done:,}/{wanted:,}", _share(done, tried)]
        for label, (done, wanted, tried) in cells
    ]
    if len(rows) > _MOST_CELLS:
        rows = [*rows[:_MOST_CELLS], [f"… {len(rows) - _MOST_CELLS} more", "", "", ""]]
    models = [_model_row(name, model) for name, model in event["models"].items()]
    return rows, models, summary_line(event)


def summary_line(event: Mapping[str, Any]) -> str:
    """Accepted, acceptance, money, time left."""
    parts = [f"{event['accepted']:,} of {event['wanted']:,} accepted"]
    low, value, high = event["acceptance"]
    if value is not None:
        parts.append(f"acceptance {value:.0%} [{low:.0%}, {high:.0%}]")
    cap = event.get("budget_usd")
    parts.append(f"${event['spent_usd']:.4f}" + (f" of ${cap:g}" if cap is not None else ""))
    if (left := cast("Sequence[float] | None", event.get("eta_s"))) is not None:
        parts.append(f"{_span(left[1])} left [{_span(left[0])}, {_span(left[2])}]")
    return " · ".join(parts)


def _model_row(name: str, model: Mapping[str, Any]) -> list[str]:
    quota = model.get("quota_left")
    state = f"rests: {model['closed']}"[:60] if model["closed"] else f"{model['in_flight']} in flight"
    return [
        name,
        f"{model['rate']:.1f}/s",
        f"{model['answered']:,} answers",
        f"{model['failed']:,} errors",
        f"${model['cost_usd']:.4f}",
        f"{quota[0]:,} of {quota[1]:,} left in {quota[2]:g} s" if quota else "",
        state,
    ]


def campaign_table(event: Mapping[str, Any]) -> RenderableType:
    """The same for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    cells, models, line = campaign_lines(event)
    groups: list[RenderableType] = []
    for rows in (cells, models):
        table = Table.grid(padding=(0, 2))
        for row in rows:
            table.add_row(*(Text(text, no_wrap=True, overflow="ellipsis") for text in row))
        groups.append(table)
    return Group(*groups, Text(line))


def _bar(done: int, wanted: int) -> str:
    full = _BAR * done // wanted if wanted else _BAR
    return "█" * full + "░" * (_BAR - full)


def _share(done: int, tried: int) -> str:
    return f"{done / tried:.0%} accepted" if tried else ""


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
