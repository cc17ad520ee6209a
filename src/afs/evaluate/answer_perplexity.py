"""Perplexity of the gold answers under a stored model: answer tokens only, per token and per byte.

Measured on the files that ship, quantized GGUF included; chat endpoints give no likelihoods of a given text. Per-token
values compare only models with the same tokenizer; bits per byte compare all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from afs import datasets
from afs.evaluate.statistics import Floats, mean_interval
from afs.evaluate.suite_types import SuiteItem
from afs.providers.base import Provider, Teller
from afs.types import Interval


def measure(model: Provider, items: Sequence[SuiteItem]) -> dict[str, Interval]:
    """`perplexity` and `bits_per_byte` of the gold answers; empty for a model without likelihoods."""
    asked = [item for item in items if item.task.reference]
    if not isinstance(model, Teller) or not asked:
        return {}
    turns = [(datasets.task_messages(item.task.prompt, item.task.system), item.task.reference) for item in asked]
    losses = model.losses(turns)
    loss = np.array([nats for nats, _ in losses])
    tokens = np.array([count for _, count in losses], dtype=np.float64)
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
