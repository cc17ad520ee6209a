"""A real model's answers, labeled by hand before the grader saw them: it misjudges few, either way.

The answers are SmolLM2-135M-Instruct's (Q8_0), sampled by `bench/sample_answers.py`; `unclear` ones contradict
themselves and count for nothing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from afs.domains.snes.knowledge.fact_grader import FactQuestion, grade

FILE = Path(__file__).with_name("labeled_answers.jsonl")
MOST_MISJUDGED = 0.02


class LabeledAnswer(msgspec.Struct):
    """One line: the sampling log's row with the label of a reader."""

    id: str
    question: FactQuestion
    answer: str
    label: str
    finish: str = ""


def rows() -> list[LabeledAnswer]:
    """Those that are judged: an answer cut at the limit has its own outcome."""
    found = [msgspec.json.decode(line, type=LabeledAnswer) for line in FILE.read_bytes().splitlines()]
    return [row for row in found if row.finish == "stop"]


@pytest.mark.parametrize(("label", "expected"), [("right", True), ("wrong", False)])
def test_few_answers_are_misjudged(label: str, expected: bool) -> None:
    labeled = [row for row in rows() if row.label == label]
    misjudged = [row for row in labeled if grade(row.question, row.answer).ok is not expected]
    shown = "\n".join(f"{row.id}: {row.question.prompt} -> {row.answer!r}" for row in misjudged)
    assert len(misjudged) <= MOST_MISJUDGED * len(labeled), shown
