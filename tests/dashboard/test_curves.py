"""What is drawn: extremes survive, gaps stay gaps, spikes are found; the time left with a clock that jumps."""

from __future__ import annotations

import json
import math
import random
from array import array

import pytest
from tests.dashboard.test_run_index import step

from afs.dashboard.curve_charts import Chart, Series, chart_data, draw, log_ticks, nice_ticks, render_chart
from afs.dashboard.curve_downsampling import MOST_POINTS, Curve, cut, downsample, find_spikes, smooth
from afs.dashboard.event_lines import split_lines
from afs.dashboard.run_charts import run_charts
from afs.dashboard.run_history import RunTrack
from afs.dashboard.time_left_forecast import forecast_seconds


def floats(values: list[float]) -> array[float]:
    return array("d", values)


def test_downsampling_keeps_the_smallest_and_the_largest() -> None:
    chance = random.Random(1)
    values = [chance.random() for _ in range(100_000)]
    values[51_234], values[77_777] = 9.0, -9.0
    curve = downsample(range(100_000), floats(values))
    assert len(curve.steps) <= MOST_POINTS and curve.steps == sorted(set(curve.steps))
    assert dict(zip(*curve, strict=True))[51_234] == 9.0 and min(v for v in curve.values if v is not None) == -9.0


def test_values_that_are_no_numbers_are_gaps() -> None:
    values = [1.0] * 9_000
    values[100:8_000] = [math.nan] * 7_900
    values[8_500] = math.inf
    curve = downsample(range(9_000), floats(values), 90)
    assert None in curve.values and max(v for v in curve.values if v is not None) == 1.0
    assert downsample([1, 2], floats([math.nan, 2.0])).values == [None, 2.0]
    assert smooth([None, None, 2.0], 1) == [None, None, 2.0]


def test_a_window_has_a_point_beyond_on_each_side() -> None:
    steps, values = array("q", range(0, 100, 10)), floats([float(n) for n in range(10)])
    assert list(cut(steps, values, 25, 45)[0]) == [20, 30, 40, 50]
    assert list(cut(steps, values, None, 5)[0]) == [0, 10]


def test_spikes_are_found_and_a_falling_start_is_none() -> None:
    chance = random.Random(2)
    values: list[float | None] = [5 * math.exp(-n / 20) + 0.1 + 0.01 * chance.random() for n in range(300)]
    values[150] = 4.0
    found = find_spikes(Curve(list(range(300)), values))
    assert found.steps == [150]


@pytest.mark.parametrize("jump", [0.0, 3600.0, -7200.0])
def test_the_time_left_survives_a_clock_that_is_set(jump: float) -> None:
    chance = random.Random(3)
    times, now = [], 0.0
    for number in range(600):
        now += 1.0 + 0.2 * chance.random()
        times.append(now + (jump if number > 300 else 0.0))
    left = forecast_seconds(times, 1000)
    assert left.value is not None and left.low is not None and left.high is not None
    assert left.low < 1100 < left.high and left.high - left.low < 200


def test_too_few_steps_say_nothing() -> None:
    assert forecast_seconds([1.0, 2.0, 3.0], 10).value is None
    assert forecast_seconds([1.0, 2.0], 0).value == 0.0


def test_a_chart_is_drawing_and_data_with_foreign_names_escaped() -> None:
    series = [
        Series("</script><b>", "raw", Curve([1, 2, 3], [1.0, None, 30.0])),
        Series("held-out", "held-out", Curve([2], [0.5]), [0.4], [0.6]),
    ]
    chart = Chart("loss", "<i>", "hint", series, may_be_log=True)
    html = render_chart(chart)
    assert "<b>" not in html.replace("<b>&lt;i&gt;</b>", "") and "</script><" not in html.partition("</script>")[0]
    data = chart_data(chart)
    assert data["steps"] == [1, 2, 3] and data["log"] and json.dumps(data)
    assert draw(chart).count('class="whisker"') == 1 and "<circle" in draw(chart)
    assert "not measured yet" in render_chart(Chart("x", "x", "", [Series("a", "line", Curve([], []))]))


def test_ticks() -> None:
    assert nice_ticks(0, 10) == [0, 2, 4, 6, 8, 10] and nice_ticks(1, 1) == []
    assert log_ticks(0.02, 30) == [0.1, 1.0, 10.0]


def test_a_long_curve_that_grows_is_drawn_from_what_is_new() -> None:
    track = RunTrack()
    for line in split_lines(b"".join(step(n, n / 10, 40_000) for n in range(1, 30_001)), 0):
        track.add(line)
    first = run_charts(track)[0].series[0].curve
    for line in split_lines(b"".join(step(n, -5.0 if n == 30_050 else 1.0, 40_000) for n in range(30_001, 30_101)), 0):
        track.add(line)
    then = run_charts(track)[0].series[0].curve
    assert then.steps[: len(first.steps)] == first.steps and then.steps[-1] == 30_100 and -5.0 in then.values
    track.add(next(split_lines(step(20_000, 3.0), 0)))
    assert run_charts(track)[0].series[0].curve.steps[-1] == 20_000
