"""Perplexity of the gold answers under a stored model: of the answer's tokens only, per token and per byte.

It is measured on the very files that ship, a quantized GGUF included, and never through a chat endpoint, which does not
tell what its model thinks of a given text. Compare only models with the same tokens; per byte is fair to all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from afs import datasets
from afs.evaluate.statistics import Floats, mean_interval
from afs.evaluate.suite_items import SuiteItem
from afs.providers.base import Provider, Teller
from afs.types import Interval


def measure(model: Provider, items: Sequence[SuiteItem]) -> dict[str, Interval]:
    """`perplexity` and `bits_per_byte` over the items' golds; empty for a model that cannot tell."""
    asked = [item for item in items if item.task.reference]
    if not isinstance(model, Teller) or not asked:
        return {}
    turns = [(datasets.task_messages(item.task.prompt, item.task.system), item.task.reference) for item in asked]
    told = model.losses(turns)
    loss = np.array([nats for nats, _ in told])
    tokens = np.array([count for _, count in told], dtype=np.float64)
    size = np.array([len(answer.encode()) for _, answer in turns], dtype=np.float64)
    clusters = [item.cluster for item in asked]
    found = _ratio(loss, tokens, clusters)
    bits = _ratio(loss / math.log(2), size, clusters)
    return {
        "perplexity": Interval(value=_exp(found.value), low=_exp(found.low), high=_exp(found.high), n=len(asked)),
        "bits_per_byte": bits,
    }


def _exp(value: float | None) -> float | None:
    return None if value is None else math.exp(min(value, 700.0))


def _ratio(top: Floats, bottom: Floats, clusters: Sequence[str]) -> Interval:
    """A mean per token with its interval over clusters (by the ratio's first-order terms)."""
    value = float(top.sum() / bottom.sum())
    spread = (top - value * bottom) / bottom.mean()
    found = mean_interval(np.asarray(spread, dtype=np.float64), clusters)
    if found.low is None or found.high is None:
        return Interval(value=value, n=len(top))
    return Interval(value=value, low=value + found.low, high=value + found.high, n=len(top))
