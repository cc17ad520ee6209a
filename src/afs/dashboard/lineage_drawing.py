"""A drawing of what was made from what: boxes in columns, arrows from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from afs.pages import Html

_WIDE, _HIGH, _GAP_X, _GAP_Y = 158, 30, 44, 12


def draw_lineage(edges: Sequence[tuple[str, str]]) -> Html:
    """Each (parent, child) as an arrow; a child stands right of all its parents."""
    column = _columns(edges)
    places: dict[str, tuple[int, int]] = {}
    heights: dict[int, int] = {}
    for name in sorted(column, key=lambda one: (column[one], one)):
        row = heights.get(column[name], 0)
        heights[column[name]] = row + 1
        places[name] = (column[name] * (_WIDE + _GAP_X), row * (_HIGH + _GAP_Y))
    width = (max(column.values(), default=0) + 1) * (_WIDE + _GAP_X) - _GAP_X
    height = max(heights.values(), default=1) * (_HIGH + _GAP_Y)
    parts = [_arrow(places[parent], places[child]) for parent, child in edges]
    parts += [_box(name, place) for name, place in places.items()]
    spoken = "; ".join(f"{parent} → {child}" for parent, child in edges)
    return Html(
        '<div class="wide" tabindex="0" role="region" aria-label="lineage, can be scrolled">'
        f'<svg class="lineage" xmlns="http://www.w3.org/2000/svg" width="{width + 2}" '
        f'height="{height + 2}" viewBox="-1 -1 {width + 2} {height + 2}" role="img" '
        f'aria-label="{escape(spoken)}">{"".join(parts)}</svg></div>'
    )


def _columns(edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way to each name; a cycle, which nothing should hold, ends after a round for each name."""
    column = {name: 0 for edge in edges for name in edge}
    for _ in range(len(column)):
        changed = False
        for parent, child in edges:
            if column[child] <= column[parent] < len(column):
                column[child], changed = column[parent] + 1, True
        if not changed:
            break
    return column


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _WIDE, start[1] + _HIGH / 2
    x2, y2 = end[0], end[1] + _HIGH / 2
    bend = (x2 - x1) / 2
    path = f"M{x1},{y1}C{x1 + bend:.0f},{y1} {x2 - bend:.0f},{y2} {x2},{y2}"
    return f'<path class="arrow" d="{path}"/><path class="tip" d="M{x2 - 6},{y2 - 4}L{x2},{y2}L{x2 - 6},{y2 + 4}Z"/>'


def _box(name: str, place: tuple[int, int]) -> str:
    x, y = place
    kind = "box expert" if name.startswith("expert ") else "box"
    text = f"{escape(name if len(name) <= 24 else name[:23] + '…')}<title>{escape(name)}</title>"
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="5"/>'
        f'<text class="mark" x="{x + _WIDE / 2}" y="{y + _HIGH / 2 + 4}">{text}</text>'
    )
