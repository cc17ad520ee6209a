"""Questions of fact: the reference passes, planted faults fail, the classic confusions are told apart."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs.domains.snes.knowledge.fact_grader import FactQuestion, grade
from afs.domains.snes.knowledge.fact_questions import KINDS, draw_questions, plant_wrong_answers
from afs.domains.snes.knowledge.registers import find_register

MANY = list(draw_questions(7, 1300))


def test_every_reference_answer_passes() -> None:
    for one in MANY:
        assert grade(one, one.answer).ok, one


def test_every_planted_fault_fails() -> None:
    kinds: Counter[str] = Counter()
    for one in MANY:
        for kind, wrong in plant_wrong_answers(one):
            assert not grade(one, wrong).ok, (one, wrong)
            kinds[kind] += 1
    assert {"empty", "prose", "wrong_name", "hedge", "wrong_address", "opposite", "off_by_one"} <= kinds.keys()


def test_the_same_seed_asks_the_same_and_another_asks_otherwise() -> None:
    assert MANY[:100] == list(draw_questions(7, 100))
    assert MANY[:100] != list(draw_questions(8, 100))


def test_all_kinds_and_many_wordings_occur() -> None:
    assert {one.kind for one in MANY} == set(KINDS)
    assert len({one.phrase for one in MANY}) >= 90
    assert len({one.prompt for one in MANY}) > 700


def test_references_do_not_all_say_yes() -> None:
    said = Counter(one.says for one in MANY if one.says)
    assert 0.35 < said["yes"] / said.total() < 0.65


CLASSIC = FactQuestion(
    kind="name", phrase="name/0", subject="$2100", prompt="Which register is at $2100?", answer="$2100 is INIDISP.",
    accept=(("INIDISP",),), forbid=("VMAIN", "CGADD"), exclusive="register",
)  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        "INIDISP",
        "It is INIDISP, not VMAIN.",
        "`inidisp` ($2100)",
        "No: INIDISP. Never VMAIN!",
        "INIDISP (unlike CGADD)",
    ],
)
def test_right_answers_in_other_words(answer: str) -> None:
    assert grade(CLASSIC, answer).ok


@pytest.mark.parametrize(
    "answer",
    [
        "VMAIN",
        "CGADD",
        "INIDISP or VMAIN",
        "$2100",
        "INIDISPX",
        "It is not INIDISP",
        "NMITIMEN, alias INIDISP",
        "   ",
        "?",
    ],
)
def test_wrong_answers(answer: str) -> None:
    assert not grade(CLASSIC, answer).ok


def test_confusions_are_denied() -> None:
    wrong = [one for one in draw_questions(3, 400, ("confusion",)) if one.says == "no"]
    assert {"$2100", "$420B", "$4200", "$2115", "$2121"} <= {one.subject for one in wrong}
    for one in wrong:
        assert not grade(one, f"Yes, {one.subject} is that.").ok
        assert grade(one, f"No, {one.subject} is {find_register(one.subject).name}.").ok


def test_bits_are_read_as_bits() -> None:
    one = FactQuestion(kind="bit", phrase="bit/0", subject="$2100", prompt="?", answer="Bits 3-0.", bits=(3, 0))
    for right in ("Bits 3-0.", "bits 0-3", "bits 0 to 3 of $2100", "the low bits 3–0"):
        assert grade(one, right).ok, right
    for wrong in ("bit 3", "bits 4-1", "0", "an 8-bit value", "bits 3-0 and bit 7"):
        assert not grade(one, wrong).ok, wrong


def test_addresses_in_every_spelling() -> None:
    one = FactQuestion(
        kind="address", phrase="address/0", subject="$420B", prompt="?", answer="$420B", accept=(("$420B",),),
        exclusive="address",
    )  # fmt: skip
    for right in ("$420B", "420b", "0x420B", "$00:420B", "it is $80420B."):
        assert grade(one, right).ok, right
    for wrong in ("$420C", "$420B or $420C", "$7E:420B", "$2100 and $420B", "MDMAEN"):
        assert not grade(one, wrong).ok, wrong


CLOCKS = next(one for one in draw_questions(5, 40, ("clocks",)) if one.accept == (("8",),))


@pytest.mark.parametrize(
    "answer",
    [
        "8",
        "**8**",
        "8.",
        "It takes 8.",
        "Answer: 8",
        "8 master clocks, because FastROM only speeds up banks $80 and above.",
        "It is slow memory; an access costs 8 clocks there.",
        "Master clocks per access: 8",
        "Not 6 but 8 master clocks.",
    ],
)
def test_a_number_with_what_it_counts(answer: str) -> None:
    assert grade(CLOCKS, answer).ok, grade(CLOCKS, answer).reason


@pytest.mark.parametrize(
    "answer",
    [
        "There are 8 registers on this page, and the speed depends on the map.",
        "The bus is 8 bits wide.",
        "A tile has 8 rows. An access takes as many master clocks as the map says.",
        "6 master clocks",
        "8 or 6 master clocks",
        "10 master clocks; the bus has 8 lines",
        "Not 8 master clocks",
        "8 registers are there, and one access takes 10 clocks",
    ],
)
def test_a_right_number_in_an_unrelated_sentence(answer: str) -> None:
    assert not grade(CLOCKS, answer).ok


@given(st.text(max_size=80), st.integers(0, len(MANY) - 1))
def test_any_text_is_graded(text: str, number: int) -> None:
    grade(MANY[number], text)
