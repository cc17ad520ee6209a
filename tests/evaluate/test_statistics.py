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


def test_mcnemar_is_the_binomial() -> None:
    assert statistics.mcnemar(9, 1, mid=False) == pytest.approx(22 / 1024)
    assert statistics.mcnemar(9, 1) == pytest.approx(12 / 1024)
    assert statistics.mcnemar(0, 0) == 1.0 and statistics.mcnemar(5, 5) <= 1.0


@pytest.mark.parametrize("items, gain, wanted", [(50, 0.1, 0.2), (100, 0.1, 0.44), (200, 0.1, 0.78), (400, 0.1, 0.98)])
def test_power_of_the_exact_test(items: int, gain: float, wanted: float) -> None:
    assert statistics.power(items, gain) == pytest.approx(wanted, abs=0.02)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60))
def test_tango_holds_the_difference(better: int, worse: int, same: int) -> None:
    n = better + worse + same
    if n == 0:
        return
    low, high = statistics.tango(better, worse, n)
    assert -1 <= low <= (better - worse) / n + 1e-9 and (better - worse) / n - 1e-9 <= high <= 1


@pytest.mark.parametrize("better, worse, n", [(12, 2, 50), (5, 1, 40), (3, 0, 20)])
def test_the_ends_of_tangos_interval_are_where_the_score_test_just_rejects(better: int, worse: int, n: int) -> None:
    """The constrained likelihood is maximized here by trying a grid, not by Tango's formula."""
    for end in statistics.tango(better, worse, n):
        grid = np.linspace(max(0.0, -end) + 1e-9, (1 - end) / 2 - 1e-9, 200_001)
        rest = n - better - worse
        likelihood = better * np.log(grid + end) + worse * np.log(grid) + rest * np.log(1 - 2 * grid - end)
        q = float(grid[likelihood.argmax()])
        z = (better - worse - n * end) / math.sqrt(n * (2 * q + end - end * end))
        assert abs(z) == pytest.approx(1.96, abs=0.01)


def test_few_discordant_pairs_are_exact_and_many_are_resampled_by_cluster() -> None:
    few = statistics.paired([1.0] * 9 + [0.0] * 31, [0.0] * 39 + [1.0], [str(i) for i in range(40)])
    assert few.method == "mid-p" and (few.better, few.worse) == (9, 1) and few.p == pytest.approx(12 / 1024)
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, 200).astype(float), rng.integers(0, 2, 200).astype(float)
    alone = statistics.paired(list(a), list(b), [str(i) for i in range(200)])
    copies = statistics.paired([*a, *a, *a], [*b, *b, *b], [str(i) for i in range(200)] * 3)
    width = [p.interval.high - p.interval.low for p in (alone, copies)]  # type: ignore[operator]
    assert alone.method == "bootstrap over 200 clusters" and copies.interval.n == 600
    assert width[1] == pytest.approx(width[0], rel=0.05), "asking the same thing three times is not more evidence"


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
