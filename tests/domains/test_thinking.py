"""Reasoning in `<think>` tags is no part of an answer, whatever the pack."""

from __future__ import annotations

import pytest

from afs.domains.base import DOMAINS
from afs.types import Task

FAMILIES = {"sums": "sums", "tools": "tools", "memory": "memory", "snes": "generate/add8"}


def first_task(name: str) -> Task:
    pack = DOMAINS.find(name)
    family = FAMILIES[name] if FAMILIES[name] in pack.families else next(iter(pack.families))
    return next(iter(pack.tasks(family, 3, 1)))


@pytest.mark.parametrize("name", FAMILIES)
def test_reasoning_before_an_answer_is_not_judged(name: str) -> None:
    pack, task = DOMAINS.find(name), first_task(name)
    wrong = f"{task.reference}\nNo, {task.reference} twice is wrong. 123456"
    assert pack.check(task, f"<think>\n{wrong}\n</think>\n\n{task.reference}").ok is True
    assert pack.check(task, f"{wrong}\n</think>\n{task.reference}").ok is True, "the template wrote the opening tag"


@pytest.mark.parametrize("name", FAMILIES)
def test_reasoning_that_never_ends_is_no_answer(name: str) -> None:
    pack, task = DOMAINS.find(name), first_task(name)
    assert pack.check(task, f"<think>\n{task.reference}").ok is False
