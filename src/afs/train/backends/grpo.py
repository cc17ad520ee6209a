"""GRPO: the model answers each task several times, execution judges, and what did better than its siblings gains.

One step per group, on the policy that answered, so no ratio needs clipping; `beta` holds the model to where it began.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from afs.errors import DataError
from afs.providers.base import Sampling
from afs.providers.local import Generated, generate, render, stop_ids
from afs.train import rewards
from afs.train.backends.preference_loss import plain_loss
from afs.train.backends.token_encoding import Encoder, Sample
from afs.train.backends.token_loss import IGNORED, collate, token_logps, unwrap_compiled, without_adapter
from afs.train.learner import Measured
from afs.train.settings import TrainConfig
from afs.train.task_probes import question_messages
from afs.train.training_data import Material
from afs.types import Task


class Grpo:
    """Tasks whose answers can be judged."""

    def __init__(self, config: TrainConfig, material: Material, encoder: Encoder, device: str) -> None:
        self.config, self.rules, self.device = config, config.preference, device
        self.tokenizer = encoder.tokenizer
        self.pad = int(encoder.tokenizer.pad_token_id or 0)
        self.judge = material.judge
        records = [record for record in material.train if record.task is not None]
        if not records:
            raise DataError(f"{material.dataset.ref}: no record has a task, so nothing can judge an answer")
        self.tasks: list[Task] = [record.task for record in records if record.task is not None]
        prompts = [render(self.tokenizer, question_messages(record), record.tools) for record in records]
        self.prompts: list[list[int]] = [self.tokenizer.encode(text, add_special_tokens=False) for text in prompts]
        held_out = encoder.samples(material.held_out[: config.evaluate.samples])
        self.held_out = [sample for sample in held_out if len(sample.ids) <= config.max_length]
        self.lengths = [len(prompt) for prompt in self.prompts]
        self.facts = {"tasks": len(self.tasks), "longest": max(self.lengths) + self.rules.max_tokens}

    def backward(self, model: torch.nn.Module, rows: Sequence[int], micro: int) -> Measured:
        """Answer, judge, and gradients of what did better than its siblings."""
        count = self.rules.generations
        asked = [row for row in rows for _ in range(count)]
        made = self._answer(model, asked)
        texts = [str(self.tokenizer.decode(one.tokens, skip_special_tokens=True)) for one in made]
        verdicts = self.judge([(self.tasks[row], text) for row, text in zip(asked, texts, strict=True)])
        earned = [
            rewards.reward(self.tasks[row], text, verdict, self.rules.reward)
            for row, text, verdict in zip(asked, texts, verdicts, strict=True)
        ]
        groups = [earned[i : i + count] for i in range(0, len(earned), count)]
        gains = [value for group in groups for value in rewards.advantages(group)]
        samples = [self._sample(row, one) for row, one in zip(asked, made, strict=True)]
        loss, drift = self._learn(model, samples, gains, micro)
        known = [value for value in earned if value is not None]
        figures = {
            "reward": sum(known) / len(known) if known else 0.0,
            "passed": sum(verdict.ok is True for verdict in verdicts) / len(verdicts),
            "taught": sum(any(rewards.advantages(group)) for group in groups) / len(groups),
            "drift": drift,
        }
        tokens = sum(sum(sample.trained) for sample in samples)
        return Measured(loss, 0.0, tokens, sum(len(sample.ids) for sample in samples), figures)

    def _answer(self, model: torch.nn.Module, asked: Sequence[int]) -> list[Generated]:
        sampling = Sampling(temperature=self.rules.temperature, max_tokens=self.rules.max_tokens)
        seed = random.Random(int(torch.randint(1 << 60, (1,))))
        model.eval()
        try:
            return generate(
                unwrap_compiled(model),
                [self.prompts[row] for row in asked],
                sampling,
                stop_ids(unwrap_compiled(model), self.tokenizer),
                [seed.getrandbits(60) for _ in asked],
            )
        finally:
            model.train()

    def _sample(self, row: int, made: Generated) -> Sample:
        tokens = [*made.tokens, *([int(self.tokenizer.eos_token_id)] if made.ended else [])] or [self.pad]
        prompt = self.prompts[row]
        return Sample(prompt + tokens, [False] * len(prompt) + [True] * len(tokens))

    def _learn(
        self, model: torch.nn.Module, samples: Sequence[Sample], gains: Sequence[float], micro: int
    ) -> tuple[float, float]:
        total = sum(sum(sample.trained) for sample in samples)
        loss, drift = 0.0, 0.0
        for start in range(0, len(samples), micro):
            part = collate(samples[start : start + micro], self.pad, self.device)
            learned = part.labels != IGNORED
            now = token_logps(model, part)
            with torch.no_grad(), without_adapter(model):
                before = token_logps(model, part)
            gap = before - now
            away = torch.exp(gap) - gap - 1
            weight = torch.tensor(gains[start : start + micro], device=self.device)[:, None]
            ratio = torch.exp(now - now.detach())
            each = (-weight * ratio + self.rules.beta * away) * learned
            (each.sum() / total).backward()
            loss += float(each.detach().sum()) / total
            drift += float((away.detach() * learned).sum()) / total
        return loss, drift

    def evaluate(self, model: torch.nn.Module, micro: int) -> Measured:
        """Loss of the held-out reference answers, as in fine-tuning."""
        return plain_loss(model, self.held_out, self.pad, self.device, micro)
