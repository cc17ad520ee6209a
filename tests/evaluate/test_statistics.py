"""Against numbers worked out elsewhere, and the properties any interval must have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs import intervals
from afs.evaluate import statistics


def test_wilson_of_four_in_five_is_wide() -> None:
    """The seeds' '84 %' were five questions."""
    low, high = intervals.wilson_interval(4, 5)
    assert low == pytest.approx(0.3755, abs=1e-3) and high == pytest.approx(0.9638, abs=1e-3)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_in_bounds(case: tuple[int, int]) -> None:
    low, high = intervals.wilson_interval(*case)
    assert 0 <= low <= case[0] / case[1] <= high <= 1


@pytest.mark.parametrize(
    "t, freedom, tail", [(2.571, 5, 0.025), (1.96, 10**6, 0.025), (0.0, 3, 0.5), (12.706, 1, 0.025)]
)
def test_students_t_has_its_table(t: float, freedom: int, tail: float) -> None:
    assert intervals.t_tail(t, freedom) == pytest.approx(tail, abs=1e-4)
    assert intervals.t_tail(-t, freedom) == pytest.approx(1 - tail, abs=1e-4)
    if t:
        assert intervals.t_quantile(1 - 2 * tail, freedom) == pytest.approx(t, rel=1e-3)


@pytest.mark.parametrize(
    "items, gain, low, high", [(120, 0.1, 0.33, 0.45), (400, 0.1, 0.84, 0.92), (60, 0.2, 0.6, 0.72)]
)
def test_power_is_that_of_the_simulation(items: int, gain: float, low: float, high: float) -> None:
    """`bench/gate_simulation.py` sees 0.39, 0.87 and 0.69 without clusters."""
    assert low < statistics.power([str(i) for i in range(items)], gain) < high


def test_clusters_and_few_clusters_cost_power() -> None:
    alone = statistics.power([str(i) for i in range(120)], 0.15)
    paired_up = statistics.power([str(i // 10) for i in range(120)], 0.15)
    assert paired_up < 0.5 * alone and statistics.power(["a"] * 60 + ["b"] * 60, 0.5) == 0.0


def test_items_that_a_guard_needs() -> None:
    """An equal model is shown to be within the margin in four runs of five: checked by simulation here."""
    n = statistics.needed_items(0.05, discordant=0.1)
    rng = np.random.default_rng(3)
    flips = rng.choice([1.0, -1.0, 0.0], p=[0.05, 0.05, 0.9], size=(300, n))
    clusters = [str(i) for i in range(n)]
    shown = [statistics.paired(list(row), [0.0] * n, clusters, 0.9).interval.low for row in flips]
    assert 0.74 < np.mean([low is not None and low > -0.05 for low in shown]) < 0.86


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60))
def test_tango_holds_the_difference(better: int, worse: int, same: int) -> None:
    n = better + worse + same
    if n == 0:
        return
    low, high = statistics.tango(better, worse, n, 1.96)
    assert -1 <= low <= (better - worse) / n + 1e-9 and (better - worse) / n - 1e-9 <= high <= 1


@pytest.mark.parametrize("better, worse, n", [(12, 2, 50), (5, 1, 40), (3, 0, 20)])
def test_the_ends_of_tangos_interval_are_where_the_score_test_just_rejects(better: int, worse: int, n: int) -> None:
    """The constrained likelihood is maximized here by trying a grid, not by Tango's formula."""
    for end in statistics.tango(better, worse, n, 1.96):
        grid = np.linspace(max(0.0, -end) + 1e-9, (1 - end) / 2 - 1e-9, 200_001)
        rest = n - better - worse
        likelihood = better * np.log(grid + end) + worse * np.log(grid) + rest * np.log(1 - 2 * grid - end)
        q = float(grid[likelihood.argmax()])
        z = (better - worse - n * end) / math.sqrt(n * (2 * q + end - end * end))
        assert abs(z) == pytest.approx(1.96, abs=0.01)


def test_few_discordant_pairs_are_judged_by_scores_and_many_by_clusters() -> None:
    few = statistics.paired([1.0] * 8 + [0.0] * 32, [0.0] * 39 + [1.0], [str(i) for i in range(40)])
    assert few.method == "score test over 40 clusters" and (few.better, few.worse) == (8, 1)
    assert few.interval.low is not None and few.interval.low > 0 and few.p is not None and few.p < 0.05
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, 200).astype(float), rng.integers(0, 2, 200).astype(float)
    alone = statistics.paired(list(a), list(b), [str(i) for i in range(200)])
    copies = statistics.paired([*a, *a, *a], [*b, *b, *b], [str(i) for i in range(200)] * 3)
    width = [p.interval.high - p.interval.low for p in (alone, copies)]  # type: ignore[operator]
    assert alone.method == "t over 200 clusters" and copies.interval.n == 600
    assert width[1] == pytest.approx(width[0], rel=0.01), "asking the same thing three times is not more evidence"


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 11)), min_size=1, max_size=80))
def test_interval_and_p_never_disagree(rows: list[tuple[int, int, int]]) -> None:
    found = statistics.paired([r[0] for r in rows], [r[1] for r in rows], [str(r[2]) for r in rows])
    low, high = found.interval.low, found.interval.high
    if low is None or high is None or found.p is None:
        assert len({r[2] for r in rows}) < statistics.LEAST_CLUSTERS
        return
    if abs(found.p - 0.05) > 1e-6:
        assert (low > 0 or high < 0) == (found.p < 0.05)


def test_too_few_clusters_decide_nothing() -> None:
    found = statistics.paired([1.0] * 50, [0.0] * 50, [str(i // 10) for i in range(50)])
    assert found.interval.low is None and found.method.startswith("undecided: 5 clusters")


def test_a_perfect_gain_is_better_with_a_margin_for_what_was_not_seen() -> None:
    found = statistics.paired([1.0] * 60, [0.0] * 60, [str(i // 10) for i in range(60)])
    assert found.interval.low is not None and 0.2 < found.interval.low < 0.98 and found.p is not None and found.p < 0.05


@pytest.mark.parametrize("size, spread", [(1, 0.0), (10, 2.0)])
def test_an_equal_model_rarely_looks_better(size: int, spread: float) -> None:
    """The worst cells of the outside check: 60 items, the clusters' answers strongly correlated."""
    rng = np.random.default_rng(7)
    shipped, worlds = 0, 600
    for _ in range(worlds):
        skill = rng.normal(0, 1, 60)
        one, two = (skill + np.repeat(rng.normal(0, spread, 60 // size), size) for _ in range(2))
        a, b = (rng.random(60) < 1 / (1 + np.exp(-x)) for x in (one, two))
        low = statistics.paired(
            list(a.astype(float)), list(b.astype(float)), [str(i // size) for i in range(60)]
        ).interval.low
        shipped += low is not None and low > 0
    assert shipped / worlds < 0.045


def test_clusters_widen_the_interval_of_a_share() -> None:
    values = [float(i // 10 % 2) for i in range(100)]
    alone = statistics.share(values, [str(i) for i in range(100)])
    together = statistics.share(values, [str(i // 10) for i in range(100)])
    assert alone.low is not None and together.low is not None and together.low < alone.low - 0.1
    assert statistics.share([], []).value is None
    assert statistics.share([1.0] * 5, list("abcde")).low == pytest.approx(0.566, abs=1e-3)


def test_holm() -> None:
    assert statistics.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_the_draws(case: tuple[int, int, int]) -> None:
    n, solved, k = case
    value = statistics.pass_at(n, solved, k)
    wanted = 1 - math.comb(n - solved, k) / math.comb(n, k)
    assert value == pytest.approx(wanted) and 0 <= value <= 1


def test_pass_at_more_than_was_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        statistics.pass_at(3, 1, 5)


def test_the_error_of_clusters_is_that_of_their_sums() -> None:
    """By hand: sums about the mean -1.5, 0.5, 1 over 3 clusters of 2, so sqrt(3.5 * 3 / 2) / 6."""
    values, clusters = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.5]), list("aabbcc")
    sums = [-1.5, 0.5, 1.0]
    assert statistics.cluster_error(values, clusters) == pytest.approx(math.sqrt(sum(s * s for s in sums) * 1.5) / 6)
    halves = np.array([0.0, 0.5, 0.5, 1.0, 1.0, 0.5])
    plain = float(((halves - 7 / 12) ** 2).sum())
    assert statistics.measured_effect(halves, clusters) == pytest.approx((4 / 9 + 1 / 9 + 1 / 9) * 1.5 / plain)
    assert statistics.measured_effect(values, list("abcdef")) == 1.0
    assert statistics.measured_effect(values, ["a"] * 6) == 1.0
    assert statistics.measured_effect(np.ones(6), clusters) == 1.0
    assert statistics.measured_effect(np.array([0.0, 1.0] * 3), clusters) == 1.0, "clusters never narrow an interval"
    assert statistics.measured_effect(np.array([0.0, 0.0, 1.0, 1.0]), list("aabb")) == 2.0, "nor beyond their size"


def test_a_mean_has_an_interval_from_six_clusters_on() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert statistics.mean_interval(values[:5], list("abcde")).low is None
    found = statistics.mean_interval(values, list("abcdef"))
    half = 2.570582 * math.sqrt(17.5 * 6 / 5) / 6
    assert found.n == 6 and (found.low, found.high) == (pytest.approx(3.5 - half), pytest.approx(3.5 + half))


def test_the_design_effect_is_that_of_the_sizes() -> None:
    """1 + (mean size seen by an item - 1) * correlation; sizes 1 and 3 are seen as 2.5."""
    assert statistics.design_effect(["a", "b", "b", "b"], 0.5) == pytest.approx(1.75)
    assert statistics.design_effect(["a", "b", "b", "b"]) == pytest.approx(1.3)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_has_its_table(successes: int, n: int, low: float, high: float) -> None:
    assert intervals.wilson_interval(successes, n) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert intervals.wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("level", "freedom", "quantile"), [(0.95, 5, 2.570582), (0.9, 30, 1.697261), (0.99, 1, 63.656741)]
)
def test_quantiles_have_their_tables(level: float, freedom: int, quantile: float) -> None:
    assert intervals.t_quantile(level, freedom) == pytest.approx(quantile, rel=1e-6)
    assert intervals.normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)


def test_a_share_is_widened_by_what_its_clusters_are_worth() -> None:
    found = statistics.share([1.0, 1.0, 0.0, 0.0], list("aabb"))
    assert (found.value, found.n) == (0.5, 4)
    assert (found.low, found.high) == tuple(map(pytest.approx, intervals.wilson_interval(1, 2)))
