"""Charts as inline SVG: bars with intervals, a forest of differences, a line, a histogram. No library, no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from afs.pages import Html
from afs.types import Interval

SVG_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
_SIZES = ((1_000_000, "M"), (1_000, "K"))


class BarPair(NamedTuple):
    """Two proportions of one thing, before and after."""

    name: str
    detail: str
    before: Interval
    after: Interval


class ForestRow(NamedTuple):
    """A difference with its interval; `verdict` (better, worse, undecided, unknown) gives the color."""

    name: str
    difference: Interval
    verdict: str
    note: str
    is_whole: bool = True
    """The whole suite, as opposed to one category of it."""


def draw_bars(pairs: Sequence[BarPair], label: str) -> Html:
    """A gray and a green bar per pair, with whiskers for the intervals, from 0 to 100 %."""
    row, left, plot = 44, 220, 560
    height = len(pairs) * row

    def x(share: float) -> float:
        return round(left + plot * share, 1)

    parts = [
        f'<line class="line" x1="{x(s)}" x2="{x(s)}" y1="0" y2="{height}"/>'
        f'<text class="mark" x="{x(s)}" y="{height + 16}">{s:.0%}</text>'
        for s in (0, 0.25, 0.5, 0.75, 1)
    ]
    for number, pair in enumerate(pairs):
        y = number * row
        parts.append(f'<text class="value" x="0" y="{y + 20}">{escape(pair.name)}</text>')
        parts.append(f'<text x="0" y="{y + 34}">{escape(pair.detail)}</text>')
        for offset, kind, interval in ((10, "before", pair.before), (24, "after", pair.after)):
            if interval.value is None:
                parts.append(f'<text x="{x(0) + 4}" y="{y + offset + 8}">unknown</text>')
                continue
            width = max(2.0, x(interval.value) - x(0))
            parts.append(f'<rect class="{kind}" x="{x(0)}" y="{y + offset}" width="{width:.1f}" height="10" rx="2"/>')
            if interval.low is not None and interval.high is not None:
                middle = y + offset + 5
                low, high = x(interval.low), x(interval.high)
                parts.append(f'<line class="whisker" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>')
    return _svg(800, height + 24, label, parts)


def draw_forest(rows: Sequence[ForestRow], label: str, unit: str) -> Html:
    """A dot with whiskers per difference around a line at zero, in points; no interval, no whisker."""
    row, left, plot, right, top, bottom = 26, 190, 400, 270, 10, 34
    ends = [abs(v) for r in rows for v in (r.difference.low, r.difference.high) if v is not None]
    limit = min(1.0, max(0.05, max(ends, default=0.1) * 1.08))
    height = top + row * len(rows) + bottom

    def x(value: float) -> float:
        return round(left + plot / 2 * (1 + max(-1.0, min(1.0, value / limit))), 1)

    step = next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if limit / s <= 4.5), 0.5)
    ticks = int(limit / step + 1e-9)
    parts = []
    for tick in range(-ticks, ticks + 1):
        at, kind = x(tick * step), "zero" if tick == 0 else "tick"
        parts.append(f'<line class="{kind}" x1="{at}" x2="{at}" y1="{top}" y2="{height - bottom + 4}"/>')
        parts.append(f'<text class="mark" x="{at}" y="{height - bottom + 18}">{100 * tick * step:+.0f}</text>')
    parts.append(f'<text class="mark" x="{left + plot / 2}" y="{height - 2}">{escape(unit)}</text>')
    for number, one in enumerate(rows):
        y = top + row * number + row / 2
        bold = " whole" if one.is_whole else ""
        parts.append(f'<text class="name{bold}" x="{left - 12}" y="{y + 4}">{escape(_cut(one.name, 28))}</text>')
        parts.append(f'<text class="value{bold}" x="{left + plot + 12}" y="{y + 4}">{escape(one.note)}</text>')
        d = one.difference
        if d.value is None or d.low is None or d.high is None:
            continue
        half = 5.5 if bold else 4
        parts.append(f'<line class="span {one.verdict}" x1="{x(d.low)}" x2="{x(d.high)}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<rect class="dot {one.verdict}" x="{x(d.value) - half}" y="{y - half}" '
            f'width="{2 * half}" height="{2 * half}"/>'
        )
    return _svg(left + plot + right, height, label, parts)


def draw_line(points: Sequence[tuple[int, float]], caption: str, label: str) -> Html:
    """One curve from zero to its largest value; many points are averaged to about a hundred."""
    curve = list(_average(points))
    top = max((value for _, value in curve), default=0.0) or 1.0
    last = curve[-1][0] or 1
    path = " ".join(f"{40 + 250 * step / last:.1f},{10 + 100 * (1 - value / top):.1f}" for step, value in curve)
    parts = [
        '<line class="line" x1="40" x2="290" y1="110" y2="110"/>',
        f'<polyline class="curve" points="{path}"/>',
        f'<text x="40" y="130">{escape(caption)}</text>',
        f'<text x="34" y="16" text-anchor="end">{top:.1f}</text><text x="34" y="112" text-anchor="end">0</text>',
    ]
    return _svg(300, 140, label, parts)


def draw_histogram(values: Sequence[int], labels: Sequence[str], label: str) -> Html:
    """A column per value, its count above and its label below."""
    width, height, foot, head, gap = 960, 240, 20, 20, 4
    wide = width / max(1, len(values))
    top, floor = max([*values, 1]), height - foot
    parts = [f'<line class="zero" x1="0" x2="{width}" y1="{floor}" y2="{floor}"/>']
    for number, (value, name) in enumerate(zip(values, labels, strict=True)):
        left, high = number * wide, value / top * (floor - head)
        middle = left + wide / 2
        parts.append(f'<text class="mark" x="{middle:.1f}" y="{height - 5}">{escape(name)}</text>')
        if value:
            high = max(1.0, high)
            parts.append(
                f'<rect class="column" x="{left + gap / 2:.1f}" y="{floor - high:.1f}" width="{wide - gap:.1f}" '
                f'height="{high:.1f}"/>'
                f'<text class="mark" x="{middle:.1f}" y="{floor - high - 4:.1f}">{shorten_count(value)}</text>'
            )
    return _svg(width, height, label, parts)


def shorten_count(number: int) -> str:
    """A count in at most four characters."""
    for size, letter in _SIZES:
        if number >= size:
            return f"{number / size:.1f}{letter}" if number < 10 * size else f"{number // size}{letter}"
    return str(number)


def standalone_svg(chart: Html) -> bytes:
    """A chart as a file of its own, with the few colors that the page's style gives it."""
    style = (
        "<style>text{fill:#5b6675;font:12px system-ui,sans-serif}.mark{text-anchor:middle;font-size:11px}"
        ".column{fill:#2f6fb0}.line,.tick{stroke:#dfe4ea}.zero{stroke:#5b6675}</style>"
    )
    return chart.replace(">", f">{style}", 1).encode()


def _average(points: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    size = max(1, len(points) // 100)
    for start in range(0, len(points), size):
        part = points[start : start + size]
        yield part[-1][0], sum(value for _, value in part) / len(part)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> Html:
    head = f'<svg {SVG_NAMESPACE} viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
    return Html(head + "".join(parts) + "</svg>")
