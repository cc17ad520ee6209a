"""The loss of next tokens on the trained positions only: logits are never held whole.

The head sees only positions that are learned, a chunk at a time; with several chunks each is recomputed in the
backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import transformers
from torch.utils.checkpoint import checkpoint

from afs.train.backends.token_encoding import Sample

IGNORED = -100


class Rows(NamedTuple):
    """Samples side by side, padded on the right (causal attention never looks there), or packed into one row."""

    ids: torch.Tensor
    labels: torch.Tensor
    """The token to predict at each position, IGNORED where nothing is learned."""
    places: torch.Tensor | None
    """Positions that start anew with every packed sample: what keeps them apart."""


def collate(samples: Sequence[Sample], pad: int, device: str, *, packing: bool = False) -> Rows:
    """Rows of samples; labels are already shifted."""
    if packing:
        return pack_rows(samples, device)
    longest = max(len(sample.ids) for sample in samples)
    ids = torch.full((len(samples), longest), pad, dtype=torch.long)
    labels = torch.full((len(samples), longest), IGNORED, dtype=torch.long)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        labels[row, : len(sample.ids) - 1] = label_rows(sample)
    return Rows(ids.to(device), labels.to(device), None)


def label_rows(sample: Sample) -> torch.Tensor:
    tokens = torch.tensor(sample.ids[1:], dtype=torch.long)
    return torch.where(torch.tensor(sample.trained[1:], dtype=torch.bool), tokens, IGNORED)


def pack_rows(samples: Sequence[Sample], device: str) -> Rows:
    ids = torch.cat([torch.tensor(sample.ids) for sample in samples])
    stop = torch.tensor([IGNORED])
    labels = torch.cat([part for sample in samples for part in (label_rows(sample), stop)])
    places = torch.cat([torch.arange(len(sample.ids)) for sample in samples])
    return Rows(ids[None].to(device), labels[None].to(device), places[None].to(device))


def unwrap_compiled(model: torch.nn.Module) -> transformers.PreTrainedModel:
    """The causal model under an adapter's wrapper (the adapter's layers stay inside it)."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


REFERENCE = "reference"
"""Name of the frozen adapter that is where training began; without one it is the bare base."""


@contextmanager
def without_adapter(model: torch.nn.Module) -> Iterator[None]:
    """The model as it was before training."""
    if REFERENCE not in model.peft_config:
        with model.disable_adapter():
            yield
        return
    model.set_adapter(REFERENCE)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        model.set_adapter("default")


def hidden_states(model: torch.nn.Module, rows: Rows) -> torch.Tensor:
    """The last hidden states, before the head."""
    inner = unwrap_compiled(model).get_decoder()
    out = inner(input_ids=rows.ids, attention_mask=None, position_ids=rows.places, use_cache=False)
    return out.last_hidden_state


def summed_loss(model: torch.nn.Module, rows: Rows, chunk: int) -> torch.Tensor:
    """Sum of the negative log-probabilities of all trained tokens."""
    learned = rows.labels != IGNORED
    states, targets = hidden_states(model, rows)[learned], rows.labels[learned]
    head = unwrap_compiled(model).get_output_embeddings()
    if len(targets) <= chunk:
        return _cross_entropy(head, states, targets)
    total = states.new_zeros((), dtype=torch.float32)
    for start in range(0, len(targets), chunk):
        part = slice(start, start + chunk)
        total = total + checkpoint(_cross_entropy, head, states[part], targets[part], use_reentrant=False)
    return total


def _cross_entropy(head: torch.nn.Module, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(head(states).float(), targets, reduction="sum")


def answer_logps(model: torch.nn.Module, rows: Rows) -> torch.Tensor:
    """Log-probability of each row's trained tokens together, for preferences."""
    return (token_logps(model, rows) * (rows.labels != IGNORED)).sum(-1)


def token_logps(model: torch.nn.Module, rows: Rows) -> torch.Tensor:
    """Log-probability of every label, 0 where nothing is learned."""
    learned = rows.labels != IGNORED
    states = hidden_states(model, rows)[learned]
    logits = unwrap_compiled(model).get_output_embeddings()(states).float()
    picked = torch.log_softmax(logits, -1).gather(-1, rows.labels[learned][:, None])[:, 0]
    found = torch.zeros(rows.labels.shape, dtype=picked.dtype, device=picked.device)
    return found.masked_scatter(learned, picked)
