"""The founding routing tables, and routers that are measured on real questions."""

from __future__ import annotations

import pytest

from afs import datasets
from afs.council.answer import Council
from afs.council.keyword_router import open_keyword_router
from afs.council.real_questions import load_questions
from afs.council.train_router import Examples, real_examples, train_calibrated
from afs.providers import provider
from afs.types import Expert, Message

RAURU, YAZE, SHEIK = "oracle-rauru-assembler", "oracle-yaze-expert", "oracle-sheik-debugger"


@pytest.mark.parametrize(
    ("question", "experts"),
    [
        ("Write a routine that checks if Link has the Master Sword", [RAURU]),
        ("Load custom sprite graphics at offset 0x80000 using YAZE", [YAZE]),
        ("My ROM hack crashes when entering room $45 in dungeon 3", [SHEIK]),
        ("Create a new boss enemy with custom sprite graphics and AI routine", [YAZE, RAURU]),
        ("What is the capital of Mongolia?", []),
    ],
)
def test_the_founding_examples_route_as_documented(question: str, experts: list[str]) -> None:
    router = open_keyword_router("oracle")
    choices = router.choose(question)
    assert router.abstains(choices) is not bool(experts)
    assert router.several(choices) == experts


def test_a_loop_to_optimize_for_cycles_goes_to_majora_and_din() -> None:
    router = open_keyword_router("triforce")
    question = "Optimize this loop for minimal cycles: LDA $10 / STA $12 / INC A / CMP #$FF / BNE $-8"
    assert set(router.several(router.choose(question))) == {"din", "majora"}


def test_experts_above_six_tenths_answer_together_and_a_follow_up_stays() -> None:
    seats = {name: (Expert(name=name, model=name), provider("echo:x")) for name in (RAURU, YAZE, SHEIK)}
    council = Council(seats, open_keyword_router("oracle"), provider("echo:base"))
    boss = "Create a new boss enemy with custom sprite graphics and AI routine"
    assert council.plan(datasets.task_messages(boss)).names == [YAZE, RAURU]
    turns = [Message(role="user", text="It crashes"), Message(role="assistant", text="Where?")]
    assert council.plan([*turns, Message(role="user", text="continue")]).names == [SHEIK]
    unsure = council.plan(datasets.task_messages("What is the capital of Mongolia?"))
    assert unsure.abstained and unsure.names == []


def test_each_real_question_has_an_address_a_date_and_a_label() -> None:
    questions = load_questions()
    assert len(questions) > 130 and sum(q.batch == 2 for q in questions) == 50
    assert not {q.address for q in questions if q.batch == 1} & {q.address for q in questions if q.batch == 2}
    assert all(q.address.startswith("https://github.com/") and len(q.date) == 10 for q in questions)
    assert {q.label for q in questions} == {"optimize", "generate", "debug", "explain"}


def test_a_router_of_the_founding_experts_is_measured_on_real_questions_only() -> None:
    texts = {"din": "make this faster", "nayru": "write a routine", "farore": "find the bug", "veran": "what is $2100"}
    rows = [(f"{text} {number}", name, f"{name}{number}") for name, text in texts.items() for number in range(6)]
    router = train_calibrated(Examples(*([row[column] for row in rows] for column in range(3))))
    assert router.card.real == len(real_examples(list(texts)).texts) == len(load_questions())
    assert router.card.held_out == router.card.real and router.card.figures is not None


def test_labels_that_no_real_question_has_are_measured_as_before() -> None:
    rows = [(f"{name} numbers {n}", name, f"{name}{n}") for name in ("adder", "sorter") for n in range(8)]
    router = train_calibrated(Examples(*([row[column] for row in rows] for column in range(3))))
    assert router.card.real == 0
