"""Strict mode refuses what Asar lets pass in silence, and leaves right code alone."""

from __future__ import annotations

import pytest

from afs.domains.snes.asm import AsmError, assemble

BAD = [
    ("lda #$12345", "Estrict_value_too_big"),
    ("db $123", "Estrict_value_too_big"),
    ("dw $12345", "Estrict_value_too_big"),
    ("db 256", "Estrict_value_too_big"),
    ("db -129", "Estrict_value_too_big"),
    ("lda.b #$1234", "Estrict_value_too_big"),
    ("lda.w $123456", "Estrict_forced_width"),
    ("lda.b $1234", "Estrict_forced_width"),
    ("bra $9000", "Estrict_branch_number"),
    ("brl $10", "Estrict_branch_number"),
    ("lda 2+3*4", "Estrict_mixed_operators"),
    ("db 1+2<<3", "Estrict_mixed_operators"),
    ("org $808000 : x: rtl : org $818000 : jsr.w x", "Estrict_lost_bank"),
    ("jsr.w $818000", "Estrict_lost_bank"),
]


@pytest.mark.parametrize(("source", "id"), BAD)
def test_refused_in_strict_mode_only(source, id):
    with pytest.raises(AsmError) as caught:
        assemble(source, origin=0x808000, strict=True)
    assert id in caught.value.ids
    assert assemble(source, origin=0x808000).blocks


@pytest.mark.parametrize("source", ["sta #$10", "stx $1234,y"])
def test_refused_always(source):
    with pytest.raises(AsmError):
        assemble(source, origin=0x808000)


@pytest.mark.parametrize(
    "source",
    [
        "lda #$12 : lda #$FFFF : lda #-1 : lda.w #$12 : db -128,255 : dw $FFFF,-1 : dl $FFFFFF : db 'a',\"text\"",
        "x: lda x : lda.l x : lda #x : lda.b #x>>8 : dw x : dl x : db x>>16 : bra x : jsr x : jsl x : dw x+1,x-1",
        "sta $2100 : sta.w $2100 : sta.b $12 : sta $7E0000,x : mvn $7E,$7F : rep #$30 : pea $1234 : per x : x:",
        "db (1+2)*3 : math pri on : db 1+2*3",
        "asar 1.90\ndb 1+2*3",
    ],
)
def test_right_code_passes_with_the_same_bytes(source):
    assert assemble(source, origin=0x808000, strict=True).data == assemble(source, origin=0x808000).data
