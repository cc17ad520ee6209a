"""Forest plot of differences with their intervals, as SVG drawn by hand: no library, no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from afs.evaluate.compare import ALL, Comparison, points

_ROW, _LEFT, _PLOT, _RIGHT, _TOP, _BOTTOM = 26, 190, 400, 270, 10, 34


def forest(comparisons: Sequence[Comparison]) -> str:
    """Rows of dots with whiskers around a line at zero; no interval, no whisker."""
    limit = max(
        (abs(v) for c in comparisons for v in (c.difference.low, c.difference.high) if v is not None), default=0.1
    )
    limit = min(1.0, max(0.05, limit * 1.08))
    height = _TOP + _ROW * len(comparisons) + _BOTTOM
    width = _LEFT + _PLOT + _RIGHT
    parts = [f'<svg class="forest" viewBox="0 0 {width} {height}" role="img" aria-label="differences in points">']
    parts += _axis(limit, height)
    for number, comparison in enumerate(comparisons):
        parts += _row(comparison, _TOP + _ROW * number + _ROW / 2, limit)
    return "".join([*parts, "</svg>"])


def _x(value: float, limit: float) -> float:
    return round(_LEFT + _PLOT / 2 * (1 + max(-1.0, min(1.0, value / limit))), 1)


def _axis(limit: float, height: int) -> list[str]:
    step = next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if limit / s <= 4.5), 0.5)
    bottom = height - _BOTTOM + 4
    parts = []
    for k in range(-int(limit / step + 1e-9), int(limit / step + 1e-9) + 1):
        x = _x(k * step, limit)
        kind = "zero" if k == 0 else "tick"
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="mark" x="{x}" y="{bottom + 14}">{100 * k * step:+.0f}</text>')
    parts.append(f'<text class="mark" x="{_LEFT + _PLOT / 2}" y="{bottom + 28}">points better than the base</text>')
    return parts


def _row(c: Comparison, y: float, limit: float) -> list[str]:
    d = c.difference
    bold = " whole" if c.scope == ALL else ""
    name = c.model if c.scope == ALL else c.scope
    label = name if len(name) <= 28 else name[:27] + "…"
    parts = [f'<text class="name{bold}" x="{_LEFT - 12}" y="{y + 4}">{escape(label)}</text>']
    if d.value is None or d.low is None or d.high is None:
        return [
            *parts,
            f'<text class="value" x="{_LEFT + _PLOT + 12}" y="{y + 4}">unknown ({c.left_out} left out)</text>',
        ]
    left, right, middle = _x(d.low, limit), _x(d.high, limit), _x(d.value, limit)
    size = 5.5 if bold else 4
    parts.append(f'<line class="span {c.verdict}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
    parts.append(
        f'<rect class="dot {c.verdict}" x="{middle - size}" y="{y - size}" width="{2 * size}" height="{2 * size}"/>'
    )
    text = f"{points(d.value)}  [{points(d.low)}, {points(d.high)}]  n={d.n}"
    return [*parts, f'<text class="value{bold}" x="{_LEFT + _PLOT + 12}" y="{y + 4}">{text}</text>']
