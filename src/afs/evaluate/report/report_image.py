"""A report as an image for slides and messages: the verdict and the forest plot, drawn by Pillow."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import msgspec
from PIL import Image, ImageDraw, ImageFont

from afs.evaluate.compare import ALL, Comparison, format_points
from afs.types import Report

_WIDE, _ROW, _LEFT, _RIGHT, _SCALE = 1000, 26, 200, 290, 2
_COLORS = {"better": "#0b7a4b", "worse": "#b3261e", "undecided": "#8a6100", "unknown": "#8a6100"}
_INK, _SOFT, _LINE = "#1d2327", "#5c6770", "#dde2e6"


def render_image(report: Report) -> bytes:
    """The PNG."""
    environment = report.environment
    comparisons = msgspec.convert(environment.get("comparisons", []), list[Comparison])
    head = textwrap.wrap(str(environment.get("verdict", "")), 78)
    notes = [line for note in _texts(environment.get("notes")) for line in textwrap.wrap(note, 120)][:8]
    top = 52 + 30 * len(head) + 19 * len(notes)
    high = top + (_ROW * len(comparisons) + 66 if comparisons else 10)
    image = Image.new("RGB", (_WIDE * _SCALE, high * _SCALE), "white")
    pen = _Pen(ImageDraw.Draw(image))
    pen.text(24, 16, f"{report.subject} on {report.suite}", 14, _SOFT)
    for number, line in enumerate(head):
        pen.text(24, 38 + 30 * number, line, 22, _INK)
    for number, line in enumerate(notes):
        pen.text(24, 46 + 30 * len(head) + 19 * number, line, 13, _SOFT)
    if comparisons:
        _forest(pen, comparisons, top + 8)
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()


def _texts(value: object) -> list[str]:
    return [str(inner) for inner in value] if isinstance(value, list | tuple) else []


class _Pen:
    """Draws at twice the size, for sharp screens."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self.draw = draw

    def text(self, x: float, y: float, text: str, size: int, color: str, anchor: str = "la") -> None:
        plain = text.replace("−", "-").replace("→", "->").replace("…", "...")
        font = ImageFont.load_default(size * _SCALE)
        self.draw.text((x * _SCALE, y * _SCALE), plain, fill=color, font=font, anchor=anchor)

    def line(self, box: Sequence[float], color: str, width: int = 1) -> None:
        self.draw.line([v * _SCALE for v in box], fill=color, width=width * _SCALE)

    def box(self, x: float, y: float, half: float, color: str) -> None:
        self.draw.rectangle([v * _SCALE for v in (x - half, y - half, x + half, y + half)], fill=color)


def _forest(pen: _Pen, comparisons: Sequence[Comparison], top: float) -> None:
    ends = [abs(v) for c in comparisons for v in (c.difference.low, c.difference.high) if v is not None]
    limit = min(1.0, max(0.05, max(ends, default=0.1) * 1.08))
    wide = _WIDE - _LEFT - _RIGHT

    def place(value: float) -> float:
        return _LEFT + wide / 2 * (1 + max(-1.0, min(1.0, value / limit)))

    bottom = top + _ROW * len(comparisons)
    pen.line((place(0), top - 4, place(0), bottom), _SOFT)
    for value in (-limit, -limit / 2, limit / 2, limit):
        pen.line((place(value), top - 4, place(value), bottom), _LINE)
        pen.text(place(value), bottom + 4, f"{100 * value:+.0f}", 12, _SOFT, "ma")
    pen.text(place(0), bottom + 22, "points better than the base", 12, _SOFT, "ma")
    for number, c in enumerate(comparisons):
        y = top + _ROW * number + _ROW / 2
        name = c.model if c.scope == ALL else c.scope
        pen.text(_LEFT - 12, y, name if len(name) < 26 else name[:25] + "…", 13, _INK, "rm")
        d, color = c.difference, _COLORS[c.verdict]
        if d.value is None or d.low is None or d.high is None:
            pen.text(_WIDE - _RIGHT + 14, y, "unknown", 13, _INK, "lm")
            continue
        pen.line((place(d.low), y, place(d.high), y), color, 2)
        pen.box(place(d.value), y, 5 if c.scope == ALL else 4, color)
        text = f"{format_points(d.value)}  [{format_points(d.low)}, {format_points(d.high)}]  n={d.n}"
        pen.text(_WIDE - _RIGHT + 14, y, text, 13, _INK, "lm")
