"""The guard sees numbers only: what it does about each kind of trouble."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs.train.guard import Guard, GuardState, robust_z
from afs.train.learner import Measured
from afs.train.settings import GuardRules


def measured(loss: float, norm: float = 1.0) -> Measured:
    return Measured(loss, norm, 10, 10)


def calm(guard: Guard, count: int = 40, level: float = 2.0) -> None:
    for i in range(count):
        assert guard.step(i, measured(level + 0.02 * (i % 5), 1 + 0.02 * (i % 3))).action == "go"


def test_not_finite_is_skipped_from_the_first_step_on() -> None:
    guard = Guard(GuardRules())
    for value in (math.nan, math.inf):
        advice = guard.step(0, measured(value))
        assert (advice.action, advice.rule) == ("skip", "not finite")
    assert guard.step(1, measured(2.0, math.nan)).action == "rollback"


def test_a_spike_of_twice_the_loss_is_seen() -> None:
    guard = Guard(GuardRules())
    calm(guard)
    advice = guard.step(40, measured(4.0, 5.0))
    assert (advice.action, advice.rule) == ("skip", "spike")


def test_a_high_loss_with_a_normal_gradient_is_only_a_hard_batch() -> None:
    guard = Guard(GuardRules())
    calm(guard)
    assert guard.step(40, measured(4.0, 1.0)).action == "go"


def test_a_steep_gradient_with_a_normal_loss_is_told() -> None:
    guard = Guard(GuardRules())
    calm(guard)
    advice = guard.step(40, measured(2.0, 50.0))
    assert (advice.action, advice.rule) == ("warn", "gradient")


def test_three_strikes_roll_back_and_three_roll_backs_stop() -> None:
    guard = Guard(GuardRules(strikes=3, rollbacks=1))
    actions = [guard.step(i, measured(math.nan)).action for i in range(3)]
    assert actions == ["skip", "skip", "rollback"]
    guard.rolled_back(GuardState())
    actions = [guard.step(i, measured(math.nan)).action for i in range(3)]
    assert actions == ["skip", "skip", "stop"]


def test_strikes_far_apart_are_forgotten() -> None:
    guard = Guard(GuardRules(strikes=2))
    assert [guard.step(i, measured(math.nan)).action for i in (0, 60, 120)] == ["skip"] * 3


def test_slow_divergence_rolls_back() -> None:
    guard = Guard(GuardRules())
    actions = [guard.step(i, measured(1 + 0.03 * i)).action for i in range(60)]
    assert "rollback" in actions
    assert "skip" not in actions


def test_tiny_losses_may_wobble() -> None:
    guard = Guard(GuardRules())
    assert all(guard.step(i, measured(0.001 + 0.02 * (i % 2))).action == "go" for i in range(200))


def test_a_stalled_step_is_told() -> None:
    guard = Guard(GuardRules())
    assert all(guard.timed(0.1).action == "go" for _ in range(30))
    assert guard.timed(9.0).rule == "stalled"


def test_overfitting_is_told() -> None:
    guard = Guard(GuardRules())
    found = []
    for i in range(4):
        calm(guard, level=2.0 - 0.4 * i)
        found.append(guard.evaluated(2.0 + 0.1 * i).rule)
    assert found[-1] == "overfitting"


def test_another_rate_than_planned_stops() -> None:
    guard = Guard(GuardRules())
    assert guard.rate(1e-3, 1e-3).action == "go"
    assert guard.rate(1e-3, 5e-4).action == "stop"


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=150), st.integers(0, 149))
def test_a_restored_guard_advises_the_same(losses: list[float], at: int) -> None:
    whole, first = Guard(GuardRules()), Guard(GuardRules())
    expected = [whole.step(i, measured(loss)) for i, loss in enumerate(losses)]
    found = [first.step(i, measured(loss)) for i, loss in enumerate(losses[:at])]
    saved = msgspec.json.decode(msgspec.json.encode(first.state), type=GuardState)
    second = Guard(GuardRules(), saved)
    found += [second.step(at + i, measured(loss)) for i, loss in enumerate(losses[at:])]
    assert found == expected


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=50), st.floats(-1000, 1000))
def test_the_median_is_at_zero(window: list[float], value: float) -> None:
    assert robust_z(sorted(window)[len(window) // 2], window) >= 0
    assert math.isfinite(robust_z(value, window))


def test_nothing_is_normal_before_twenty_steps_and_a_twenty_first_is_judged() -> None:
    guard = Guard(GuardRules())
    calm(guard, 19)
    assert guard.state.smooth_best is None
    assert guard.step(19, measured(2.0)).action == "go" and guard.state.smooth_best is not None
    early, late = Guard(GuardRules()), Guard(GuardRules())
    calm(early, 19)
    calm(late, 20)
    assert (early.step(19, measured(9.0, 9.0)).action, late.step(20, measured(9.0, 9.0)).action) == ("go", "skip")


def test_a_new_stage_forgets_losses_norms_and_the_best() -> None:
    guard = Guard(GuardRules())
    calm(guard)
    guard.new_stage()
    assert (guard.state.losses, guard.state.norms, guard.state.smooth_best) == ((), (), None)
    calm(guard, level=9.0)


def test_divergence_is_a_multiple_of_the_best_and_a_tenth_more() -> None:
    rules = GuardRules(divergence=1.5)
    for level, action in ((1.59, "go"), (1.61, "rollback")):
        guard = Guard(rules, GuardState(losses=(level,) * 19, norms=(1.0,) * 19, smooth_best=1.0))
        assert guard.step(20, measured(level)).action == action


def test_the_deviation_is_at_least_a_hundredth_of_the_median() -> None:
    assert robust_z(2.2, [2.0, 2.0, 2.0]) == pytest.approx(10.0)
    assert robust_z(3.0, [1.0, 2.0, 3.0]) == pytest.approx(1 / 1.4826)
    assert robust_z(1e-9, [0.0, 0.0]) == pytest.approx(1.0)
