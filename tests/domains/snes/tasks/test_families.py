"""Every family: references pass, planted wrong answers fail, equal seeds give equal tasks."""

from __future__ import annotations

import random

import pytest

from afs.domains.snes.checks import check_answer
from afs.domains.snes.pack import DOMAIN
from afs.domains.snes.superoptimizer import optimize
from afs.domains.snes.tasks import KINDS, draw_tasks, list_families
from afs.domains.snes.tasks.debug import CATEGORIES, is_observable
from afs.domains.snes.tasks.fault_injection import Fault
from afs.domains.snes.tasks.program_builder import Draft
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program
from afs.domains.snes.wrong_answers import plant_wrong_answers
from afs.types import Task

QUICK = ("generate", "debug", "explain", "cycles", "translate")


def one_each(kind: str, seed: int) -> list[Task]:
    """A task of every family of a kind."""
    return [next(draw_tasks(name, seed, 1)) for name in list_families(kind)]


@pytest.mark.parametrize("kind", QUICK)
def test_references_pass_their_own_check(kind: str) -> None:
    for task in one_each(kind, 5):
        verdict = check_answer(task, task.reference)
        assert verdict.ok and verdict.score == 1.0, (
            f"{task.family}: {verdict.stage}: {verdict.reason}\n{task.reference}"
        )


@pytest.mark.parametrize("kind", QUICK)
def test_planted_answers_fail(kind: str) -> None:
    chosen = one_each(kind, 6)
    for task in random.Random(1).sample(chosen, min(len(chosen), 18)):
        for fault, answer in plant_wrong_answers(task):
            verdict = check_answer(task, answer)
            assert verdict.ok is False and verdict.score is not None and verdict.score < 1.0, (
                task.family,
                fault,
                answer,
            )


@pytest.mark.parametrize("name", ["naive-add16", "spelled-clear", "reload", "straight-2", "twice-flag", "naive-fill"])
def test_optimization_gold_is_never_slower_or_longer(name: str) -> None:
    (task,) = draw_tasks(f"optimize/{name}", 3, 1)
    verdict = check_answer(task, task.reference)
    assert verdict.ok, verdict.reason
    facts = verdict.facts
    for cost in ("bytes", "cycles", "cycles_max", "master_clocks"):
        assert facts[cost] <= facts[f"original_{cost}"]  # type: ignore[operator]
    assert all(check_answer(task, answer).ok is False for _, answer in plant_wrong_answers(task))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "optimize"])
def test_equal_seeds_give_equal_tasks_and_other_seeds_others(kind: str) -> None:
    first = list(draw_tasks(kind, 1, 30))
    assert first == list(draw_tasks(kind, 1, 30))
    assert {task.id for task in first} != {task.id for task in draw_tasks(kind, 2, 30)}
    assert len({task.id for task in first}) == 30 and all(task.group for task in first)


def test_there_is_an_injector_for_every_category_of_the_debugging_expert() -> None:
    wanted = {
        "mode-mismatch", "missing-sep", "stack-imbalance", "register-clobber", "dma", "jsr-rtl-mismatch", "endianness",
        "addressing-mode", "direct-page", "data-bank", "branch", "signed-compare", "zero-flag", "mvn-mvp", "interrupt",
        "vram-timing", "joypad", "off-by-one",
    }  # fmt: skip
    assert set(CATEGORIES) == wanted


def test_a_fault_without_effect_is_not_observable() -> None:
    made = draw_program("add8", random.Random(3))
    assert not is_observable(made, Fault(made.code, "nothing"))
    assert not is_observable(made, Fault("    nop\n" + made.code, "slower, not wrong"))
    assert not is_observable(made, Fault("    this is no code\n", "does not assemble"))
    assert is_observable(made, Fault(made.code.replace("adc", "sbc"), "subtracts"))


def test_superoptimizer_finds_the_known_best() -> None:
    d = Draft("best", random.Random(1), place="direct")
    d.m = d.x = 8
    cell = d.both()
    made = d.build(f"lda {cell}\nclc\nadc #$01\nsta {cell}\nlda {cell}")
    found = optimize(made.code, made.contract, random.Random(1))
    assert found.code.split() == ["inc", str(cell), d.leave]
    assert found.cost.beats(found.original)
    again = optimize(found.code, made.contract, random.Random(1))
    assert again.code == found.code and not again.cost.beats(again.original)


def test_programs_come_in_many_wordings() -> None:
    prompts = {task.prompt.split("$")[0] for task in draw_tasks("generate/add16", 1, 200)}
    assert len(prompts) >= 30


def test_families_are_listed_and_a_kind_stands_for_its_families() -> None:
    assert len(DOMAIN.families) > 300 and "generate/add16" in DOMAIN.families
    assert all(kind in DOMAIN.families for kind in KINDS)
    assert "tiny/store" in DOMAIN.families and "tiny/store" not in tuple(DOMAIN.families)
    assert "generate/add17" not in DOMAIN.families and "" not in DOMAIN.families
    assert len(PROGRAMS) >= 70
