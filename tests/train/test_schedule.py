"""Batches and rates are pure functions of the config."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.train.conftest import config

from afs.errors import ConfigError
from afs.train.learning_rate_schedule import learning_rate_at
from afs.train.schedule import plan_batches
from afs.train.settings import TrainStage

LENGTHS = [5 + i * 7 % 40 for i in range(50)]


@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 4), st.integers(0, 5))
def test_every_epoch_has_every_row_once(count: int, size: int, epochs: int, seed: int) -> None:
    found = plan_batches(config(batch_size=size, epochs=epochs, seed=seed), [3] * count)
    for epoch in range(1, epochs + 1):
        rows = Counter(row for batch in found if batch.epoch == epoch for row in batch.rows)
        assert rows == Counter(range(count))
    assert sum(bool(batch.ends) for batch in found) == epochs


def test_the_order_is_the_seed_s() -> None:
    assert plan_batches(config(), LENGTHS) == plan_batches(config(), LENGTHS)
    assert plan_batches(config(), LENGTHS) != plan_batches(config(seed=1), LENGTHS)


def test_batches_hold_like_lengths() -> None:
    found = plan_batches(config(batch_size=5, epochs=1, length_grouping=True), LENGTHS)
    spread = [max(LENGTHS[r] for r in b.rows) - min(LENGTHS[r] for r in b.rows) for b in found]
    assert max(spread) < 10


def test_stages_follow_each_other_with_their_own_rates() -> None:
    stages = [
        {"name": "warm-up", "samples": 10, "learning_rate": 1e-5, "schedule": "constant"},
        {"name": "main", "epochs": 2, "learning_rate": 5e-5, "schedule": "constant"},
        {"name": "cool-down", "samples": 10, "learning_rate": 1e-6, "schedule": "constant"},
    ]
    found = plan_batches(config(stages=stages, batch_size=10), LENGTHS)
    assert [(b.stage, b.rate) for b in found] == ([("warm-up", 1e-5)] + [("main", 5e-5)] * 10 + [("cool-down", 1e-6)])
    assert [b.stage for b in found if b.ends == "stage"] == ["warm-up", "main", "cool-down"]


def test_a_curriculum_begins_with_the_easy_ones() -> None:
    found = plan_batches(config(curriculum=True, batch_size=10, epochs=2), LENGTHS, lambda row: -LENGTHS[row])
    means = [sum(LENGTHS[r] for r in b.rows) / len(b.rows) for b in found if b.epoch == 1]
    assert means == sorted(means)


def test_the_rate_rises_and_falls() -> None:
    stage = TrainStage(name="x", learning_rate=1.0, warmup=0.1, end=0.1)
    rates = [learning_rate_at(stage, step, 100) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_most_steps_are_the_plan_s_length_too() -> None:
    found = plan_batches(config(max_steps=7, epochs=9), LENGTHS)
    assert len(found) == 7
    assert found[-1].rate < found[2].rate / 2


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="no samples to train on"):
        plan_batches(config(), [])
    with pytest.raises(ConfigError, match="batch_size"):
        plan_batches(config(batch_size=0), [1])
