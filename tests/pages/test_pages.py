"""The parts of pages: foreign text is escaped, unknown stays unknown, charts are complete SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from afs.pages import Html, escape_text, format_percent, join, render_page, render_table
from afs.pages.charts import (
    BarPair,
    ForestRow,
    draw_bars,
    draw_forest,
    draw_histogram,
    draw_line,
    shorten_count,
    standalone_svg,
)
from afs.types import Interval

UNKNOWN = Interval(value=None)
KNOWN = Interval(value=0.5, low=0.4, high=0.6, n=9)
EVIL = '<script>"&'


def texts(chart: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(chart).iter() if node.tag.endswith("text")]


def test_text_is_escaped_unless_it_is_markup() -> None:
    assert escape_text(EVIL) == "&lt;script&gt;&quot;&amp;"
    assert join(["<", Html("<b>"), 3]) == "&lt;<b>3"
    page = render_page(EVIL, [EVIL, render_table([EVIL], [[EVIL, 1234, Html("<b>x</b>")]])])
    assert "<script>" not in page and '<td class="n">1,234</td>' in page and "<td><b>x</b></td>" in page
    assert page.startswith("<!doctype html>") and "http" not in page


@pytest.mark.parametrize(
    ("interval", "text"),
    [(None, "unknown"), (UNKNOWN, "unknown"), (Interval(value=0.5), "50 %"), (KNOWN, "50 % [40, 60]")],
)
def test_percent(interval: Interval | None, text: str) -> None:
    assert format_percent(interval) == text


def test_bars_and_forest_show_unknown_and_foreign_names() -> None:
    assert texts(draw_bars([BarPair(EVIL, "s", UNKNOWN, KNOWN)], "l")).count("unknown") == 1
    forest = draw_forest(
        [ForestRow(EVIL, KNOWN, "better", "+50", True), ForestRow("b" * 40, UNKNOWN, "unknown", "unknown", False)],
        "l",
        "points",
    )
    assert EVIL in texts(forest) and "b" * 27 + "…" in texts(forest) and forest.count("<rect") == 1


def test_a_line_of_many_points_and_of_one() -> None:
    assert draw_line([(n, 1 / (n + 1)) for n in range(5000)], "c", "l").count(",") <= 102
    ET.fromstring(draw_line([(0, 0.0)], EVIL, "l"))


def test_a_histogram_has_its_numbers_and_stands_alone() -> None:
    chart = draw_histogram([0, 3, 10], ("0", "1", "2K"), "l")
    assert texts(chart) == ["0", "1", "3", "2K", "10"] and chart.count("<rect") == 2
    assert b"<style>" in standalone_svg(chart) and ET.fromstring(standalone_svg(chart)) is not None
    assert [shorten_count(n) for n in (7, 999, 1400, 25_000, 3_100_000)] == ["7", "999", "1.4K", "25K", "3.1M"]
