"""Supervised fine-tuning: the loss of the answers' tokens, averaged over the whole batch however it is cut up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from afs.errors import DataError
from afs.train.backends.token_encoding import Encoder, Sample, trained_share
from afs.train.backends.token_loss import collate, summed_loss
from afs.train.learner import Measured
from afs.train.settings import TrainConfig
from afs.train.training_data import Material


class Sft:
    """What is learned from records with answers."""

    def __init__(self, config: TrainConfig, material: Material, encoder: Encoder, device: str) -> None:
        self.config, self.device = config, device
        self.pad = int(encoder.tokenizer.pad_token_id or 0)
        found = encoder.samples(material.train)
        self.train, self.dropped = fitting_samples(found, config)
        held_out, _ = fitting_samples(encoder.samples(material.held_out[: config.evaluate.samples]), config, drop=True)
        self.held_out = sorted(held_out, key=lambda sample: len(sample.ids))
        self.lengths: Sequence[int] = [len(sample.ids) for sample in self.train]
        self.facts: Mapping[str, object] = {
            "trained_share": round(trained_share(self.train), 4),
            "tokens_per_epoch": sum(self.lengths),
            "longest": max(self.lengths),
            "over_length_dropped": self.dropped,
        }

    def backward(self, model: torch.nn.Module, rows: Sequence[int], micro: int) -> Measured:
        """Gradients of the mean loss over a batch, so many samples at once."""
        samples = [self.train[row] for row in rows]
        tokens = sum(sum(sample.trained[1:]) for sample in samples)
        loss = 0.0
        for start in range(0, len(samples), micro):
            part = collate(samples[start : start + micro], self.pad, self.device, packing=self.config.packing)
            mean = summed_loss(model, part, self.config.loss_chunk) / max(1, tokens)
            mean.backward()
            loss += float(mean.detach())
        return Measured(loss, 0.0, tokens, sum(len(sample.ids) for sample in samples))

    def evaluate(self, model: torch.nn.Module, micro: int) -> Measured:
        """Mean loss over the held-out answers."""
        total, tokens, seen = 0.0, 0, 0
        for start in range(0, len(self.held_out), micro):
            part = self.held_out[start : start + micro]
            rows = collate(part, self.pad, self.device)
            total += float(summed_loss(model, rows, self.config.loss_chunk))
            tokens += sum(sum(sample.trained[1:]) for sample in part)
            seen += sum(len(sample.ids) for sample in part)
        return Measured(total / tokens if tokens else float("nan"), 0.0, tokens, seen)


def fitting_samples(samples: list[Sample], config: TrainConfig, *, drop: bool = False) -> tuple[list[Sample], int]:
    """Samples no longer than allowed; the config says whether longer ones are refused or left out."""
    over = [index for index, sample in enumerate(samples) if len(sample.ids) > config.max_length]
    if over and config.over_length == "refuse" and not drop:
        worst = max(over, key=lambda index: len(samples[index].ids))
        raise DataError(
            f"{len(over)} of {len(samples)} training samples are longer than max_length = {config.max_length} tokens; "
            f'record {worst} has {len(samples[worst].ids)}. Raise max_length, or say over_length = "drop"'
        )
    fitting = [sample for sample in samples if len(sample.ids) <= config.max_length]
    if not fitting and samples:
        raise DataError(f"no sample is as short as max_length = {config.max_length}")
    return fitting, len(over)
