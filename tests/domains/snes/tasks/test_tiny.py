"""Tiny tasks: short, seeded, grouped by constants, and right."""

from __future__ import annotations

import pytest

from afs.domains.snes.pack import DOMAIN
from afs.domains.snes.tasks import list_families
from afs.errors import UsageError
from afs.types import Task

FAMILIES = tuple(list_families("tiny"))


def tasks(family: str, n: int, seed: int = 1) -> list[Task]:
    return list(DOMAIN.tasks(family, seed, n))


@pytest.mark.parametrize("family", FAMILIES)
def test_reference_passes_and_another_answer_does_not(family: str) -> None:
    first, second = tasks(family, 2)
    assert DOMAIN.check(first, first.reference).score == 1.0
    if first.reference != second.reference:
        assert DOMAIN.check(first, second.reference).ok is False


@pytest.mark.parametrize("family", FAMILIES)
def test_short_and_seeded(family: str) -> None:
    made = tasks(family, 50)
    assert made == tasks(family, 50)
    assert len({task.id for task in made}) == 50
    assert max(len(task.prompt) for task in made) < 80 and max(len(task.reference) for task in made) < 60
    assert {task.family for task in made} == {family}


def test_groups_follow_the_constants_not_the_wording() -> None:
    made = tasks("tiny/store", 2000)
    by_code: dict[str, set[str]] = {}
    for task in made:
        by_code.setdefault(task.reference, set()).add(task.group)
    assert all(len(groups) == 1 for groups in by_code.values())
    assert len({task.group for task in made}) > 40


def test_a_kind_draws_from_all_its_families_in_turn() -> None:
    assert [task.family for task in tasks("tiny", len(FAMILIES))] == list(FAMILIES)


def test_unknown_family_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="tiny/store"):
        tasks("tiny/stor", 1)
    with pytest.raises(UsageError, match="generate"):
        tasks("generat", 1)
