"""The learning rate at a step: a pure function of the config."""

from __future__ import annotations

import math

from afs.train.settings import TrainStage


def learning_rate_at(stage: TrainStage, step: int, total: int) -> float:
    """The rate of a stage's step: a rise, then the fall its schedule names."""
    rise = round(stage.warmup * total)
    if step < rise:
        return stage.learning_rate * (step + 1) / rise
    way = (step - rise) / max(1, total - rise - 1)
    way = min(1.0, way)
    if stage.schedule == "constant":
        return stage.learning_rate
    fall = (1 + math.cos(math.pi * way)) / 2 if stage.schedule == "cosine" else 1 - way
    return stage.learning_rate * (stage.end + (1 - stage.end) * fall)
