"""What a reply's own code and its question let us say without a task, in the words a person would use."""

from __future__ import annotations

import pytest

from afs.domains.snes.pack import DOMAIN

OPTIMIZE = """Make this faster, please. A is 8-bit, X is 8-bit, it ends with RTS. A may be changed.

```asm
    lda #$00
    sta $10
    lda #$00
    sta $11
    rts
```
"""


def code(text: str, prose: str = "Here:") -> str:
    return f"{prose}\n\n```asm\n{text}\n```\n"


def judge(question: str, answer: str) -> tuple[str, str]:
    verdict = DOMAIN.check_reply(question, answer)
    return verdict.stage, verdict.reason


def test_the_users_own_routine_is_the_measure_of_an_optimization() -> None:
    verdict = DOMAIN.check_reply(OPTIMIZE, code("stz $10\nstz $11\nrts"))
    assert verdict.ok is True and verdict.stage == "same effect"
    assert verdict.reason == "same effect as your routine on 256 states · 12 cycles (was 16) · 5 bytes (was 9)"
    assert judge(OPTIMIZE, code("stz $10\nstz $12\nrts"))[0] == "refuted"
    assert "not cheaper" in judge(OPTIMIZE, code("nop\nlda #$00\nsta $10\nlda #$00\nsta $11\nrts"))[1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("lda #$01\nedxcxc\nrts", "line 5: unknown command"),
        ("pha\nstz $10\nrts", "1 byte still on the stack (pha) at rts"),
        ("rep #$20\nstz $10\nrts", "exit width"),
        ("rts\nstz $10", "returns at once"),
        ("lda $11\nsta $0813\nrts", "stores nothing at any place the question names"),
    ],
)
def test_what_may_refute(answer: str, reason: str) -> None:
    question = (
        "Write a routine that clears the byte at $10. A is 8-bit, X is 8-bit; leave the widths as they were. RTS."
    )
    stage, said = judge(question, code(answer))
    assert stage == "refuted" and reason in said


def test_examples_in_the_question_are_run() -> None:
    question = "Add the bytes $10 and $11 into $12 (8-bit A, 8-bit X, RTS).\n$10 = 05, $11 = 0A -> $12 = 0F\n"
    right, wrong = "lda $10\nclc\nadc $11\nsta $12\nrts", "lda $10\nsec\nsbc $11\nsta $12\nrts"
    assert judge(question, code(right)) == ("runs", "runs; agrees with 1 example · 17 cycles · 8 bytes")
    stage, reason = judge(question, code(wrong))
    assert stage == "refuted" and "gives $12 = FB" in reason


def test_what_cannot_be_known_is_not_called_right_or_wrong() -> None:
    question = "Write a routine that clears the byte at $10."
    assert judge(question, "Use STZ.")[0] == "no code"
    assert judge(question, code("stz.w LinkState\nrts"))[0] == "not checkable", "the user's own symbols"
    assert judge(question, code("%macro_of_ours()\nrts"))[0] == "not checkable"
    assert judge(question, code("org $008000\njsl Hook\nnop"))[0] == "not checkable", "a patch"
    assert judge(question, code("-\nlda $4212\nbpl -\nrts"))[0] == "not checkable", "it waits for the hardware"
    assert judge(question, "```python\nprint(1)\n```")[0] == "no code"
    stage, reason = judge(question, code("stz $10\nrts"))
    assert (stage, reason) == ("runs", "runs; effect not stated · 9 cycles · 3 bytes")


def test_remarks_do_not_refute() -> None:
    question = "Write a routine that clears the byte at $10. A is 8-bit and X is 8-bit. RTS."
    verdict = DOMAIN.check_reply(question, code("stz $10\nstz $0800\nrts", "It takes 40 cycles."))
    assert verdict.stage == "runs" and verdict.ok is None
    assert verdict.facts["remarks"] == [
        "claims 40 cycles; 13 measured",
        "writes $7E0800, which the question does not name",
    ]


def test_broken_code_handed_back_is_no_fix() -> None:
    question = "This is broken. Post the fixed routine.\n\n```asm\nlda $10\nrts\n```\n"
    assert judge(question, code("lda $10\nrts"))[0] == "refuted"
    assert judge("What does this do?\n\n```asm\nlda $10\nrts\n```\n", code("lda $10\nrts"))[0] == "no code"


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        ("lda $E8 : sec : sbc #$D8 : sta $E8", "runs"),
        ("lda $E8 : se : sbc #$D8 : sta $E8", "refuted"),
        ("Keep in mind : first the carry : then the rest.", "no code"),
        ("clc", "no code"),
    ],
)
def test_an_answer_that_is_one_line_of_statements_is_code(answer: str, stage: str) -> None:
    assert judge("take $D8 from $E8", answer)[0] == stage


@pytest.mark.parametrize(
    ("answer", "stage", "reason"),
    [
        ("$2108 is BG2SC.", "facts agree", "agrees with the table of registers: BG2SC $2108"),
        ("Use `INIDISP` ($2100), and VMDATA is at $2119.", "facts agree", "INIDISP $2100, VMDATA $2119"),
        ("`$4310` is the register `DMAP1`", "facts agree", "DMAP1 $4310"),
        ("$2108 is BG3SC.", "refuted", "refuted: $2108 is BG2SC; BG3SC is at $2109"),
        ("HDMAEN is at $420B", "refuted", "$420B is MDMAEN; HDMAEN is at $420C"),
        ("INIDISP is not at $2105, and BG1SC to BG4SC are $2107-$210A.", "no code", "no code"),
        ("CLARITY is at $2100 and $2105 is for modes", "no code", "no code"),
    ],
)
def test_registers_in_words_are_held_against_the_table(answer: str, stage: str, reason: str) -> None:
    found = judge("Which register is that?", answer)
    assert found[0] == stage and reason in found[1]
