"""Probe prompts: held-out tasks answered by the model in training and judged by execution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from afs.providers.base import Sampling
from afs.runs import Run
from afs.train.learner import Learner
from afs.train.settings import Evaluation
from afs.train.training_data import Material
from afs.types import Message, Record

SHOWN = 4
"""Answers written down at each evaluation; always to the same tasks."""


class ProbeResult(NamedTuple):
    """How many answers passed."""

    passed: int
    judged: int
    unknown: int
    """Answers whose checker could not decide: in neither count."""

    @property
    def share(self) -> float:
        """Passed of judged."""
        return self.passed / self.judged if self.judged else 0.0


class Probes:
    """The same tasks at every evaluation."""

    def __init__(self, rules: Evaluation, material: Material, run: Run) -> None:
        self.rules, self.run, self.judge = rules, run, material.judge
        self.held_out = material.held_out
        self.records = interleave_families(
            [record for record in self.held_out if record.task is not None], rules.probes
        )

    def ask(self, learner: Learner, step: int) -> ProbeResult | None:
        """Answer and judge; None when there is nothing to ask. The first answers are written to the events."""
        if not self.records:
            return None
        answers = learner.answer(
            [question_messages(record) for record in self.records], Sampling(max_tokens=self.rules.max_tokens)
        )
        tasks = [record.task for record in self.records if record.task is not None]
        verdicts = self.judge(list(zip(tasks, answers, strict=True)))
        known = [verdict.ok for verdict in verdicts if verdict.ok is not None]
        example = next((v for v in verdicts if not v.ok), verdicts[0])
        shown = [
            {"task": task.prompt, "ok": verdict.ok, "stage": verdict.stage, "reason": verdict.reason, "answer": answer}
            for task, verdict, answer in zip(tasks[:SHOWN], verdicts, answers, strict=False)
        ]
        self.run.event(
            "train.probe",
            step=step,
            stage=example.stage,
            reason=example.reason,
            answer=answers[verdicts.index(example)],
            answers=shown,
        )
        return ProbeResult(sum(known), len(known), len(verdicts) - len(known))


def question_messages(record: Record) -> list[Message]:
    """The conversation before its last answer."""
    last = max((i for i, m in enumerate(record.messages) if m.role == "assistant"), default=len(record.messages))
    return list(record.messages[:last])


def interleave_families(records: Sequence[Record], count: int) -> list[Record]:
    """Up to `count` records, taking families in turn."""
    families: dict[str, list[Record]] = {}
    for record in records:
        families.setdefault(record.kind, []).append(record)
    queues = list(families.values())
    found: list[Record] = []
    for place in range(max((len(queue) for queue in queues), default=0)):
        found += [queue[place] for queue in queues if place < len(queue)]
    return found[:count]
