"""Numbers a config may hold: refused by name and value before anything is read, loaded or planned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import attrgetter

from afs.config import Config
from afs.errors import ConfigError

INFINITE = math.inf
TRAIN: Mapping[str, tuple[float, float]] = {
    "epochs": (1, INFINITE),
    "max_steps": (0, INFINITE),
    "batch_size": (1, INFINITE),
    "micro_batch": (0, INFINITE),
    "max_length": (8, INFINITE),
    "loss_chunk": (1, INFINITE),
    "neftune": (0, INFINITE),
    "weight_decay": (0, 1),
    "max_grad_norm": (1e-9, INFINITE),
    "learning_rate": (0, INFINITE),
    "warmup": (0, 1),
    "threads": (1, INFINITE),
    "usd_per_hour": (0, INFINITE),
    "lora.rank": (1, INFINITE),
    "lora.alpha": (1, INFINITE),
    "lora.dropout": (0, 0.99),
    "checkpoints.every": (1, INFINITE),
    "checkpoints.keep": (1, INFINITE),
    "evaluate.every": (0, INFINITE),
    "evaluate.samples": (1, INFINITE),
    "evaluate.probes": (0, INFINITE),
    "evaluate.max_tokens": (1, INFINITE),
    "evaluate.patience": (0, INFINITE),
    "guard.window": (21, INFINITE),
    "guard.strikes": (1, INFINITE),
    "guard.divergence": (1, INFINITE),
    "guard.rollbacks": (0, INFINITE),
    "guard.rate_cut": (1e-6, 1),
    "preference.generations": (2, INFINITE),
    "preference.max_tokens": (1, INFINITE),
    "preference.beta": (0, INFINITE),
}
"""Field of `TrainConfig` -> least and most."""
PLAN: Mapping[str, tuple[float, float]] = {
    "samples": (1, INFINITE),
    "mean_tokens": (1, INFINITE),
    "max_length": (8, INFINITE),
    "epochs": (1, INFINITE),
    "batch_size": (1, INFINITE),
    "micro_batch": (1, INFINITE),
    "rank": (1, INFINITE),
    "dropout": (0, 0.99),
    "loss_chunk": (0, INFINITE),
    "utilization": (0.01, 1),
    "usd_per_hour": (0, INFINITE),
}
"""Field of `PlanConfig` -> least and most."""


def refuse_beyond(config: Config, table: Mapping[str, tuple[float, float]]) -> None:
    """Raise the first number outside its limits."""
    for name, (low, high) in table.items():
        value = attrgetter(name)(config)
        if not low <= value <= high:
            wanted = f"at least {low:g}" if high == INFINITE else f"{low:g} to {high:g}"
            raise ConfigError(name, f"want {wanted}, got {value:g}")
