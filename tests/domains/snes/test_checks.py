"""Verdicts: the stages of every kind of task, and any text at all as an answer."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.domains.snes import emulator_checks
from afs.domains.snes.checks import STAGES, Judgment, check_answer, compute_score
from afs.domains.snes.contract import Contract, Range
from afs.domains.snes.pack import DOMAIN
from afs.domains.snes.task_specs import NumberSpec, RoutineSpec, dump_spec
from afs.domains.snes.tasks import draw_tasks
from afs.types import Task, Verdict, digest

CODE = "    rep #$20\n    lda $10\n    clc\n    adc $12\n    sta $14\n    sep #$20\n    rts\n"
CONTRACT = Contract(
    m=8, x=8, exit_m=8, exit_x=8, reads=(Range(start=0x10, size=4),), writes=(Range(start=0x14, size=2),),
    clobbers=("a", "x", "y", "flags"), ends="rts", db=0,
)  # fmt: skip


def task(prompt: str = "add", **spec: object) -> Task:
    whole = RoutineSpec(code=CODE, contract=CONTRACT)
    return Task(
        id="t", domain="snes", family="f", prompt=prompt, spec=dump_spec(msgspec.structs.replace(whole, **spec))
    )


def fenced(code: str) -> str:
    return f"```asm\n{code}```"


def judged(answer: str, **spec: object) -> Verdict:
    return check_answer(task(**spec), answer)


@pytest.mark.parametrize(
    ("answer", "stage", "reason"),
    [
        ("", "none", "no code"),
        ("Use ADC after clearing carry.", "none", "no code"),
        ("```python\nprint(1)\n```", "none", "no code"),
        (fenced("    lda $10\n    ldq $12\n    rts\n"), "extract", "line 3"),
        (fenced("lda undefined_label\nrts\n"), "extract", "undefined_label"),
        (fenced("org $008000\nlda $10\nrts\norg $018000\nrts\n"), "extract", "one piece"),
        (fenced("; nothing but a remark\nrts\n"), "run", "7E001"),
        (fenced(CODE.replace("    sep #$20\n", "")), "assemble", "16 bits wide"),
        (fenced("again:\n    bra again\n"), "lint", "budget"),
        (fenced("    pla\n    pla\n    rts\n"), "lint", ""),
        (fenced(CODE.replace("$14", "$15")), "run", "0016"),
        (fenced(CODE.replace("adc", "sbc")), "run", "0014"),
        (fenced(CODE), "contract", "no difference"),
    ],
)
def test_a_verdict_names_the_last_stage_passed_and_why_it_ended(answer: str, stage: str, reason: str) -> None:
    verdict = judged(answer)
    assert (verdict.stage, verdict.ok) == (stage, stage == "contract"), verdict.reason
    assert reason.lower() in verdict.reason.lower()
    assert verdict.score is not None and (verdict.score == 1.0) == bool(verdict.ok)


def test_the_score_grows_with_the_stage_and_is_one_only_when_all_holds() -> None:
    scores = [compute_score(Judgment(stage, False, "", {}), STAGES) for stage in ("none", *STAGES)]
    assert scores == sorted(scores, key=lambda value: value or 0.0) and len(set(scores)) == len(scores)
    assert scores[0] == 0.0 and (scores[-1] or 0) < 1.0
    assert compute_score(Judgment("match", True, "", {}), STAGES) == 1.0
    assert compute_score(Judgment("match", None, "", {}), STAGES) is None


def test_the_last_block_counts_and_a_quotation_does_not() -> None:
    assert judged(f"{fenced(CODE)}\nor\n{fenced(CODE)}").ok
    assert judged(f"{fenced(CODE)}\nor\n{fenced('    garbage here' + chr(10))}").ok is False
    assert judged(f"{fenced('    rts' + chr(10))}\n{fenced(CODE)}").ok
    assert judged(f"{fenced(CODE)}\n{fenced('    rts' + chr(10))}").ok is False
    quoting = task(prompt=f"Mend this:\n{fenced('    lda $10 ; low' + chr(10) + '    rts' + chr(10))}")
    assert check_answer(quoting, f"{fenced('    LDA $10' + chr(10) + '    rts' + chr(10))}\nbecomes\n{fenced(CODE)}").ok
    echo = check_answer(quoting, fenced("    lda $10\n    rts\n"))
    assert (echo.ok, echo.stage) == (False, "none")


def test_bare_code_counts_as_a_block() -> None:
    assert judged("rep #$20 : lda $10 : clc : adc $12 : sta $14 : sep #$20 : rts").ok


def test_cheaper_means_cheaper_in_what_was_asked_and_worse_in_nothing() -> None:
    slow = CODE.replace("    lda $10\n", "    lda $10\n    nop\n    nop\n")
    assert judged(fenced(CODE), code=slow, want="both").ok
    same = judged(fenced(slow.replace("nop", "NOP ; same cost")), code=slow, want="cycles")
    assert (same.ok, same.stage) == (False, "contract") and "not faster" in same.reason
    slower = judged(fenced(slow), code=CODE, want="bytes")
    assert slower.ok is False and "longer" in slower.reason
    spread = CODE.replace("lda $10", "lda $0010")
    bigger = judged(fenced(spread), code=slow, want="both")
    assert bigger.ok and judged(fenced(slow), code=spread, want="cycles").ok is False
    facts = judged(fenced(CODE), code=slow, want="both").facts
    assert facts["cycles"] == 26 and facts["original_cycles"] == 30 and facts["bytes"] == 12


def test_a_diagnosis_comes_first_names_one_fault_and_the_right_one() -> None:
    mended = fenced(CODE)
    assert judged(f"**Bug: [missing-sep]** No SEP.\n\n{mended}", category="missing-sep").ok
    assert judged(f"**Bug: Missing SEP** No SEP.\n\n{mended}", category="missing-sep").stage == "diagnosis"
    for answer in (
        mended,
        f"{mended}\n**Bug: [missing-sep]** too late",
        f"**Bug: [branch]** wrong\n{mended}",
        f"**Bug: [branch]** or **Bug: [missing-sep]**\n{mended}",
        f"**Bug: [missing-sep]** right, but unmended\n{fenced(CODE.replace('    sep #$20' + chr(10), ''))}",
    ):
        assert judged(answer, category="missing-sep").ok is False


def test_the_counterexample_and_both_clocks_are_told() -> None:
    facts = judged(fenced(CODE.replace("adc", "sbc"))).facts
    assert any("original" in line and "candidate" in line for line in facts["counterexample"])  # type: ignore[union-attr]
    assert {"cycles", "cycles_max", "master_clocks", "bytes", "states", "exhaustive"} <= set(facts)


def test_a_broken_task_is_unknown_not_wrong() -> None:
    broken = judged(fenced(CODE), code="again: bra again\n")
    assert broken.ok is None and broken.score is None
    assert check_answer(Task(id="t", domain="snes", family="f", prompt="?", spec={"check": "nonsense"}), "x").ok is None
    lying = NumberSpec(value=99, code="nop : rts", contract=Contract(db=0), asks="bytes")
    assert check_answer(Task(id="t", domain="snes", family="f", prompt="?", spec=dump_spec(lying)), "99").ok is None


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        ("8", True),
        ("It takes 8 cycles.", True),
        ("lda: 2\nrts: 6\nTotal: 8", True),
        ("8 or 9", False),
        ("9", False),
        ("", False),
    ],
)
def test_a_number_is_the_only_one_in_the_last_line_that_has_any(answer: str, ok: bool) -> None:
    spec = NumberSpec(value=8, code="nop : rts", contract=Contract(db=0, clobbers=("flags",)), asks="cycles")
    assert check_answer(Task(id="t", domain="snes", family="f", prompt="?", spec=dump_spec(spec)), answer).ok is ok


def test_what_the_contract_does_not_name_may_hold_anything() -> None:
    free = ("a", "x", "y", "flags")
    constant = Contract(m=8, x=8, exit_m=8, writes=(Range(start=0x14),), clobbers=free, ends="rts", db=0)
    right = "    lda #$35\n    sta $14\n    rts\n"
    for lazy in ("ora #$35", "adc #$35", "eor #$35"):
        assert judged(fenced(right.replace("lda #$35", lazy)), code=right, contract=constant).ok is False
    ranged = Contract(m=8, x=8, reads=(Range(start=0x10),), writes=(), out=("c",), clobbers=free, ends="rts", db=0)
    check_range = "    lda $10\n    sec\n    sbc #$51\n    cmp #$56\n    rts\n"
    assert judged(fenced(check_range.replace("sec", "SEC ; same")), code=check_range, contract=ranged).ok
    assert judged(fenced(check_range.replace("    sec\n", "")), code=check_range, contract=ranged).ok is False
    assert judged(fenced(check_range.replace("56", "57")), code=check_range, contract=ranged).ok is False


HOSTILE = (
    "fill 2000000000\n",
    "incbin /etc/passwd\nrts\n",
    "incsrc ../../../etc/passwd\nrts\n",
    "macro m()\n%m()\nendmacro\n%m()\n",
    "while 1\nnop\nendif\n",
    "rep 100000000 : nop\n",
    "!a = !a!a\n!a\n",
    "again: jsr again\n",
    "skip 99999999\nrts\n",
    "arch spc700\nmov a,#1\n",
    "    rep #$30\n    lda #$FFFF\n    ldx #$0000\n    ldy #$0000\nx:\n    mvn $7E,$7E\n    bra x\n",
    "\x00\xff" * 500,
)


@pytest.mark.parametrize("source", HOSTILE)
def test_hostile_code_is_a_wrong_answer_within_a_moment(source: str) -> None:
    verdict = judged(fenced(source))
    assert verdict.ok is False and "root:" not in verdict.reason + str(verdict.facts)


SAMPLES = [next(draw_tasks(name, 1, 1)) for name in ("generate/add16", "debug/branch", "explain/name", "cycles/add8",
                                                "translate/encode-add8", "translate/decode-add8", "patch/drift", "tiny/cycles")]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SAMPLES), st.one_of(st.text(max_size=300), st.text(max_size=200).map(lambda t: f"```\n{t}\n```"))
)
def test_any_text_gets_a_verdict(one: Task, answer: str) -> None:
    verdict = check_answer(one, answer)
    assert verdict.task == one.id
    if verdict.ok is None:
        assert one.family.startswith("patch/") and "not run" in verdict.reason
    else:
        assert verdict.ok is False and 0.0 <= (verdict.score or 0.0) < 1.0


def test_without_an_emulator_the_verdict_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator_checks, "has_emulator", lambda: False)
    patch = next(draw_tasks("patch/drift", 1, 1))
    verdict = check_answer(patch, patch.reference)
    assert (
        verdict.ok is None and verdict.score is None and "not run" in verdict.reason and "afs doctor" in verdict.reason
    )
    routine = judged(fenced(CODE), emulator=True)
    assert routine.ok is None and routine.stage == "contract"
    assert check_answer(patch, "```asm\norg $008400\n nonsense\n```").ok is False


def test_the_pack_speaks_for_itself() -> None:
    (block,) = DOMAIN.extract(f"Here:\n{fenced(CODE)}")
    assert (block.kind, block.text, block.line) == ("code", CODE, 3)
    assert DOMAIN.extract('<tool_call>{"name": "asm"}</tool_call>')[0].kind == "tool_call"
    assert DOMAIN.extract("just words") == ()
    findings = DOMAIN.lint(
        f"Text.\n\n{fenced('    rep #$20' + chr(10) + '    lda #$12' + chr(10) + '    rts' + chr(10))}"
    )
    assert findings and all(finding.line >= 4 for finding in findings)
    assert set(DOMAIN.prompts) >= {"generate", "optimize", "debug", "explain"} and all(DOMAIN.prompts.values())
    assert len(digest(dict(DOMAIN.prompts))) == 64
