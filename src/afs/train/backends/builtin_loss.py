"""Fine-tuning by the model's own loss: for models whose library fuses head and loss behind `labels`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from afs.train.backends.sft import Sft
from afs.train.backends.token_encoding import Sample
from afs.train.backends.token_loss import IGNORED, collate
from afs.train.learner import Measured


class LibraryLoss(Sft):
    """The same samples as `Sft`, asked through `model(input_ids, labels, num_items_in_batch).loss`."""

    def backward(self, model: torch.nn.Module, rows: Sequence[int], micro: int) -> Measured:
        """Gradients of the mean loss over a batch, so many samples at once."""
        samples = [self.train[row] for row in rows]
        tokens = sum(sum(sample.trained[1:]) for sample in samples)
        loss = 0.0
        for start in range(0, len(samples), micro):
            found = self._loss(model, samples[start : start + micro], tokens)
            found.backward()
            loss += float(found.detach())
        return Measured(loss, 0.0, tokens, sum(len(sample.ids) for sample in samples))

    def evaluate(self, model: torch.nn.Module, micro: int) -> Measured:
        """Mean loss over the held-out answers."""
        tokens = sum(sum(sample.trained[1:]) for sample in self.held_out)
        starts = range(0, len(self.held_out), micro)
        total = sum(float(self._loss(model, self.held_out[start : start + micro], tokens)) for start in starts)
        seen = sum(len(sample.ids) for sample in self.held_out)
        return Measured(total if tokens else float("nan"), 0.0, tokens, seen)

    def _loss(self, model: torch.nn.Module, samples: Sequence[Sample], tokens: int) -> torch.Tensor:
        rows = collate(samples, self.pad, self.device)
        labels = torch.full_like(rows.ids, IGNORED)
        labels[:, 1:] = rows.labels[:, :-1]
        found: torch.Tensor = model(input_ids=rows.ids, labels=labels, num_items_in_batch=max(1, tokens)).loss
        return found
