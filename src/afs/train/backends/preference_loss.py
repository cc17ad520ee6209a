"""Learning from verdicts: DPO on pairs, KTO on single answers, both against the model as it was.

The losses are those of TRL's trainers; a test holds them to the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import logsigmoid

from afs.errors import DataError
from afs.train import rewards
from afs.train.backends.token_encoding import Encoder, Sample
from afs.train.backends.token_loss import answer_logps, collate, without_adapter
from afs.train.learner import Measured
from afs.train.settings import TrainConfig
from afs.train.training_data import Material


class Dpo:
    """Pairs of answers to one question: the better one is to gain on the worse one."""

    def __init__(self, config: TrainConfig, material: Material, encoder: Encoder, device: str) -> None:
        self.config, self.device = config, device
        self.pad = int(encoder.tokenizer.pad_token_id or 0)
        found = list(rewards.preference_pairs([*material.train, *material.rejected]))
        if not found:
            raise DataError(
                f"{material.dataset.ref}: no task has both an answer that passed and one that failed; "
                "generate with a teacher and several attempts"
            )
        self.better = encoder.samples([pair.better for pair in found])
        self.worse = encoder.samples([pair.worse for pair in found])
        check_lengths(config, [*self.better, *self.worse])
        held_out = encoder.samples(material.held_out[: config.evaluate.samples])
        self.held_out = [sample for sample in held_out if len(sample.ids) <= config.max_length]
        self.lengths = [len(b.ids) + len(w.ids) for b, w in zip(self.better, self.worse, strict=True)]
        self.facts = {"pairs": len(found), "tokens_per_epoch": sum(self.lengths), "longest": max(self.lengths)}

    def backward(self, model: torch.nn.Module, rows: Sequence[int], micro: int) -> Measured:
        """Gradients of the mean loss over a batch of pairs."""
        loss, margin, tokens = 0.0, 0.0, 0
        for start in range(0, len(rows), micro):
            part = rows[start : start + micro]
            samples = [self.better[row] for row in part] + [self.worse[row] for row in part]
            gained = log_ratio(model, samples, self.pad, self.device)
            better, worse = gained.chunk(2)
            losses = -logsigmoid(self.config.preference.beta * (better - worse))
            (losses.sum() / len(rows)).backward()
            loss += float(losses.detach().sum()) / len(rows)
            margin += float((better - worse).detach().sum()) * self.config.preference.beta / len(rows)
            tokens += sum(sum(sample.trained[1:]) for sample in samples)
        return Measured(loss, 0.0, tokens, sum(self.lengths[row] for row in rows), {"margin": margin})

    def evaluate(self, model: torch.nn.Module, micro: int) -> Measured:
        """Loss of the held-out answers, as in fine-tuning."""
        return plain_loss(model, self.held_out, self.pad, self.device, micro)


class Kto:
    """Single answers, each known to be right or wrong."""

    def __init__(self, config: TrainConfig, material: Material, encoder: Encoder, device: str) -> None:
        self.config, self.device = config, device
        self.pad = int(encoder.tokenizer.pad_token_id or 0)
        judged = [(record, rewards.has_passed(record)) for record in (*material.train, *material.rejected)]
        known = [(record, passed) for record, passed in judged if passed is not None]
        self.passed = [bool(passed) for _, passed in known]
        if len(set(self.passed)) < 2:
            raise DataError(f"{material.dataset.ref}: wants answers that passed and answers that failed, with verdicts")
        self.samples = encoder.samples([record for record, _ in known])
        check_lengths(config, self.samples)
        held_out = encoder.samples(material.held_out[: config.evaluate.samples])
        self.held_out = [sample for sample in held_out if len(sample.ids) <= config.max_length]
        self.lengths = [len(sample.ids) for sample in self.samples]
        right = sum(self.passed)
        self.weights = (1.0, right / (len(self.passed) - right))
        self.facts = {"right": right, "wrong": len(self.passed) - right, "tokens_per_epoch": sum(self.lengths)}

    def backward(self, model: torch.nn.Module, rows: Sequence[int], micro: int) -> Measured:
        """Gradients of the mean loss over a batch; the drift is measured on answers to other questions."""
        drift = self._drift(model, rows, micro)
        loss, tokens = 0.0, 0
        for start in range(0, len(rows), micro):
            part = rows[start : start + micro]
            samples = [self.samples[row] for row in part]
            gained = log_ratio(model, samples, self.pad, self.device)
            signs = torch.tensor([1.0 if self.passed[row] else -1.0 for row in part], device=self.device)
            scale = torch.tensor([self.weights[0 if self.passed[row] else 1] for row in part], device=self.device)
            losses = scale * (1 - torch.sigmoid(self.config.preference.beta * signs * (gained - drift)))
            (losses.sum() / len(rows)).backward()
            loss += float(losses.detach().sum()) / len(rows)
            tokens += sum(sum(sample.trained[1:]) for sample in samples)
        return Measured(loss, 0.0, tokens, sum(self.lengths[row] for row in rows), {"drift": drift})

    def _drift(self, model: torch.nn.Module, rows: Sequence[int], micro: int) -> float:
        mixed = [mismatch_rows(self.samples[row], self.samples[rows[i - 1]]) for i, row in enumerate(rows)]
        found = []
        with torch.no_grad():
            for start in range(0, len(mixed), micro):
                found.append(log_ratio(model, mixed[start : start + micro], self.pad, self.device))
        return max(0.0, float(torch.cat(found).mean()))

    def evaluate(self, model: torch.nn.Module, micro: int) -> Measured:
        """Loss of the held-out answers, as in fine-tuning."""
        return plain_loss(model, self.held_out, self.pad, self.device, micro)


def log_ratio(model: torch.nn.Module, samples: Sequence[Sample], pad: int, device: str) -> torch.Tensor:
    """Log-probability each answer has gained over the model without its adapter."""
    rows = collate(samples, pad, device)
    with torch.no_grad(), without_adapter(model):
        before = answer_logps(model, rows)
    return answer_logps(model, rows) - before


def mismatch_rows(question: Sample, answer: Sample) -> Sample:
    """One sample's question with another one's answer."""
    first = question.trained.index(True)
    start = answer.trained.index(True)
    return Sample(question.ids[:first] + answer.ids[start:], question.trained[:first] + answer.trained[start:])


def plain_loss(model: torch.nn.Module, samples: Sequence[Sample], pad: int, device: str, micro: int) -> Measured:
    """Mean negative log-probability of the answers' tokens."""
    total, tokens = 0.0, 0
    for start in range(0, len(samples), micro):
        part = samples[start : start + micro]
        total -= float(answer_logps(model, collate(part, pad, device)).sum())
        tokens += sum(sum(sample.trained[1:]) for sample in part)
    return Measured(total / tokens if tokens else float("nan"), 0.0, tokens, sum(len(s.ids) for s in samples))


def check_lengths(config: TrainConfig, samples: Sequence[Sample]) -> None:
    longest = max(len(sample.ids) for sample in samples)
    if longest > config.max_length:
        raise DataError(f"an answer has {longest} tokens with its question, max_length is {config.max_length}")
