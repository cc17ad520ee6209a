"""The order of samples: a pure function of the config, so that nothing need be saved."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from afs.errors import ConfigError
from afs.train.learning_rate_schedule import learning_rate_at
from afs.train.settings import TrainConfig, TrainStage


class Batch(NamedTuple):
    """One step's rows and rate."""

    stage: str
    epoch: int
    """Epoch within its stage, from 1."""
    rows: tuple[int, ...]
    rate: float
    ends: str
    """`epoch` or `stage` when it is the last of one, else empty."""


def configured_stages(config: TrainConfig) -> tuple[TrainStage, ...]:
    """The stages a config means."""
    if config.stages:
        return config.stages
    return (
        TrainStage(
            name="main",
            epochs=config.epochs,
            learning_rate=config.learning_rate,
            schedule=config.schedule,
            warmup=config.warmup,
        ),
    )


def plan_batches(
    config: TrainConfig, lengths: Sequence[int], ease: Callable[[int], float] | None = None
) -> list[Batch]:
    """Every batch of the run in order; `ease` sorts the first epoch of a curriculum."""
    if not lengths:
        raise ConfigError("dataset", "there are no samples to train on")
    if config.batch_size < 1:
        raise ConfigError("batch_size", f"want at least 1, got {config.batch_size}")
    found: list[Batch] = []
    for number, stage in enumerate(configured_stages(config)):
        found += stage_batches(config, number, stage, lengths, ease)
    return found[: config.max_steps] if config.max_steps else found


def stage_batches(
    config: TrainConfig, number: int, stage: TrainStage, lengths: Sequence[int], ease: Callable[[int], float] | None
) -> Iterator[Batch]:
    rng = random.Random(f"order:{config.seed}:{number}")
    chosen = list(range(len(lengths)))
    if stage.samples and stage.samples < len(chosen):
        chosen = sorted(rng.sample(chosen, stage.samples))
    per_epoch = -(-len(chosen) // config.batch_size)
    total = per_epoch * stage.epochs
    shown = min(total, config.max_steps) if config.max_steps and not config.stages else total
    at = 0
    for epoch in range(1, stage.epochs + 1):
        sort = ease if config.curriculum and number == 0 and epoch == 1 else None
        for index, rows in enumerate(epoch_batches(config, chosen, lengths, rng, sort)):
            last = index == per_epoch - 1
            ends = ("stage" if epoch == stage.epochs else "epoch") if last else ""
            yield Batch(stage.name, epoch, rows, learning_rate_at(stage, at, shown), ends)
            at += 1


def epoch_batches(
    config: TrainConfig,
    chosen: Sequence[int],
    lengths: Sequence[int],
    rng: random.Random,
    ease: Callable[[int], float] | None,
) -> list[tuple[int, ...]]:
    """Random batches, sorted by length inside so that the micro-batches pad little; or easiest first.

    Whole batches of like lengths would be of one family each: the loss then jumps from batch to batch, and the model
    unlearns one family while it sees the next. They are there when asked for (`length_grouping`).
    """
    size = config.batch_size
    order = list(chosen)
    rng.shuffle(order)
    if ease is not None:
        order.sort(key=lambda row: -ease(row))
    elif config.length_grouping:
        pools = [order[i : i + size * 16] for i in range(0, len(order), size * 16)]
        order = [row for pool in pools for row in sorted(pool, key=lambda row: lengths[row])]
    drawn = [sorted(order[i : i + size], key=lambda row: lengths[row]) for i in range(0, len(order), size)]
    if config.length_grouping and ease is None:
        rng.shuffle(drawn)
    return [tuple(rows) for rows in drawn]
