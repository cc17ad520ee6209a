"""Samples a real model's answers to questions of fact, to be labeled by hand: the set that graders are held to.

Each question is asked in one of three ways: with nothing to go by, with a note that holds the fact, with a note that
holds a wrong fact. So the answers are a model's own words, right and wrong.

Run: `python bench/sample_answers.py WORKSPACE MODEL LOG [COUNT]`. Rerun to resume; MODEL is any model of the workspace.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from afs import jsonl, models
from afs.domains.snes.knowledge.fact_grader import FactQuestion
from afs.domains.snes.knowledge.fact_questions import KINDS, draw_questions, plant_wrong_answers
from afs.providers.base import Sampling
from afs.types import Message, Value
from afs.workspace import Workspace

SEED = 20261130
CONDITIONS = ("closed", "note", "note", "wrong note")
SYSTEM = "You are a helpful assistant for SNES programmers. Answer in one or two sentences."
_NOTE = "Note from the manual: {note}\n\n{question}"


class SampledAnswer(Value, frozen=True, kw_only=True):
    """One line of the log."""

    id: str
    question: FactQuestion
    condition: str
    prompt: str
    model: str
    sampling: Sampling
    answer: str
    finish: str


def planned(count: int) -> Iterator[tuple[str, FactQuestion, str, str]]:
    """(id, question, condition, prompt), the same for the same count."""
    rng = random.Random(SEED)
    for number, question in enumerate(draw_questions(SEED, count, KINDS)):
        condition = CONDITIONS[number // len(KINDS) % len(CONDITIONS)]
        wrong = [text for kind, text in plant_wrong_answers(question) if kind not in ("empty", "prose", "hedge")]
        note = rng.choice(wrong) if condition == "wrong note" and wrong else question.answer
        prompt = question.prompt if condition == "closed" else _NOTE.format(note=note, question=question.prompt)
        yield f"{number:03}", question, condition, prompt


def main() -> None:
    workspace, name, log = Workspace(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 200
    known = {row.id for row in jsonl.read(log, SampledAnswer)} if log.exists() else set()
    model = models.open_model(workspace, name)
    for key, question, condition, prompt in planned(count):
        if key in known:
            continue
        sampling = Sampling(max_tokens=56, temperature=0.7, seed=SEED + int(key))
        turns = [Message(role="system", text=SYSTEM), Message(role="user", text=prompt)]
        said = model.complete(turns, sampling)
        row = SampledAnswer(
            id=key, question=question, condition=condition, prompt=prompt, model=name, sampling=sampling,
            answer=said.text, finish=said.finish,
        )  # fmt: skip
        jsonl.append(log, [row])


if __name__ == "__main__":
    main()
