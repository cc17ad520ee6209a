"""Charts of a run: one drawing for everybody (SVG), and the same points as data for the script that zooms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Literal, NamedTuple

import msgspec

from afs.dashboard.curve_downsampling import Curve
from afs.pages import Html

SeriesKind = Literal["raw", "smooth", "spike", "held-out", "line", "other"]
WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 10, 12, 26


class Series(NamedTuple):
    """One curve of a chart."""

    name: str
    kind: SeriesKind
    curve: Curve
    low: Sequence[float | None] = ()
    """Lower ends of the intervals, where there are any."""
    high: Sequence[float | None] = ()


class Chart(NamedTuple):
    """Curves over steps with one axis."""

    key: str
    title: str
    hint: str
    series: Sequence[Series]
    unit: str = ""
    is_share: bool = False
    """Whether the axis is 0 to 100 %."""
    from_zero: bool = False
    may_be_log: bool = False
    """Whether the axis counts powers when the values span more than a factor of 30."""

    @property
    def is_log(self) -> bool:
        """Whether the axis counts powers."""
        values = [value for one in self.series for value in one.curve.values if value is not None]
        return self.may_be_log and len(values) > 1 and 0 < 30 * min(values) < max(values)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value is not None for one in self.series for value in one.curve.values)


def chart_data(chart: Chart) -> dict[str, object]:
    """The chart for the script: common steps, and per curve a value or null at each."""
    steps = sorted({step for one in chart.series for step in one.curve.steps})
    place = {step: number for number, step in enumerate(steps)}
    rows = []
    for one in chart.series:
        row: dict[str, object] = {"name": one.name, "kind": one.kind, "values": _placed(one.curve.values, one, place)}
        if one.low:
            row |= {"low": _placed(one.low, one, place), "high": _placed(one.high, one, place)}
        rows.append(row)
    form = {"key": chart.key, "unit": chart.unit, "share": chart.is_share, "log": chart.is_log}
    return {**form, "steps": steps, "series": rows}


def _placed(values: Sequence[float | None], one: Series, place: Mapping[int, int]) -> list[float | None]:
    found: list[float | None] = [None] * len(place)
    for step, value in zip(one.curve.steps, values, strict=True):
        found[place[step]] = None if value is None else float(f"{value:.6g}")
    return found


def render_chart(chart: Chart) -> Html:
    """The figure: title, what it means, the drawing, and its points for the script."""
    legend = "".join(
        f'<span class="key {one.kind}" data-series="{number}">{escape(one.name)}</span>'
        for number, one in enumerate(chart.series)
        if len(chart.series) > 1
    )
    legend += '<span class="at"></span>'
    head = (
        f'<figcaption><b>{escape(chart.title)}</b> {legend}<span class="hint">{escape(chart.hint)}</span></figcaption>'
    )
    if chart.is_empty:
        return Html(f'<figure class="chart empty">{head}<p class="soft">not measured yet</p></figure>')
    data = msgspec.json.encode(chart_data(chart)).decode().replace("<", "\\u003c")
    return Html(
        f'<figure class="chart" data-chart="{escape(chart.key)}">{head}{draw(chart)}'
        f'<script type="application/json">{data}</script></figure>'
    )


class _Scale(NamedTuple):
    """Places of values in a drawing."""

    first: int
    last: int
    low: float
    high: float
    width: int
    height: int
    is_log: bool

    def x(self, step: float) -> float:
        return _LEFT + (self.width - _LEFT - _RIGHT) * (step - self.first) / max(1, self.last - self.first)

    def y(self, value: float) -> float:
        """Values above the axis are drawn at its upper edge."""
        if self.is_log:
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low))
        else:
            low, high = self.low, self.high
        share = (value - low) / (high - low)
        return max(0.0, _TOP + (self.height - _TOP - _BOTTOM) * (1 - share))


def draw(chart: Chart, width: int = WIDTH, height: int = HEIGHT) -> Html:
    """The drawing."""
    low, high = _range(chart)
    last = max((one.curve.steps[-1] for one in chart.series if one.curve.steps), default=1)
    first = min((one.curve.steps[0] for one in chart.series if one.curve.steps), default=0)
    scale = _Scale(first, last, low, high, width, height, chart.is_log)
    parts = [*_axes(chart, scale)]
    for number, one in enumerate(chart.series):
        parts += _draw_series(one, number, scale)
    label = f"{chart.title}: {_spoken(chart)}"
    return Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _spoken(chart: Chart) -> str:
    """The last value of each curve, for those who do not see the drawing."""
    found = []
    for one in chart.series:
        last = next((value for value in reversed(one.curve.values) if value is not None), None)
        if last is not None:
            found.append(f"{one.name} {last:.4g}{chart.unit and ' '}{chart.unit}")
    return ", ".join(found) or "no values"


def _range(chart: Chart) -> tuple[float, float]:
    if chart.is_share:
        return 0.0, 1.0
    values = [v for one in chart.series for v in (*one.curve.values, *one.low, *one.high) if v is not None]
    if chart.is_log:
        return min(values) * 0.8, max(values) * 1.25
    low, high = min(values, default=0.0), max(values, default=1.0)
    # a first value or a spike far above the rest must not flatten the curve
    ordered = sorted(values)
    usual = ordered[int(len(ordered) * 0.98)] if len(ordered) > 100 else high
    high = min(high, low + 4 * (usual - low)) if usual > low else high
    low = 0.0 if chart.from_zero else low
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    margin = 0.04 * (high - low)
    return (low if chart.from_zero else low - margin), high + margin


def _axes(chart: Chart, scale: _Scale) -> Iterator[str]:
    ticks = log_ticks(scale.low, scale.high) if scale.is_log else nice_ticks(scale.low, scale.high)
    for value in ticks:
        at = round(scale.y(value), 1)
        text = f"{value:.0%}" if chart.is_share else f"{value:.4g}"
        yield f'<line class="tick" x1="{_LEFT}" x2="{scale.width - _RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text class="side" x="{_LEFT - 6}" y="{at + 4}">{escape(text)}</text>'
    for step in nice_ticks(scale.first, scale.last):
        yield f'<text class="mark" x="{scale.x(step):.1f}" y="{scale.height - 6}">{step:,.0f}</text>'


def _draw_series(one: Series, number: int, scale: _Scale) -> Iterator[str]:
    lines: list[list[str]] = [[]]
    dots = []
    for step, value in zip(one.curve.steps, one.curve.values, strict=True):
        if value is None:
            if lines[-1] and one.kind != "held-out":
                lines.append([])
            continue
        lines[-1].append(f"{scale.x(step):.1f},{scale.y(value):.1f}")
        if one.kind in ("held-out", "spike"):
            dots.append(f'<circle class="{one.kind}" cx="{scale.x(step):.1f}" cy="{scale.y(value):.1f}" r="3"/>')
    for line in lines if one.kind != "spike" else ():
        if line:
            yield f'<polyline class="curve {one.kind} n{number % 6}" points="{" ".join(line)}"/>'
    for step, low, high in zip(one.curve.steps, one.low, one.high, strict=False):
        if low is not None and high is not None:
            at = f"{scale.x(step):.1f}"
            yield f'<line class="whisker" x1="{at}" x2="{at}" y1="{scale.y(low):.1f}" y2="{scale.y(high):.1f}"/>'
    yield from dots


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values between two ends."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough), power * 10)
    first = math.ceil(low / step - 1e-9)
    return [(first + number) * step for number in range(int((high - first * step) / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two ends."""
    return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def draw_columns(counts: Mapping[str, Sequence[int]], colors: Mapping[str, str], label: str) -> Html:
    """Stacked columns over time."""
    size = max((len(values) for values in counts.values()), default=0)
    tops = [sum(values[n] for values in counts.values()) for n in range(size)]
    most = max(tops, default=0) or 1
    width, height = WIDTH, 160
    wide = width / max(1, size)
    parts = [f'<line class="zero" x1="0" x2="{width}" y1="{height}" y2="{height}"/>']
    for number in range(size):
        base = float(height)
        for name, values in counts.items():
            tall = values[number] / most * (height - 14)
            if tall:
                base -= tall
                parts.append(
                    f'<rect class="{colors[name]}" x="{number * wide + 1:.1f}" y="{base:.1f}" width="{wide - 2:.1f}" '
                    f'height="{tall:.1f}"><title>{escape(name)}: {values[number]}</title></rect>'
                )
    return Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 2}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
