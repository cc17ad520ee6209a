"""Both versions of a changed routine are run; what cannot be run by itself is unknown."""

from __future__ import annotations

import pytest

from afs.domains.base import CHEAPER, DIFFERENT
from afs.domains.snes.change_comparison import compare_change, cut_routine
from afs.domains.snes.source_recognition import is_65816

BEFORE = "Double:\n    REP #$30\n    LDA !value\n    STA !result\n    CLC\n    ADC !value\n    STA !result\n    RTL\n"


@pytest.mark.parametrize(
    ("old", "new", "effect"),
    [
        ("    STA !result\n    CLC", "    CLC", CHEAPER),
        ("STA !result\n    RTL", "STA !other\n    RTL", DIFFERENT),
        ("    CLC\n", "", DIFFERENT),
        ("    RTL", "    JSR elsewhere\n    RTL", ""),
        ("LDA !value\n", "LDA !value ; the value\n", ""),
        ("    RTL\n", "", ""),
    ],
)
def test_a_change_is_what_running_it_shows(old: str, new: str, effect: str) -> None:
    assert compare_change(BEFORE, BEFORE.replace(old, new)) == effect


def test_only_one_whole_routine_is_cut() -> None:
    other = "Other:\n    LDA #1\nRTL\n"
    assert cut_routine(other + BEFORE, other + BEFORE.replace("CLC", "SEC")) is not None
    assert cut_routine(BEFORE, BEFORE + other) is None
    assert cut_routine("    LDA #1\n    RTS", "    LDA #2\n    RTS") is None


def test_the_processor_is_recognized_by_its_own_instructions() -> None:
    assert is_65816("a:\n rep #$30\n phb\n xba\n rtl\n", "ca65")
    assert is_65816("a:\n rep #$30\n", "asar")
    assert not is_65816("a:\n lda #1\n sta $10\n rts\n", "ca65")
    assert not is_65816("a:\n mov eax, 1\n", "asar")
