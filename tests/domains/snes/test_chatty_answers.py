"""Graders read like people: right answers in other words pass, refusals and hedges do not."""

from __future__ import annotations

import pytest

from afs.domains.base import is_refusal
from afs.domains.snes.knowledge.fact_grader import FactQuestion, grade
from afs.domains.sums import DOMAIN as SUMS
from afs.types import Task


def question(**fields: object) -> FactQuestion:
    return FactQuestion(kind="k", phrase="k/0", subject="s", prompt="?", answer="a", **fields)  # type: ignore[arg-type]


BITS = question(bits=(3, 2))
ONE_BIT = question(bits=(7, 7))
SIX = question(accept=(("6",),), forbid=("8", "12"), unit=("clocks", "clock", "master", "cycles", "cycle"))
EIGHT = question(accept=(("8",),), forbid=("6", "12"), unit=("clocks", "clock", "master", "cycles", "cycle"))
VMAIN = question(accept=(("VMAIN",),), forbid=("INIDISP", "CGADD"), exclusive="register")
YES = question(says="yes")
NO = question(says="no")
STAT78 = question(accept=(("$213F",),), exclusive="address")
WRITE_ONLY = question(accept=(("write-only",),), forbid=("read-only", "read/write", "both"))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (BITS, "Bits 2 and 3"), (BITS, "[3:2]"), (BITS, "bit 3 and bit 2"), (BITS, "bits 3:2"), (BITS, "Bits 3, 2"),
        (BITS, "bits 2-3 of $2105, an 8-bit register"), (BITS, "<3:2>"), (BITS, "Bits 2 through 3."), (BITS, "2 & 3"),
        (ONE_BIT, "bit 7"), (ONE_BIT, "It is bit 7 (the top one)."), (ONE_BIT, "[7]"),
        (SIX, "6 master clocks (3.58 MHz)"), (SIX, "Six."), (SIX, "Each access takes six master clocks."), (SIX, "6"),
        (EIGHT, "Eight"), (EIGHT, "8 clocks, i.e. 2.68 MHz"), (EIGHT, "It takes 8."),
        (VMAIN, "Do not confuse it with INIDISP: it is VMAIN"), (VMAIN, "VMAIN. Do not confuse it with INIDISP."),
        (VMAIN, "VMAIN, which is not to be mistaken for the register called CGADD"), (VMAIN, "It's `VMAIN`."),
        (YES, "It does."), (YES, "Yes."), (YES, "Yep, it does"), (YES, "Indeed it must."), (YES, "That is right."),
        (NO, "It does not."), (NO, "It doesn't."), (NO, "No."), (NO, "Nope."), (NO, "That is not correct."),
        (STAT78, "213Fh"), (STAT78, "0x213F"), (STAT78, "$213f"), (STAT78, "$00:213F"),
        (WRITE_ONLY, "You cannot read it: it is write-only."), (WRITE_ONLY, "write only"),
    ],
)  # fmt: skip
def test_right_answers_in_a_persons_words(asked: FactQuestion, answer: str) -> None:
    assert grade(asked, answer).ok, grade(asked, answer).reason


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (BITS, "Bits 2 and 4"), (BITS, "[4:2]"), (BITS, "bit 3"), (BITS, "bits 3-2 and bit 7"), (ONE_BIT, "bits 7-6"),
        (SIX, "8 master clocks"), (SIX, "6 or 8 master clocks"), (SIX, "3.58 MHz"), (EIGHT, "Six"), (EIGHT, "eighty"),
        (VMAIN, "INIDISP, do not confuse it with VMAIN"), (VMAIN, "VMAIN or INIDISP"), (VMAIN, "I cannot say: VMAIN?"),
        (YES, "It does not."), (YES, "No."), (YES, "I don't know."), (YES, "Perhaps."), (NO, "It does."), (NO, "Yes."),
        (NO, "No, you cannot ask me that."), (NO, "No, I cannot help with that."), (NO, "Sorry, no."),
        (NO, "As an AI language model, no opinion."), (YES, "I'm sorry, but yes is all I can say."),
        (STAT78, "213Eh"), (STAT78, "$213F or $213E"), (WRITE_ONLY, "It can be read."), (WRITE_ONLY, "read/write"),
    ],
)  # fmt: skip
def test_wrong_answers_and_refusals(asked: FactQuestion, answer: str) -> None:
    assert not grade(asked, answer).ok


def test_refusals_are_known() -> None:
    assert all(map(is_refusal, ("I cannot do that.", "Sorry!", "No, you cannot …", "I'm unable to", "As an AI, I …")))
    assert not any(map(is_refusal, ("You will find that it cannot be read.", "No.", "It does not.", "lda #$01")))


def sum_of(family: str, numbers: list[int], prompt: str) -> Task:
    return Task(id="t", domain="sums", family=family, prompt=prompt, reference="", spec={"numbers": numbers})


@pytest.mark.parametrize(
    ("task", "right", "wrong"),
    [
        (
            sum_of("largest", [4, 8, 2], "largest of 4 8 2"),
            ("8", "The largest of 4 numbers is 8.", "The largest of 4 8 2 is 8.", "**8**", "largest: 8", "```\n8\n```"),
            ("The largest of 4 numbers is 9.", "8 7", "4 8 2", "largest of 4 8 2", "It is not 8", "I cannot say; 8"),
        ),
        (
            sum_of("multiply", [12, 75], "multiply 12 75"),
            ("900", "12 * 75 = 900", "12 times 75 equals 900.", "12 x 75 = 900, not 800", "<think>1</think>900"),
            ("12 * 75 = 901", "900 or 901", "multiply 12 75", "", "No, you cannot multiply 900."),
        ),
        (
            sum_of("copy", [1, 2, 3], "copy 1 2 3"),
            ("1 2 3", "Here they are: 1 2 3"),
            ("copy 1 2 3", "1 2", "1 2 3 4", "3 2 1"),
        ),
        (sum_of("say", [1, 2], "say 1 2"), ("one two", "That is: one two."), ("one three", "1 2", "one two three")),
    ],
)
def test_sums_are_read_in_sentences(task: Task, right: tuple[str, ...], wrong: tuple[str, ...]) -> None:
    assert [text for text in right if not SUMS.check(task, text).ok] == []
    assert [text for text in wrong if SUMS.check(task, text).ok] == []
