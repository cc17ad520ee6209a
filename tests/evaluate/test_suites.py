"""The suites that come with afs: their categories, their size, and that no scorer of theirs can be fooled."""

from __future__ import annotations

import pytest

from afs import answer_verifier, datasets
from afs.errors import ConfigError
from afs.evaluate.score.scorer_interface import Refiner, scorer
from afs.evaluate.suite_lint import LintConfig, eval_lint
from afs.evaluate.suites import open_suite
from afs.types import Origin, Record, Verdict, record_id
from afs.workspace import Workspace

NAMED = ("snes-core", "farore-5", "veran-hardware", "din-optimize", "majora-cycles")


@pytest.mark.e2e
def test_snes_core_has_three_hundred_items(workspace: Workspace) -> None:
    assert len(open_suite(workspace, "snes-core").items) >= 300


def test_snes_core_has_nine_categories_and_fresh_constants_per_seed(workspace: Workspace) -> None:
    suite, other = (open_suite(workspace, "snes-core", seed=seed, count=2) for seed in (0, 1))
    assert len(suite.categories) == 9 and suite.digest != other.digest
    shared = {item.id for item in suite.items} & {item.id for item in other.items}
    assert len(shared) <= 7, "the hand-written items, and hardly a fact twice"
    assert open_suite(workspace, "snes-core", count=2).digest == suite.digest


@pytest.mark.parametrize("name", NAMED)
def test_named_suites_are_clean(workspace: Workspace, name: str) -> None:
    found = eval_lint(LintConfig(suite=name, count=3), workspace)
    assert found.problems == (), found.text()


def test_some_categories_of_a_named_suite(workspace: Workspace) -> None:
    suite = open_suite(workspace, "snes-core:basics,docs", count=2)
    assert suite.name == "snes-core:basics,docs" and suite.categories == ("basics", "docs")
    with pytest.raises(ConfigError, match="no category 'doc'; did you mean 'docs'"):
        open_suite(workspace, "snes-core:doc", count=2)


RESTATED = {"farore-5": 5, "veran-hardware": 13, "din-optimize": 7, "nayru-generate": 3, "majora-cycles": 3}
WRONG = {
    "din-shift-pair": "and #$FE\n rts",
    "din-saved-flags": "clc\n rts",
    "din-saved-register": "lda $10\n sta $20\n rts",
    "din-loop-down": "ldx #$0F\nagain:\n stz $00,x\n dex\n bpl again\n rts",
    "din-times-three": "lda $10\n asl a\n adc $10\n sta $12\n rts",
    "majora-count-loop": "lda $10\n sta $12\n inc a\n rts",
}
"""The founding documents' own answers to these, every one of them wrong."""
SECOND = {
    "nayru-health": "pha\n rep #$20\n lda $7E0020\n sep #$20\n sec\n sbc $01,s\n xba\n sbc #$00\n xba\n bcs ok\n lda #$00\n"
    " xba\n lda #$00\nok:\n rep #$20\n sta $7E0020\n sep #$20\n pla\n rtl",
    "nayru-dma-palette": "lda #$00\n sta $2121\n ldx #$0000\nagain:\n lda $7E2000,x\n sta $2122\n inx\n cpx #$0020\n"
    " bne again\n rts",
    "nayru-vram-upload": "lda #$80\n sta $2115\n ldx #$1000\n stx $2116\n ldx #$0000\nagain:\n lda $7E3000,x\n"
    " sta $2118\n lda $7E3001,x\n sta $2119\n inx\n inx\n cpx #$0020\n bcc again\n rts",
}


@pytest.mark.parametrize("name", RESTATED)
def test_the_founding_cases_are_restated(workspace: Workspace, name: str) -> None:
    """Each gold passes by execution; the fault that is shown is one, and the old documents' answers fail."""
    items = [i for i in open_suite(workspace, name, count=1).items if i.id.startswith(name.partition("-")[0])]
    assert len(items) == RESTATED[name]
    for item in items:
        assert answer_verifier.check_answer(item.task, item.task.reference).ok, item.id
        faulty = str(item.task.spec.get("faulty") or WRONG.get(item.id, "stp"))
        said = f"{item.task.reference.partition('```')[0]}```asm\n    nop\n {faulty}\n```"
        if item.task.spec["check"] == "question":
            said = f"D) It is {'VMAIN' if '2121' in item.id else 'CGADD'}."
        assert answer_verifier.check_answer(item.task, said).ok is False, item.id
        if second := SECOND.get(item.id):
            verdict = answer_verifier.check_answer(item.task, f"```asm\n {second}\n```")
            assert verdict.ok, (item.id, "another way to write it must pass", verdict.reason)


def test_patches_are_drawn_too(workspace: Workspace) -> None:
    suite = open_suite(workspace, "nayru-generate", count=4)
    assert suite.categories == ("routines", "patches", "restated")


def test_the_guard_suite_runs_every_gold(workspace: Workspace) -> None:
    suite = open_suite(workspace, "python")
    assert len(suite.items) == 39
    for item in suite.items[::6]:
        verdict = scorer(item.scorer).score(item.task, item.task.reference)
        assert verdict.ok, (item.id, verdict.reason)


CLAIMS = scorer({"use": "claims", "claims": {"cycles": r"Optimized: ([0-9.]+) cycles"}})


@pytest.mark.parametrize(
    "answer, ok, word",
    [
        ("Optimized: 20 cycles.", True, ""),
        ("Optimized: 19.5 cycles.", True, ""),
        ("Optimized: 12 cycles.", False, "claims cycles 12, measured 20"),
        ("It is much faster now.", False, "does not state"),
        ("Optimized: 1.2.3 cycles.", False, "no number"),
    ],
)
def test_claimed_costs_are_the_measured_ones(answer: str, ok: bool, word: str) -> None:
    assert isinstance(CLAIMS, Refiner)
    right = Verdict(task="t", ok=True, score=1.0, stage="cheaper", facts={"cycles": 20.0}, checker="snes/1")
    verdict = CLAIMS.refine(answer, right)
    assert verdict.ok is ok and word in verdict.reason and verdict.checker == "snes/1+claims/1"
    assert (verdict.score or 0) < 0.5 or ok


def test_records_without_a_task_are_compared_with_their_answers(workspace: Workspace) -> None:
    with datasets.write_dataset(workspace, "chat", "dataset", splits=("train", "heldout")) as pending:
        for number, split in enumerate(("train", "heldout", "heldout")):
            messages = datasets.task_messages(f"Question {number}?", "", f"Answer number {number}.")
            key = record_id("", messages)
            pending.add(split, Record(id=key, domain="", kind="chat", messages=messages, origin=Origin(source="t")))
    suite = open_suite(workspace, "chat")
    assert [item.task.prompt for item in suite.items] == ["Question 1?", "Question 2?"]
    assert suite.parents == ("chat@1",) and suite.items[0].scorer == {"use": "f1"}
    assert len(open_suite(workspace, "chat:train").items) == 1
