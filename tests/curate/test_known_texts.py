"""Copies are found as they arrive, different facts of one template are kept, and memory does not forget."""

from __future__ import annotations

from afs.curate import incremental_dedup
from afs.curate.incremental_dedup import KnownTexts

ONE = "The register $2100 holds the brightness of the screen in its lower four bits and forced blank in bit 7."
REWORDED = "The register $2100 holds the brightness of the screen in the lower four bits and forced blank in bit 7."
OTHER = "The register $2101 holds the brightness of the screen in its lower four bits and forced blank in bit 7."


def test_equal_and_reworded_texts_are_copies_and_other_facts_are_not() -> None:
    known = KnownTexts()
    assert known.admit([ONE, ONE.upper(), REWORDED, OTHER]) == ["", ONE, ONE, ""]
    assert known.admit([OTHER]) == [OTHER]


def test_a_copy_is_found_after_the_index_was_merged(monkeypatch) -> None:
    monkeypatch.setattr(incremental_dedup, "_TAIL", 16)
    known = KnownTexts()
    texts = [f"note {n}: the {word} of level {n} lies at ${n:04X}" for n in range(50) for word in ("music", "palette")]
    assert known.admit([ONE, *texts]) == [""] * 101
    assert known.admit([REWORDED, texts[3], ONE]) == [ONE, texts[3], ONE]


def test_a_renamed_program_is_a_copy() -> None:
    known = KnownTexts()
    first = "```asm\nloop:\n  lda $10,x\n  sta $7E2000,x\n  dex\n  bpl loop\n  rts\n```"
    assert known.admit([first]) == [""]
    assert known.admit([first.replace("loop", "again")]) == [first]
    assert known.admit([first.replace("$10", "$12")]) == [""]
